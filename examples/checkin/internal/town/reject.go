package town

import "fmt"

// shownRejects is how many rejected rows of a file are kept to be shown; the
// others are counted.
const shownRejects = 20

// A Reject is a row that could not be read.
type Reject struct {
	File string // as it was opened
	Line int    // from 1
	Why  string // for a person
}

// String is one line for a terminal.
func (r Reject) String() string { return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Why) }

// Rejects counts the rows that could not be read, and keeps the first few of
// every file.
type Rejects struct {
	Count   int      // in all files
	First   []Reject // shownRejects of each file at most, in order
	Repeats int      // friendships that a file names twice: they count once

	inFile map[string]int
}

func (r *Rejects) add(file string, line int, why string) {
	if r.inFile == nil {
		r.inFile = map[string]int{}
	}
	r.Count++
	r.inFile[file]++
	if r.inFile[file] <= shownRejects {
		r.First = append(r.First, Reject{file, line, why})
	}
}

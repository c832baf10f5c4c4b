package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A stream is what comes in, in order of arrival.
type stream struct {
	name    string
	rows    []Row
	bad     int      // rows that could not be read
	rejects []string // the first few of them, each with its line
}

// digest names the content, so that two streams never mix in one directory.
func (s *stream) digest() string {
	h := sha256.New()
	for _, r := range s.rows {
		fmt.Fprintf(h, "%q %q %q %q %d\n", r.ID, r.Tweet, r.Entity, r.Group, r.At.UnixMicro())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// rowKey is the key of the row at a line: fixed width, so that keys sort as
// lines do.
func rowKey(line int) string { return fmt.Sprintf("%09d", line) }

// load reads a file, plain or gzip by content: a header line, then tweet id, UTC
// time, group and entity, separated by commas.
func load(path string) (*stream, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	plain := bufio.NewReaderSize(f, 64<<10)
	var in io.Reader = plain
	if magic, _ := plain.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		if in, err = gzip.NewReader(plain); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	s := &stream{name: path}
	if err := s.read(in); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// header is the first line of a file.
var header = []string{"tweet_id", "utc", "group", "entity"}

// longestLine bounds what is read as one row, in bytes.
const longestLine = 1 << 20

// read reads all rows, one a line: no field may hold a line break, so a quote that
// is never closed costs its own row and none of those that follow. A row that
// cannot be read is counted and shown, never dropped in silence; a file of other
// columns is refused.
func (s *stream) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, longestLine)
	line := 0
	for lines.Scan() {
		line++
		text := lines.Text()
		switch {
		case line == 1:
			if first, _ := split(strings.TrimPrefix(text, "\ufeff")); !slices.Equal(first, header) {
				return fmt.Errorf("its first line is %q, and must name the columns %s", clip(text), strings.Join(header, ","))
			}
			continue
		case text == "":
			continue
		}
		fields, fault := split(text)
		var row Row
		if fault == nil {
			row, fault = parse(fields, line)
		}
		if fault != nil {
			s.reject(line, fault)
			continue
		}
		s.rows = append(s.rows, row)
	}
	switch err := lines.Err(); {
	case err != nil:
		return fmt.Errorf("after line %d: %w", line, err)
	case line == 0:
		return errors.New("it is empty")
	case len(s.rows) == 0:
		return fmt.Errorf("no row can be read; %s", strings.Join(append(s.rejects, "it has none"), "; "))
	}
	return nil
}

// split takes a line apart. Few lines have quotes.
func split(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), nil
	}
	fields, err := csv.NewReader(strings.NewReader(line)).Read()
	var faulty *csv.ParseError
	if errors.As(err, &faulty) {
		return nil, faulty.Err
	}
	return fields, err
}

// shownRejects is how many rejected rows are shown; the others are counted.
const shownRejects = 20

func (s *stream) reject(line int, why error) {
	if s.bad++; s.bad <= shownRejects {
		s.rejects = append(s.rejects, fmt.Sprintf("line %d: %v", line, why))
	}
}

// The longest names, in bytes: a key is made of two of them.
const (
	longestTweet  = 40
	longestEntity = 100
)

// parse makes a row of its fields.
func parse(fields []string, line int) (Row, error) {
	if len(fields) != len(header) {
		return Row{}, fmt.Errorf("it has %d columns, not %d", len(fields), len(header))
	}
	tweet, group, entity := fields[0], fields[2], fields[3]
	at, err := time.Parse(time.RFC3339Nano, fields[1])
	switch {
	case err != nil:
		return Row{}, fmt.Errorf("the time %q is not like 2022-11-18T00:00:18.374Z", clip(fields[1]))
	case at.Year() < 1970 || at.Year() > 9999:
		return Row{}, fmt.Errorf("the year %d cannot be", at.Year())
	case !digits(tweet) || len(tweet) > longestTweet:
		return Row{}, fmt.Errorf("the tweet id %q is not 1 to %d digits", clip(tweet), longestTweet)
	case strings.TrimSpace(entity) == "" || len(entity) > longestEntity || !printable(entity):
		return Row{}, fmt.Errorf("the entity %q is not 1 to %d bytes of text", clip(entity), longestEntity)
	case len(group) > longestEntity || !printable(group):
		return Row{}, fmt.Errorf("the group %q is not %d bytes of text at most", clip(group), longestEntity)
	}
	// The fields share one string with the whole line.
	return Row{
		ID: rowKey(line), Tweet: strings.Clone(tweet), Group: strings.Clone(group), Entity: strings.Clone(entity),
		At: at.UTC().Truncate(time.Microsecond),
	}, nil
}

func digits(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) < 0
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// clip shortens what is shown of a value.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

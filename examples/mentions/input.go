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

// read reads all rows. A row that cannot be read is counted and shown, never
// dropped in silence; a file of other columns is refused.
func (s *stream) read(in io.Reader) error {
	records := csv.NewReader(in)
	records.FieldsPerRecord = -1
	records.ReuseRecord = true
	first, err := records.Read()
	if err == io.EOF {
		return errors.New("it is empty")
	}
	if err != nil {
		return err
	}
	if got := strings.Join(first, ","); strings.TrimPrefix(got, "\ufeff") != strings.Join(header, ",") {
		return fmt.Errorf("its first line is %q, and must name the columns %s", clip(got), strings.Join(header, ","))
	}
	for {
		fields, err := records.Read()
		if err == io.EOF {
			break
		}
		line, _ := records.FieldPos(0)
		var faulty *csv.ParseError
		if err != nil && !errors.As(err, &faulty) {
			return fmt.Errorf("after line %d: %w", line, err)
		}
		row, fault := parse(fields, line)
		if err != nil {
			line, fault = faulty.Line, faulty.Err
		}
		if fault != nil {
			s.reject(line, fault)
			continue
		}
		s.rows = append(s.rows, row)
	}
	if len(s.rows) == 0 {
		return fmt.Errorf("no row can be read; %s", strings.Join(append(s.rejects, "it has none"), "; "))
	}
	return nil
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
	// The fields share one string with the whole record.
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

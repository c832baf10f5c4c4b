package transitory

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// ValidTube says whether a name can name a tube on every driver: 1 to 199
// bytes of A-Z a-z 0-9 + / ; . $ _ ( ) and -, where - does not stand first.
// The error is fault.ErrInvalid and names the first byte that is wrong. The
// grammar is that of beanstalkd, where a name outside of it reads as a command
// of its own.
func ValidTube(name string) error {
	switch {
	case name == "":
		return invalidTube(name, "a tube's name is empty")
	case len(name) > MaxTube:
		return invalidTube(name, fmt.Sprintf("a tube's name has %d bytes; %d are allowed", len(name), MaxTube))
	case name[0] == '-':
		return invalidTube(name, "a tube's name starts with a hyphen")
	}
	for i := range len(name) {
		if !tubeByte(name[i]) {
			return invalidTube(name, fmt.Sprintf("byte 0x%02x at offset %d is not allowed in a tube's name", name[i], i))
		}
	}
	return nil
}

func tubeByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '+', '/', ';', '.', '$', '_', '(', ')':
		return true
	}
	return false
}

func invalidTube(name, reason string) error {
	return &fault.Error{Op: "name", Store: "transitory", Kind: "tube", Key: name, Class: fault.ErrInvalid, Err: errors.New(reason)}
}

// checkTubes validates names and returns them without repetitions; some
// demands at least one.
func checkTubes(op string, tubes []string, some bool) ([]string, error) {
	if some && len(tubes) == 0 {
		return nil, fault.New(fault.ErrInvalid, "transitory", op, "no tube is named")
	}
	unique := make([]string, 0, len(tubes))
	for _, tube := range tubes {
		if err := ValidTube(tube); err != nil {
			return nil, err
		}
		if !slices.Contains(unique, tube) {
			unique = append(unique, tube)
		}
	}
	return unique, nil
}

// checkJob finds what is wrong with a job that is to be put.
func (q *Queue) checkJob(job Job) error {
	if err := ValidTube(job.Tube); err != nil {
		return err
	}
	if err := checkDelay("put", job.Tube, job.Delay); err != nil {
		return err
	}
	if job.TTR < 0 || job.TTR > MaxTTR {
		return faultyJob("put", job.Tube, fault.ErrInvalid, fmt.Sprintf("a TTR of %v is out of range, which is 0 (the default of %v) to %v", job.TTR, DefaultTTR, MaxTTR))
	}
	if most := q.features.MaxBody; most > 0 && len(job.Body) > most {
		return faultyJob("put", job.Tube, fault.ErrTooLarge, fmt.Sprintf("the body has %d bytes; %s takes %d", len(job.Body), q.features.Name, most))
	}
	return nil
}

func checkDelay(op, tube string, delay time.Duration) error {
	if delay < 0 || delay > MaxDelay {
		return faultyJob(op, tube, fault.ErrInvalid, fmt.Sprintf("a delay of %v is out of range, which is 0 to %v", delay, MaxDelay))
	}
	return nil
}

func faultyJob(op, tube string, class error, reason string) error {
	kind := ""
	if tube != "" {
		kind = "tube"
	}
	return &fault.Error{Op: op, Store: "transitory", Kind: kind, Key: tube, Class: class, Err: errors.New(reason)}
}

// normal is the job as drivers see it: a nil body is an empty one, because
// go-beanstalk sends a nil one without its length, and the fields that only a
// driver sets are empty.
func normal(job Job) Job {
	if job.Body == nil {
		job.Body = []byte{}
	}
	if job.TTR == 0 {
		job.TTR = DefaultTTR
	}
	job.ID, job.Reserves = "", 0
	return job
}

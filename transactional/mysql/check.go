package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Check implements transactional.Driver.
func (d *database) Check(ctx context.Context) fault.Report {
	r := fault.Report{
		Purpose: purpose, Driver: "mysql", Address: d.address, Durability: d.opts.Durability, MaxObject: d.opts.MaxRow,
	}
	began := time.Now()
	sc, err := d.take(ctx)
	if err != nil {
		r.Problems = []string{err.Error()}
		if unfit, ok := errors.AsType[*unfitError](err); ok {
			r.Version, r.Latency = unfit.version, time.Since(began)
		}
		return r
	}
	defer sc.Close()
	began = time.Now()
	var (
		mode, flush string
		packet      int
		readOnly    bool
	)
	err = ask(ctx, sc, "SELECT VERSION(), @@sql_mode, @@max_allowed_packet, @@read_only, "+flushVariable,
		&r.Version, &mode, &packet, &readOnly, &flush)
	if err != nil {
		r.Problems = []string{classify(err, executing).Error()}
		return r
	}
	r.Reachable, r.Latency = true, time.Since(began)
	for _, problem := range []string{versionProblem(r.Version), flushProblem(flush, d.opts.Durability)} {
		if problem != "" {
			r.Problems = append(r.Problems, problem)
		}
	}
	if !isStrict(mode) {
		r.Problems = append(r.Problems, "sql_mode is not strict, so that values would be cut silently")
	}
	if packet < d.opts.MaxRow+d.opts.MaxRow/10 {
		r.Problems = append(r.Problems, fmt.Sprintf("max_allowed_packet is %d bytes: rows of up to %d bytes need %d; raise it, or lower MaxRow", packet, d.opts.MaxRow, d.opts.MaxRow+d.opts.MaxRow/10))
	}
	if readOnly {
		r.Problems = append(r.Problems, "the server is read-only")
	}
	return r
}

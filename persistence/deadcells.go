package persistence

import (
	"context"
	"encoding/json"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
)

// graves is the table of dead letters in an amorphous store.
var graves = amorphous.Table{Name: "dead_letters"}

const gravesPartition = "dead"

// buryCells keeps dead letters in the amorphous store.
func (l *Layer) buryCells(ctx context.Context, dead []transactional.DeadLetter) error {
	if err := l.cells.Prepare(ctx, graves); err != nil {
		return err
	}
	for i := range dead {
		body, err := json.Marshal(&dead[i])
		if err != nil {
			return err
		}
		row := amorphous.Row{Partition: gravesPartition, Order: []byte(dead[i].ID), ID: dead[i].ID, Shape: 1,
			Stamp: amorphous.Stamp{Version: dead[i].Died.UnixMicro(), Tie: record.Digest(body)}, Body: body}
		if err := l.cells.Write(ctx, graves, row)[0]; err != nil && err != amorphous.ErrSuperseded {
			return err
		}
	}
	return nil
}

func (l *Layer) unburyCell(ctx context.Context, id string) error {
	row := amorphous.Row{Partition: gravesPartition, Order: []byte(id), ID: id, Deleted: true,
		Stamp: amorphous.Stamp{Version: nowMicro(), Tie: ^uint64(0)}}
	return l.cells.Write(ctx, graves, row)[0]
}

func (l *Layer) cellLetters(ctx context.Context, f DeadFilter) ([]transactional.DeadLetter, error) {
	if err := l.cells.Prepare(ctx, graves); err != nil {
		return nil, err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	var out []transactional.DeadLetter
	r := amorphous.Range{Partition: gravesPartition, Limit: limit}
	if f.After != "" {
		r.From = append([]byte(f.After), 0)
	}
	for {
		page, err := l.cells.Scan(ctx, graves, r)
		if err != nil {
			return nil, err
		}
		for _, row := range page.Rows {
			var d transactional.DeadLetter
			if err := json.Unmarshal(row.Body, &d); err != nil {
				return nil, &fault.Error{Op: "dead letters", Class: fault.ErrCorrupt, Err: err}
			}
			if matches(f, &d) && len(out) < limit {
				out = append(out, d)
			}
		}
		if page.Next == nil || len(out) >= limit {
			return out, nil
		}
		r.After = page.Next
	}
}

func matches(f DeadFilter, d *transactional.DeadLetter) bool {
	return (f.Kind == "" || f.Kind == d.Kind) && (f.Task == "" || f.Task == d.Task) && (f.Key == "" || f.Key == d.Key)
}

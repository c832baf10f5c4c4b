package persistence

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/transactional"
)

// What goes over all objects of a kind remembers how far it is in a table of
// the layer, so that a process that is killed goes on where it was. Its name is
// like that of debtsName: no kind's table has it.
var (
	positionRows  = &transactional.Table{Name: "layer__own__positions", Columns: []transactional.Column{{Name: "body", Type: transactional.Type(record.ColumnBytes)}}}
	positionCells = amorphous.Table{Name: "layer__own__positions"}
)

// loadPosition reads a position into p; one that is not there leaves p alone.
func (l *Layer) loadPosition(ctx context.Context, name string, p any) error {
	var body []byte
	if l.rows != nil {
		if err := l.rows.Prepare(ctx, positionRows); err != nil {
			return err
		}
		rows, err := l.rows.Read(ctx, positionRows, name)
		if err != nil {
			return err
		}
		if len(rows) > 0 && !rows[0].Deleted {
			body, _ = rows[0].Values[0].([]byte)
		}
	} else {
		if err := l.cells.Prepare(ctx, positionCells); err != nil {
			return err
		}
		cells, err := l.cells.Read(ctx, positionCells, amorphous.Address{Partition: name, ID: name})
		if err != nil {
			return err
		}
		if len(cells) > 0 {
			body = cells[0].Body
		}
	}
	if body == nil {
		return nil
	}
	return json.Unmarshal(body, p)
}

// positionWrite is the row of a position, for a unit of the caller's.
func (l *Layer) positionWrite(ctx context.Context, name string, p any) (transactional.Write, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return transactional.Write{}, err
	}
	version, err := l.ticks.now(ctx, false)
	return transactional.Write{Table: positionRows, Row: transactional.Row{
		ID: name, Stamp: transactional.Stamp{Version: version, Tie: record.Digest(body)}, Values: []any{body},
	}}, err
}

// savePosition makes a position durable.
func (l *Layer) savePosition(ctx context.Context, name string, p any) error {
	w, err := l.positionWrite(ctx, name, p)
	switch {
	case err != nil:
		return err
	case l.rows != nil:
		_, err = l.rows.Apply(ctx, &transactional.Unit{Writes: []transactional.Write{w}})
		return err
	}
	err = l.cells.Write(ctx, positionCells, amorphous.Row{
		Partition: name, ID: name, Shape: 1, Stamp: amorphous.Stamp(w.Row.Stamp), Body: w.Row.Values[0].([]byte),
	})[0]
	if errors.Is(err, amorphous.ErrSuperseded) {
		return nil
	}
	return err
}

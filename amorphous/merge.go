package amorphous

import (
	"cmp"
	"iter"
	"slices"

	"github.com/fourfold-dev/fourfold/internal/record"
)

// Compare orders stamps: by Version, then by Tie. It returns -1, 0 or +1.
func (s Stamp) Compare(other Stamp) int {
	if c := cmp.Compare(s.Version, other.Version); c != 0 {
		return c
	}
	return cmp.Compare(s.Tie, other.Tie)
}

// Address is where the row lies.
func (r *Row) Address() Address { return Address{r.Partition, r.Order, r.ID} }

// SameRow reports whether two cells belong to one row.
func (r *Row) SameRow(other *Row) bool {
	return r.ID == other.ID && r.Partition == other.Partition && string(r.Order) == string(other.Order)
}

// Grouped returns the rows among the cells of a Page, or of what Read
// returned, one slice of cells per row. The slices share memory with cells.
func Grouped(cells []Row) iter.Seq[[]Row] {
	return func(yield func([]Row) bool) {
		for start := 0; start < len(cells); {
			end := start + 1
			for end < len(cells) && cells[end].SameRow(&cells[start]) {
				end++
			}
			if !yield(cells[start:end:end]) {
				return
			}
			start = end
		}
	}
}

// Merge returns the body and the stamp of a row, given its live cells. One
// cell is the body as it is; of several, each property comes from the newest
// cell that has it; a whole Document covers everything older, since what it
// does not hold it has not. Ok is false when there is no live cell. A body that
// is not a record is fault.ErrCorrupt.
func Merge(cells []Row) (body []byte, stamp Stamp, ok bool, err error) {
	switch len(cells) {
	case 0:
		return nil, Stamp{}, false, nil
	case 1:
		return cells[0].Body, cells[0].Stamp, !cells[0].Deleted, nil
	}
	sorted := make([]*Row, 0, len(cells))
	for i := range cells {
		if !cells[i].Deleted {
			sorted = append(sorted, &cells[i])
		}
	}
	if len(sorted) == 0 {
		return nil, Stamp{}, false, nil
	}
	// Newest first; cells of one stamp by shape, so that every reader of every
	// store merges alike.
	slices.SortFunc(sorted, func(a, b *Row) int {
		if c := b.Stamp.Compare(a.Stamp); c != 0 {
			return c
		}
		return cmp.Compare(a.Shape, b.Shape)
	})
	bodies := make([][]byte, 0, len(sorted))
	for _, cell := range sorted {
		if bodies = append(bodies, cell.Body); cell.Shape == record.DocumentShape {
			break
		}
	}
	body, err = record.Merge(bodies...)
	if err != nil {
		return nil, Stamp{}, false, locate(err, "merge", "", sorted[0].ID)
	}
	return body, sorted[0].Stamp, true, nil
}

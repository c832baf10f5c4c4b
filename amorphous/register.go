package amorphous

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/fourfold-dev/fourfold/internal/record"
	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// A register knows at which places the versions of an origin have rows. It is
// a table of its own. An origin is a partition; its rows are chunks, by number,
// and each has a cell for every version, told apart by Shape, which is a digest
// of its content: two attempts of one version that cut its rows into other
// chunks stand side by side, and together say where it wrote.
//
// A chunk is struck off by a tombstone at the newest older stamp that was seen
// in it. What it covers and was not seen came later, and so will see the newer
// version and bury itself. The first chunk is struck off last, and says
// whether there are others: to read it is to know the versions.
type register struct {
	store   *Store
	table   Table
	horizon time.Duration
}

// An entry is a chunk of one version.
type entry struct {
	stamp  Stamp
	chunk  uint32
	more   bool // other chunks follow
	places []Address
}

const registerID = "places"

func chunkOrder(chunk uint32) []byte { return binary.BigEndian.AppendUint32(nil, chunk) }

// newestOf is the newest stamp among entries; the zero stamp without any.
func newestOf(entries []entry) (newest Stamp) {
	for i := range entries {
		if entries[i].stamp.Compare(newest) > 0 {
			newest = entries[i].stamp
		}
	}
	return newest
}

// entries are the cells by which the shares of a batch are registered.
func (r *register) entries(shares []share, batch []Row) []Row {
	now := time.Now()
	rows := make([]Row, 0, len(shares))
	var body []byte
	for _, s := range shares {
		start := len(body)
		body = appendPlaces(body, batch[s.from:s.to], s.more)
		rows = append(rows, Row{
			Partition: s.of.Key, Order: chunkOrder(uint32(s.of.chunks)), ID: registerID,
			Stamp: s.of.Stamp, Expires: r.life(s, now), Body: body[start:len(body):len(body)],
		})
		row := &rows[len(rows)-1]
		row.Shape = shapeOf(row.Stamp, row.Body)
		s.of.chunks++
	}
	return rows
}

// enter registers the shares of a batch. A share that could not be registered
// has failed.
func (r *register) enter(ctx context.Context, shares []share, batch []Row) {
	for i, err := range r.store.Write(ctx, r.table, r.entries(shares, batch)...) {
		if err != nil && !errors.Is(err, ErrSuperseded) {
			shares[i].of.fail(err)
		}
	}
}

func shapeOf(stamp Stamp, body []byte) uint64 {
	head := binary.BigEndian.AppendUint64(nil, uint64(stamp.Version))
	head = binary.BigEndian.AppendUint64(head, stamp.Tie)
	return max(record.Digest(append(head, body...)), 1)
}

// life is how long a registration is kept: as long as the rows, and never
// shorter than older versions may still come. That nothing is implied is
// remembered only that long.
func (r *register) life(s share, now time.Time) time.Time {
	least := now.Add(r.horizon).Truncate(time.Microsecond)
	if s.from == s.to || !s.of.Expires.IsZero() && s.of.Expires.Before(least) {
		return least
	}
	return s.of.Expires
}

// readEnded reads what is registered of the origins that end with a batch.
func (r *register) readEnded(ctx context.Context, shares []share) map[string][]entry {
	known := map[string][]entry{}
	var at []Address
	for _, s := range shares {
		if s.more {
			continue
		}
		if _, again := known[s.of.Key]; !again {
			known[s.of.Key] = nil
			at = append(at, Address{s.of.Key, chunkOrder(0), registerID})
		}
	}
	cells, err := r.store.Read(ctx, r.table, at...)
	for i := range cells {
		if err == nil {
			var e entry
			e, err = parseEntry(&cells[i])
			known[cells[i].Partition] = append(known[cells[i].Partition], e)
		}
	}
	for _, s := range shares {
		if !s.more {
			s.of.fail(err)
		}
	}
	r.complete(ctx, shares, known)
	return known
}

// complete reads all that is registered of the origins that end with a batch, and
// of which there is more than the first chunk.
func (r *register) complete(ctx context.Context, shares []share, known map[string][]entry) {
	for _, s := range shares {
		o := s.of
		if !s.more && o.err == nil && (o.chunks > 1 || slices.ContainsFunc(known[o.Key], func(e entry) bool { return e.more })) {
			var whole []entry
			if whole, o.err = r.scan(ctx, o.Key); o.err == nil {
				known[o.Key] = whole
			}
		}
	}
}

// scan reads all that is registered of an origin.
func (r *register) scan(ctx context.Context, key string) (out []entry, err error) {
	within := Range{Partition: key}
	for {
		page, err := r.store.Scan(ctx, r.table, within)
		if err != nil {
			return nil, err
		}
		for i := range page.Rows {
			e, err := parseEntry(&page.Rows[i])
			if err != nil {
				return nil, locate(err, "read", r.table.Name, key)
			}
			out = append(out, e)
		}
		if within.After = page.Next; page.Next == nil {
			return out, nil
		}
	}
}

// strike strikes off entries whose places are buried.
func (r *register) strike(ctx context.Context, key string, entries []entry) error {
	newest := map[uint32]Stamp{}
	for _, e := range entries {
		if e.stamp.Compare(newest[e.chunk]) > 0 {
			newest[e.chunk] = e.stamp
		}
	}
	var first, others []Row
	for chunk, stamp := range newest {
		row := Row{Partition: key, Order: chunkOrder(chunk), ID: registerID, Stamp: stamp, Deleted: true}
		if chunk == 0 {
			first = append(first, row)
		} else {
			others = append(others, row)
		}
	}
	for _, rows := range [][]Row{others, first} {
		for _, err := range r.store.Write(ctx, r.table, rows...) {
			if err != nil && !errors.Is(err, ErrSuperseded) {
				return err
			}
		}
	}
	return nil
}

// The body of a chunk: a format, whether there is more, and places, each with
// a byte that says which of its parts are those of the place before it.
const (
	placesFormat  = 1
	samePartition = 1
	sameOrder     = 2
	sameID        = 4
)

func appendPlaces(buf []byte, rows []Row, more bool) []byte {
	flags := byte(0)
	if more {
		flags = 1
	}
	buf = append(buf, placesFormat, flags)
	var last Row
	for i := range rows {
		r := &rows[i]
		same := byte(0)
		if i > 0 && r.Partition == last.Partition {
			same |= samePartition
		}
		if i > 0 && string(r.Order) == string(last.Order) {
			same |= sameOrder
		}
		if i > 0 && r.ID == last.ID {
			same |= sameID
		}
		buf = append(buf, same)
		if same&samePartition == 0 {
			buf = appendPart(buf, r.Partition)
		}
		if same&sameOrder == 0 {
			buf = appendPart(buf, r.Order)
		}
		if same&sameID == 0 {
			buf = appendPart(buf, r.ID)
		}
		last = *r
	}
	return buf
}

func parseEntry(cell *Row) (entry, error) {
	e := entry{stamp: cell.Stamp}
	body := cell.Body
	if len(cell.Order) != 4 || len(body) < 2 || body[0] != placesFormat {
		return e, errEntry()
	}
	e.chunk, e.more = binary.BigEndian.Uint32(cell.Order), body[1]&1 != 0
	part := func(body []byte, same bool, last string) (value string, rest []byte, ok bool) {
		if same {
			return last, body, true
		}
		size, used := binary.Uvarint(body)
		if used <= 0 || size > uint64(len(body)-used) {
			return "", nil, false
		}
		return string(body[used : used+int(size)]), body[used+int(size):], true
	}
	var partition, order, id string
	for body = body[2:]; len(body) > 0; {
		same := body[0]
		var ok [3]bool
		partition, body, ok[0] = part(body[1:], same&samePartition != 0, partition)
		order, body, ok[1] = part(body, same&sameOrder != 0, order)
		id, body, ok[2] = part(body, same&sameID != 0, id)
		if !ok[0] || !ok[1] || !ok[2] {
			return e, errEntry()
		}
		e.places = append(e.places, Address{partition, []byte(order), id})
	}
	return e, nil
}

func errEntry() error {
	return fault.New(fault.ErrCorrupt, "", "", "a registration cannot be read: was it written by another program?")
}

package transactional

import (
	"slices"
	"strings"

	"github.com/fourfold-dev/fourfold/internal/flow"
)

// The states of an outbox record. A record's place in the one index of the
// outbox is (state, queue, sort, id):
//
//	state    queue      sort
//	ready    its lane   its priority
//	claimed  empty      when the lease ends, in microseconds
//	later    empty      when it is due, in microseconds
//
// So claiming by lane, freeing what a lease no longer holds, and promoting
// what has become due are each a walk along the beginning of a range, however
// many records there are, and every insert pays for one index only.
//
// What a record's state becomes is decided by flow.Custody. Where a statement
// changes many rows without a look at them it says the same in SQL, which
// internal/sim compares, row by row, over seeded histories.
const (
	stateReady   = int64(flow.Ready)
	stateClaimed = int64(flow.Claimed)
	stateLater   = int64(flow.Later)
)

// A systemTable is one of ours.
type systemTable struct {
	name    string
	columns [][2]string // name, and a Type or one of the names below
	key     []string
	indexes [][]string
}

// Types of our columns beyond those of Type: all of them NOT NULL.
const (
	colName   = "name"   // Dialect.Key
	colID     = "id"     // Dialect.ID
	colNumber = "number" // Int
	colPlaces = "places" // Bytes
)

var systemTables = []systemTable{
	{
		name: "outbox",
		columns: [][2]string{
			{"id", colID}, {"state", colNumber}, {"queue", colName}, {"sort", colNumber}, {"owner", colNumber},
			{"seq", colNumber}, {"lost", colNumber}, {"wake", colNumber}, {"orders", colNumber},
			{"kind", colName}, {"okey", colName}, {"lane", colName}, {"priority", colNumber},
			{"due", colNumber}, {"accepted", colNumber}, {"token", colName}, {"digest", colNumber},
			{"progress", string(Bytes)}, {"body", string(Bytes)},
		},
		key:     []string{"id"},
		indexes: [][]string{{"state", "queue", "sort", "id"}},
	},
	{
		name:    "marks",
		columns: [][2]string{{"id", colID}, {"until", colNumber}, {"mark", string(Bytes)}},
		key:     []string{"id"},
		indexes: [][]string{{"until"}},
	},
	{
		name: "tokens",
		columns: [][2]string{
			{"kind", colName}, {"token", colName}, {"id", colID}, {"digest", colNumber}, {"until", colNumber},
		},
		key:     []string{"kind", "token"},
		indexes: [][]string{{"until"}},
	},
	{
		name:    "orders",
		columns: [][2]string{{"task", colName}, {"okey", colName}, {"id", colID}},
		key:     []string{"task", "okey", "id"},
		indexes: [][]string{{"id"}},
	},
	{
		name: "slots",
		columns: [][2]string{
			{"name", colName}, {"okey", colName}, {"place", colNumber}, {"owner", colNumber}, {"until", colNumber},
		},
		key:     []string{"name", "okey", "place"},
		indexes: [][]string{{"until"}},
	},
	{
		name: "dead",
		columns: [][2]string{
			{"id", colName}, {"kind", colName}, {"okey", colName}, {"task", colName}, {"reason", string(Text)},
			{"detail", string(Text)}, {"attempts", colNumber}, {"accepted", colNumber}, {"died", colNumber},
			{"envelope", string(Bytes)},
		},
		key:     []string{"id"},
		indexes: [][]string{{"kind", "task", "id"}},
	},
	{
		name: "whereabouts",
		columns: [][2]string{
			{"space", colName}, {"okey", colName}, {"version", colNumber}, {"tie", colNumber}, {"until", colNumber},
			{"place", colPlaces}, {"former", colPlaces}, {"struck", colNumber}, {"touched", colNumber},
		},
		key: []string{"space", "okey"},
	},
	{
		name:    "meta",
		columns: [][2]string{{"name", colName}, {"value", colNumber}},
		key:     []string{"name"},
	},
}

// names returns the columns' names.
func (t *systemTable) names() []string {
	out := make([]string, len(t.columns))
	for i, c := range t.columns {
		out[i] = c[0]
	}
	return out
}

func ourTable(name string) *systemTable {
	i := slices.IndexFunc(systemTables, func(t systemTable) bool { return t.name == name })
	return &systemTables[i]
}

// claimColumns is what a claim returns of a record; walks leave out the last.
var claimColumns = []string{
	"id", "owner", "seq", "lost", "orders", "kind", "okey", "lane", "priority",
	"due", "accepted", "token", "digest", "progress", "body",
}

// ourSQL holds the statements on our own tables.
type ourSQL struct {
	insertRecord, insertMark, insertToken, insertOrder, insertDead sized
	held, heldSkip, heldThere                                      sized
	finish, deleteRecords, deleteOrders, ordersOf                  sized
	back, backProgress, hold, holdProgress                         sized
	tokens                                                         sized
	claim, unclaimed, find, extend, freeSome, promoteSome          sized
	deadThere, deleteDead                                          sized
	deleteMarks                                                    sized
	place, placed, placedSkip, placedThere                         sized

	laneReady, expired, due                      string
	claimedBut                                   func(owners string) string // " AND …", or nothing: all
	nextLater, nextOver                          string
	freeOrder, successor, wakeLater, wakeClaimed string
	holdNow                                      string
	mark, walk, clock                            string
	raise, raiseInsert, level                    string
	marksOver, tokensOver, deleteToken           string
	slots, insertSlot, takeSlot, staySlot        string
	leaveSlot, slotsOver                         string
	newPlace, leavePlaces                        string
	walkPlaces, deletePlace                      string
	table                                        map[string]string // quoted names
}

func (o *ourSQL) compile(s *Store) {
	q := s.dialect.Quote
	o.table = map[string]string{}
	for _, t := range systemTables {
		o.table[t.name] = q(s.prefix + t.name)
	}
	o.compileWrites(&s.dialect)
	o.compileSettle(&s.dialect)
	o.compileClaim(&s.dialect)
	o.compileSlots(&s.dialect)
	o.compilePlaces(&s.dialect)
	o.compileRest(&s.dialect)
}

// into renders INSERT for n rows.
func (o *ourSQL) into(table string, columns []string, clause string) func(int) string {
	tuple := "(" + marks(len(columns)) + ")"
	head := "INSERT INTO " + o.table[table] + " (" + strings.Join(columns, ", ") + ") VALUES "
	return func(n int) string { return head + repeat(tuple, n) + clause }
}

// in renders a statement that ends in a list of n arguments.
func in(head, tail string) func(int) string {
	return func(n int) string { return head + " IN (" + marks(n) + ")" + tail }
}

func (o *ourSQL) compileWrites(d *Dialect) {
	o.insertRecord.fine, o.insertMark.fine, o.place.fine = true, true, true
	o.insertRecord.build = o.into("outbox", ourTable("outbox").names(), "")
	o.insertMark.build = o.into("marks", ourTable("marks").names(), " "+d.IgnoreDuplicate([]string{"id"}))
	o.insertToken.build = o.into("tokens", ourTable("tokens").names(), "")
	o.insertOrder.build = o.into("orders", ourTable("orders").names(), " "+d.IgnoreDuplicate(ourTable("orders").key))
	o.insertDead.build = o.into("dead", ourTable("dead").names(), " "+d.IgnoreDuplicate([]string{"id"}))
	o.tokens.build = in("SELECT token, id, digest, until FROM "+o.table["tokens"]+" WHERE kind = ? AND token", d.Lock)
	o.deleteToken = "DELETE FROM " + o.table["tokens"] + " WHERE kind = ? AND token = ?"
}

func (o *ourSQL) compileSettle(d *Dialect) {
	outbox, orders := o.table["outbox"], o.table["orders"]
	byKey, remove := outbox+d.ByKey, d.deleteByKey(outbox)
	o.held.build = in("SELECT id, state, owner, seq, orders, wake FROM "+byKey+" WHERE id", d.Lock)
	o.heldThere.build = in("SELECT id FROM "+byKey+" WHERE id", "")
	o.heldSkip.build = in("SELECT id FROM "+byKey+" WHERE id", d.LockSkip)
	o.finish.build = in(remove+" WHERE state = 1 AND owner = ? AND seq = 0 AND orders = 0 AND id", "")
	o.deleteRecords.build = in(remove+" WHERE id", "")
	o.deleteOrders.build = in("DELETE FROM "+orders+" WHERE id", "")
	o.ordersOf.build = in("SELECT task, okey, id FROM "+orders+" WHERE id", "")
	// A row that goes on is there and locked, so these inserts only ever
	// replace: it is the one way to update many rows to different values in
	// one statement that every server has.
	key := []string{"id"}
	hold := []string{"seq"}
	back := []string{"seq", "state", "queue", "sort", "owner", "wake", "lane", "priority", "due"}
	build := func(set ...string) func(int) string {
		return o.into("outbox", slices.Concat(key, set), " "+d.Replace(key, set))
	}
	o.hold.build, o.holdProgress.build = build(hold...), build(append(hold, "progress")...)
	o.back.build, o.backProgress.build = build(back...), build(append(back, "progress")...)
	o.holdNow = "UPDATE " + outbox + " SET seq = seq + 1, progress = ? WHERE id = ? AND state = 1 AND owner = ? AND seq = ?"
	o.freeOrder = "DELETE FROM " + orders + " WHERE task = ? AND okey = ? AND id = ?"
	o.successor = "SELECT MIN(id) FROM " + orders + " WHERE task = ? AND okey = ?"
	o.wakeLater = "UPDATE " + outbox + " SET state = 0, queue = lane, sort = priority, due = ? WHERE id = ? AND state = 2"
	o.wakeClaimed = "UPDATE " + outbox + " SET wake = 1 WHERE id = ? AND state = 1"
}

func (o *ourSQL) compileClaim(d *Dialect) {
	outbox := o.table["outbox"]
	byKey := outbox + d.ByKey
	columns := "SELECT " + strings.Join(claimColumns, ", ") + " FROM "
	all := columns + outbox
	o.laneReady = all + " WHERE state = 0 AND queue = ? ORDER BY sort, id LIMIT ?" + d.LockSkip
	o.claim.build = in("UPDATE "+byKey+" SET state = 1, queue = '', sort = ?, owner = ?, wake = 0 WHERE id", "")
	o.unclaimed.build = func(n int) string {
		return columns + byKey + " WHERE id IN (" + marks(n) + ") AND (state = 0 OR (state = 2 AND sort <= ?))" + d.LockSkip
	}
	o.find.build = in(columns+byKey+" WHERE id", "")
	o.extend.build = in("UPDATE "+byKey+" SET sort = ? WHERE state = 1 AND owner = ? AND id", "")
	o.expired = "SELECT id FROM " + outbox + " WHERE state = 1 AND queue = '' AND sort <= ? ORDER BY sort, id LIMIT ?" + d.LockSkip
	o.claimedBut = func(owners string) string {
		return "SELECT id FROM " + outbox + " WHERE state = 1 AND queue = ''" + owners + " ORDER BY sort, id LIMIT ?" + d.LockSkip
	}
	o.due = "SELECT id FROM " + outbox + " WHERE state = 2 AND queue = '' AND sort <= ? ORDER BY sort, id LIMIT ?" + d.LockSkip
	first := func(state string) string {
		return "(SELECT MIN(sort) FROM " + outbox + " WHERE state = " + state + " AND queue = '')"
	}
	o.nextLater = "SELECT " + first("2")
	o.nextOver = "SELECT " + first("1") + ", " + first("2")
	for _, table := range []string{"marks", "tokens", "slots"} {
		o.nextOver += ", (SELECT MIN(until) FROM " + o.table[table] + ")"
	}
	o.freeSome.build = in("UPDATE "+byKey+" SET state = 0, queue = lane, sort = priority, owner = 0, lost = lost + 1 WHERE id", "")
	o.promoteSome.build = in("UPDATE "+byKey+" SET state = 0, queue = lane, sort = priority WHERE id", "")
	o.walk = "SELECT " + strings.Join(claimColumns[:len(claimColumns)-1], ", ") + " FROM " + outbox + " WHERE id > ? ORDER BY id LIMIT ?"
}

func (o *ourSQL) compileSlots(d *Dialect) {
	slots, t := o.table["slots"], ourTable("slots")
	const one, mine = " WHERE name = ? AND okey = ? AND place = ?", " AND owner = ?"
	o.slots = "SELECT place, until FROM " + slots + " WHERE name = ? AND okey = ?" + d.Lock
	o.insertSlot = o.into("slots", t.names(), " "+d.IgnoreDuplicate(t.key))(1)
	o.takeSlot = "UPDATE " + slots + " SET owner = ?, until = ?" + one
	o.staySlot = "UPDATE " + slots + " SET until = ?" + one + mine
	o.leaveSlot = "DELETE FROM " + slots + one + mine
	o.slotsOver = "SELECT name, okey, place, owner FROM " + slots + " WHERE until <= ? ORDER BY until LIMIT ?" + d.LockSkip
}

func (o *ourSQL) compilePlaces(d *Dialect) {
	places := o.table["whereabouts"]
	const one = " WHERE space = ? AND okey = ?"
	o.place.build = o.into("whereabouts", ourTable("whereabouts").names(), " "+d.Place)
	o.newPlace = o.into("whereabouts", ourTable("whereabouts").names(), "")(1)
	const some = " WHERE space = ? AND okey"
	o.placed.build = in("SELECT okey, version, tie, place, former, struck FROM "+places+some, "")
	o.placedThere.build = in("SELECT okey FROM "+places+some, "")
	o.placedSkip.build = in("SELECT okey FROM "+places+some, d.LockSkip)
	// struck counts the bytes of former places that were taken out, so that a
	// number says where in all of them somebody's knowledge ends.
	o.leavePlaces = "UPDATE " + places + " SET former = SUBSTR(former, ? - struck + 1), struck = ?" + one +
		" AND struck < ? AND struck + LENGTH(former) >= ?"
	o.walkPlaces = "SELECT okey, until, LENGTH(former) FROM " + places + " WHERE space = ? AND okey > ? ORDER BY okey LIMIT ?"
	o.deletePlace = "DELETE FROM " + places + one + " AND until < ? AND until <> 0 AND LENGTH(former) = 0"
}

func (o *ourSQL) compileRest(d *Dialect) {
	o.mark = "SELECT mark FROM " + o.table["marks"] + " WHERE id = ?"
	o.marksOver = "SELECT id FROM " + o.table["marks"] + " WHERE until <= ? ORDER BY until LIMIT ?" + d.LockSkip
	o.deleteMarks.build = in(d.deleteByKey(o.table["marks"])+" WHERE id", "")
	o.tokensOver = "SELECT kind, token FROM " + o.table["tokens"] + " WHERE until <= ? ORDER BY until LIMIT ?" + d.LockSkip
	o.deadThere.build = in("SELECT id FROM "+o.table["dead"]+" WHERE id", d.Lock)
	o.deleteDead.build = in("DELETE FROM "+o.table["dead"]+" WHERE id", "")
	o.raiseInsert = o.into("meta", []string{"name", "value"}, " "+d.IgnoreDuplicate([]string{"name"}))(1)
	o.raise = "UPDATE " + o.table["meta"] + " SET value = ? WHERE name = ? AND value < ?"
	o.level = "SELECT value FROM " + o.table["meta"] + " WHERE name = ?"
	o.clock = "SELECT " + d.Now + ", COALESCE((SELECT value FROM " + o.table["meta"] + " WHERE name = ?), 0)"
}

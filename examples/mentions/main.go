// The mentions program follows who is mentioned in a stream of social posts, on
// four kinds of persistence, while clients watch live. A row of the stream is
// normalised into a mention; one Put of a mention updates the latest and the
// rate of its entity, raises alerts exactly once, and keeps the object, a
// timeline per entity, and exact counts per minute, hour and day.
//
//	go run ./examples/mentions                       a made-up stream, in process
//	go run ./examples/mentions -listen :8080         the same, live, for a browser
//	go run ./examples/mentions -help                 real files, four servers, and the rest
package main

import (
	"os"
	"time"
	_ "time/tzdata" // the time zone of the counts, also where the machine has none

	"github.com/fourfold-dev/fourfold/persistence"
)

// A Row is a row of the stream as it came, under its line number.
type Row struct {
	ID            string `persistence:"key"`
	Tweet, Entity string
	Group         string
	At            time.Time
}

// A Mention is a tweet that names an entity. The same pair may come in several
// rows, and is one mention.
type Mention struct {
	ID            string `persistence:"key"` // tweet and entity
	Tweet, Entity string
	Group         string
	At            time.Time
	// Minute is the key of the row that counts it: what stands in the object is
	// read for many at a time.
	Minute string `transitory:""`
}

// declare says what a row causes, and what a mention.
func (m *monitor) declare(layer *persistence.Layer) {
	m.rows = persistence.Declare(layer, "row", persistence.Plan[Row]{
		{Priority: 1, Name: "normalise", Purpose: persistence.Transitory, RealTime: true, Do: m.normalise},
		{Priority: 2, Name: "raw", Purpose: persistence.Amorphous},
	})
	m.mentions = persistence.Declare(layer, "mention", persistence.Plan[Mention]{
		{Priority: 1, Name: "latest", Purpose: persistence.Volatile, RealTime: true, Do: m.show,
			TTL: 24 * time.Hour, Rebuild: persistence.Rebuild(m.newest, Mention.order)},
		{Priority: 2, Name: "alerts", Purpose: persistence.Transactional, RealTime: true, Tx: m.alert},
		{Priority: 3, Name: "object", Purpose: persistence.Amorphous},
		{Priority: 4, Name: "timeline", Purpose: persistence.Amorphous, PartitionBy: "Entity", Newest: "At", Bucket: 24 * time.Hour},
		{Priority: 5, Name: "counts", Purpose: persistence.Amorphous, Count: &persistence.Counts{
			By: []string{"Entity"}, At: "At", Per: []time.Duration{time.Minute, time.Hour, 24 * time.Hour}, Zone: "Africa/Accra"}},
	})
	m.latest = persistence.ViewOf[Mention](m.mentions, "latest")
	// What the alerts task keeps, in one transaction: the tags say it all.
	m.heard = persistence.Declare[Heard](layer, "heard", nil)
	m.minutes = persistence.Declare[Minute](layer, "minute", nil)
	m.alerts = persistence.Declare[Alert](layer, "alert", nil)
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

package main

import (
	"flag"
	"os"
	"testing"

	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/persistence/servertest"
)

// tweets are how many of a made-up stream go over the four servers. The long tier
// has many:
//
//	go test ./examples/mentions -run TestOnServers -v -timeout 1h -args -tweets=50000
var tweets = flag.Int("tweets", 0, "tweets of TestOnServers; 0 skips it")

// argsOn are the flags of a stream on the four servers.
func argsOn(servers *servertest.Servers, path string) []string {
	return []string{
		"-transitory", servers.URL(persistence.Transitory), "-volatile", servers.URL(persistence.Volatile),
		"-transactional", servers.URL(persistence.Transactional), "-amorphous", servers.URL(persistence.Amorphous),
		"-namespace", servers.Options().Namespace, "-mentions", path, "-json",
	}
}

// On the four real servers, killed in the middle and run again, it ends with the
// totals that the input implies, all of them read back from the servers.
func TestOnServers(t *testing.T) {
	if *tweets == 0 {
		t.Skip("the campaign that kills a stream over four servers is asked for by -args -tweets=50000")
	}
	s := generate(*tweets)
	rows := len(s.rows)
	killedAndContinued(t, s.implied().public(), []int{rows / 5, rows / 3}, argsOn(servertest.Start(t), writeStream(t, s))...)
}

// The real file on the four real servers, where there is one. It takes minutes.
func TestTheRealFileOnServers(t *testing.T) {
	path := os.Getenv("FOURFOLD_MENTIONS")
	if path == "" {
		t.Skip("the data set that FOURFOLD_MENTIONS names is NOT TESTED on servers: set it to its path")
	}
	s, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := theRealTotals
	want.Alerts = s.implied().Alerts
	killedAndContinued(t, want, []int{30_000, 50_000}, argsOn(servertest.Start(t), path)...)
}

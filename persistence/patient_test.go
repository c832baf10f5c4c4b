package persistence_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/amorphous"
	"github.com/fourfold-dev/fourfold/internal/servers"
	"github.com/fourfold-dev/fourfold/persistence"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
	"github.com/fourfold-dev/fourfold/volatile"
)

// A patient is a server and the tasks that depend on it.
type patient struct {
	name    string
	server  *servers.Server
	cable   *servers.Cable // to the server; nil: the program has none
	purpose persistence.Purpose
	own     string // the task that waits for it
	refused string // the kind whose Put needs it
	waits   string // the task of which some lie there when it breaks; empty: what waits is an invalidation
}

// hurt breaks a server, in one of four ways.
func (p patient) hurt(t *testing.T, how string) {
	switch how {
	case "killed":
		p.server.Kill()
	case "cut":
		p.cable.Cut()
	case "slow": // half a second for a question and its answer
		p.cable.Delay(250 * time.Millisecond)
	default:
		if err := p.server.Pause(); err != nil {
			t.Error(err)
		}
	}
}

func (p patient) heal(t *testing.T, how string) {
	var err error
	switch how {
	case "killed":
		err = p.server.Restart(context.Background())
	case "cut", "slow":
		p.cable.Mend()
	default:
		err = p.server.Resume()
	}
	if err != nil {
		t.Error(err)
	}
}

// admit starts servers and a program over them, until the test ends. What is
// laid waits for so long; with cables a server can be cut off.
func admit(t *testing.T, kinds map[persistence.Purpose]servers.Kind, waits time.Duration, cabled bool) (*ward, []patient) {
	t.Helper()
	started, cables := map[persistence.Purpose]*servers.Server{}, map[persistence.Purpose]*servers.Cable{}
	for p, kind := range kinds {
		started[p] = servers.Test(t, kind)
		if cabled {
			cables[p] = servers.NewCable(t, started[p].Address())
		}
	}
	return openWard(t, wardStores(started, cables), waits), patientsOf(started, cables)
}

// patientsOf are the servers of a ward, in the order of the purposes.
func patientsOf(started map[persistence.Purpose]*servers.Server, cables map[persistence.Purpose]*servers.Cable) []patient {
	patients := []patient{
		{"beanstalkd", started[persistence.Transitory], cables[persistence.Transitory], persistence.Transitory, "", "", "lies/late"},
		{"memcached", started[persistence.Volatile], cables[persistence.Volatile], persistence.Volatile, "near", "", ""},
		{"mariadb", started[persistence.Transactional], cables[persistence.Transactional], persistence.Transactional, "count", "sale", "rows/late"},
		{"cassandra", started[persistence.Amorphous], cables[persistence.Amorphous], persistence.Amorphous, "object", "", "sale/object"},
	}
	return slices.DeleteFunc(patients, func(p patient) bool { return p.server == nil })
}

// wardStores are the sources of what was started, through the cables to it.
func wardStores(started map[persistence.Purpose]*servers.Server, cables map[persistence.Purpose]*servers.Cable) (out persistence.Stores) {
	for p, s := range started {
		url := s.URL()
		if c := cables[p]; c != nil {
			url = strings.Replace(url, s.Address(), c.Address(), 1)
		}
		switch p {
		case persistence.Transitory:
			out.Transitory = transitory.URL(url)
		case persistence.Volatile:
			out.Volatile = volatile.URL(url)
		case persistence.Transactional:
			out.Transactional = transactional.URL(url)
		case persistence.Amorphous:
			out.Amorphous = amorphous.URL(url)
		}
	}
	return out
}

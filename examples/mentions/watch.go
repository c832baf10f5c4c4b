package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/fourfold-dev/fourfold/persistence"
)

// A hub tells watchers of mentions as they are handled. It holds up nobody: a
// watcher that is slow misses some, and is told how many.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcher]bool
}

// A watcher watches one entity, or all.
type watcher struct {
	entity string // empty: all
	news   chan Mention
	missed int // since the last one; the hub's mutex holds
}

// ahead is how many mentions a watcher may be behind.
const ahead = 256

func newHub() *hub { return &hub{watchers: map[*watcher]bool{}} }

func (h *hub) watch(entity string) (w *watcher, stop func()) {
	w = &watcher{entity: entity, news: make(chan Mention, ahead)}
	h.mu.Lock()
	h.watchers[w] = true
	h.mu.Unlock()
	return w, func() {
		h.mu.Lock()
		delete(h.watchers, w)
		h.mu.Unlock()
	}
}

func (h *hub) tell(m Mention) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if w.entity != "" && w.entity != m.Entity {
			continue
		}
		select {
		case w.news <- m:
		default:
			w.missed++
		}
	}
}

// missedBy returns how many a watcher missed, and forgets it.
func (h *hub) missedBy(w *watcher) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := w.missed
	w.missed = 0
	return n
}

//go:embed page.html
var page []byte

// handler serves a page, the state of all entities, and server-sent events.
func (m *monitor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	})
	mux.HandleFunc("GET /entities", m.serveEntities)
	mux.HandleFunc("GET /watch", m.serveWatch)
	return mux
}

// An entityState is what /entities tells of one entity.
type entityState struct {
	Entity    string    `json:"entity"`
	Mentions  int64     `json:"mentions"`
	Latest    time.Time `json:"latest"`
	PerSecond float64   `json:"per_second"` // arrivals, over the last 30 seconds
	Alerts    []int64   `json:"alerts"`     // the levels that were reached
}

// shownEntities is how many entities /entities tells of.
const shownEntities = 100

func (m *monitor) serveEntities(w http.ResponseWriter, r *http.Request) {
	states, err := m.entities(r.Context(), shownEntities)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(states)
}

// entities returns the entities that are mentioned most.
func (m *monitor) entities(ctx context.Context, most int) ([]entityState, error) {
	top, err := m.mentions.Top(ctx, persistence.CountQuery{Task: "counts"}, most)
	if err != nil {
		return nil, err
	}
	states := make([]entityState, len(top))
	for i, c := range top {
		s := &states[i]
		s.Entity, s.Mentions = c.Of[0], c.N
		if latest, err := m.latest.Get(ctx, s.Entity); err == nil {
			s.Latest = latest.At
		}
		if rates, err := m.rate.Rates(ctx, s.Entity); err == nil {
			s.PerSecond = rates.PerSecond
		}
		for alert, err := range m.alerts.Find(ctx, persistence.Query{Where: map[string]any{"Entity": s.Entity}}) {
			if err != nil {
				return nil, err
			}
			s.Alerts = append(s.Alerts, alert.Level)
		}
	}
	return states, nil
}

// beat is how often a silent stream says that it is alive, so that proxies and
// both ends notice when it is not.
const beat = 15 * time.Second

// serveWatch streams mentions as server-sent events (the EventSource of the
// HTML standard): "mention" for each one, "missed" when the client was too slow.
func (m *monitor) serveWatch(w http.ResponseWriter, r *http.Request) {
	watcher, stop := m.hub.watch(r.URL.Query().Get("entity"))
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	alive := time.NewTicker(beat)
	defer alive.Stop()
	fmt.Fprint(w, ": watching\n\n")
	for out.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-alive.C:
			fmt.Fprint(w, ": alive\n\n")
		case mention := <-watcher.news:
			if n := m.hub.missedBy(watcher); n > 0 {
				fmt.Fprintf(w, "event: missed\ndata: %d\n\n", n)
			}
			data, err := json.Marshal(mention)
			if err != nil {
				return
			}
			fmt.Fprintf(w, "event: mention\nid: %s\ndata: %s\n\n", mention.Tweet, data)
		}
	}
}

// listen serves watchers until ctx ends, and returns the address that it
// listens at.
func (m *monitor) listen(ctx context.Context, address string) (string, func() error, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{
		Handler: m.handler(), ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return listener.Addr().String(), func() error {
		server.Close()
		if err := <-served; err != http.ErrServerClosed {
			return err
		}
		return nil
	}, nil
}

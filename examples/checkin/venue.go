package main

import (
	"context"
	"sync"
	"time"
)

// stub until volatile.Presence lands
var (
	hereMu sync.Mutex
	here   = map[string]map[string]time.Time{}
)

func (game *game) associate(ctx context.Context, c Checkin) error {
	hereMu.Lock()
	defer hereMu.Unlock()
	if here[c.Venue] == nil {
		here[c.Venue] = map[string]time.Time{}
	}
	if here[c.Venue][c.User].Before(c.At) {
		here[c.Venue][c.User] = c.At
	}
	return nil
}

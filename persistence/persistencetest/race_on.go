//go:build race

package persistencetest

const raceEnabled = true

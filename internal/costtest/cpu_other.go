//go:build !linux

package costtest

import "time"

// CPU is zero: not known.
func CPU() time.Duration { return 0 }

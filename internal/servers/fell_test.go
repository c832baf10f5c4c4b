package servers

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A failing test keeps what it is told, and its clean-ups.
type failing struct {
	TB
	cleanups []func()
	told     strings.Builder
}

func (f *failing) Failed() bool                { return true }
func (f *failing) Cleanup(do func())           { f.cleanups = append(f.cleanups, do) }
func (f *failing) Logf(text string, of ...any) { fmt.Fprintf(&f.told, text+"\n", of...) }

// A test that fails is told when a server of its has crashed, also when it has
// killed that itself afterwards.
func TestACrashIsNamed(t *testing.T) {
	for _, crashes := range []bool{true, false} {
		f := &failing{TB: t}
		s := Test(f, Beanstalkd{})
		if crashes {
			p, err := os.FindProcess(s.PID())
			if err == nil {
				err = p.Kill()
			}
			if err != nil {
				t.Fatal(err)
			}
			<-s.process.done
		}
		s.Kill()
		for _, do := range f.cleanups {
			do()
		}
		if named := strings.Contains(f.told.String(), "ended by itself: signal: killed"); named != crashes {
			t.Errorf("a server that crashed (%t): %s", crashes, f.told.String())
		}
	}
}

package transitory

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/persistence/fault"
)

// Limits.
const (
	DefaultTTR = 30 * time.Second
	MaxDelay   = time.Hour
	MaxTube    = 199 // bytes of a tube's name
)

// A Queue is a queue of jobs in tubes. It validates what it is given before
// the driver sees it, so that no name or size can upset a server.
type Queue struct{}

// New returns a Queue over a driver, which Close closes.
func New(driver Driver) *Queue { panic("todo") }

// Put adds jobs, each on its own; the result is aligned.
func (q *Queue) Put(ctx context.Context, jobs ...Job) []error { panic("todo") }

// Reserve waits for jobs: see Driver.Reserve.
func (q *Queue) Reserve(ctx context.Context, tubes []string, max int) ([]Job, error) { panic("todo") }

// Delete removes reserved jobs.
func (q *Queue) Delete(ctx context.Context, ids ...ID) []error { panic("todo") }

// Release gives reserved jobs back.
func (q *Queue) Release(ctx context.Context, releases ...Release) []error { panic("todo") }

// Touch restarts the TTR of reserved jobs.
func (q *Queue) Touch(ctx context.Context, ids ...ID) []error { panic("todo") }

// Stats counts the jobs of tubes.
func (q *Queue) Stats(ctx context.Context, tubes ...string) ([]TubeStats, error) { panic("todo") }

// Features are the driver's.
func (q *Queue) Features() Features { panic("todo") }

// Check reports health.
func (q *Queue) Check(ctx context.Context) fault.Report { panic("todo") }

// Close closes the driver. Closing twice is fine.
func (q *Queue) Close() error { panic("todo") }

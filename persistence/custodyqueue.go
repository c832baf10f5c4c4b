package persistence

import (
	"context"
	"time"

	"github.com/fourfold-dev/fourfold/internal/crash"
	"github.com/fourfold-dev/fourfold/internal/envelope"
	"github.com/fourfold-dev/fourfold/internal/flow"
	"github.com/fourfold-dev/fourfold/persistence/fault"
	"github.com/fourfold-dev/fourfold/transactional"
	"github.com/fourfold-dev/fourfold/transitory"
)

// maxQueueDelay is the longest wait between attempts in transitory custody,
// where a long delay pins the server's log.
const maxQueueDelay = time.Minute

// queueCustody records envelopes as jobs: one job per envelope, as durable as
// the queue is.
type queueCustody struct {
	layer *Layer
	store *transitory.Queue
}

func (c *queueCustody) name() Custody { return TransitoryCustody }

func (c *queueCustody) lease() time.Duration { return c.layer.opts.Lease }

// job is an envelope as a job in the tube that a settlement leads to.
func (c *queueCustody) job(h *held, s flow.Settlement, tasks []envelope.Task) transitory.Job {
	env := *h.env
	env.Tasks = tasks
	var delay time.Duration
	if s.Due > 0 {
		delay = min(max(time.Until(microTime(s.Due)), 0), maxQueueDelay)
	}
	return transitory.Job{
		Tube: c.layer.laneName(h.kind, s, h), Priority: s.Priority, Delay: delay,
		TTR: c.layer.lease(), Body: env.Append(nil),
	}
}

func (c *queueCustody) put(ctx context.Context, job transitory.Job) (transitory.ID, error) {
	jobs := []transitory.Job{job}
	err := c.store.Put(ctx, jobs...)[0]
	return jobs[0].ID, err
}

func (c *queueCustody) claim(ctx context.Context, lanes []string, most int) ([]*held, error) {
	jobs, err := c.store.Reserve(ctx, lanes, most)
	if err != nil {
		return nil, err
	}
	crash.Point("claim.queue.after")
	if len(jobs) == 0 {
		return nil, nil
	}
	out := make([]*held, 0, len(jobs))
	var again map[transactional.RecordID]bool // made when it is needed, which is hardly ever
	for i := range jobs {
		h := c.open(ctx, &jobs[i])
		if h == nil {
			continue
		}
		if jobs[i].Reserves > 1 {
			if again == nil {
				again = map[transactional.RecordID]bool{}
			}
			again[h.id()] = true
		}
		out = append(out, h)
	}
	c.again(again)
	return out, nil
}

// again notes what this process holds and was handed once more, as all of it is
// when the machine was suspended for longer than a time to run: what waits in a
// lane need not run twice.
func (c *queueCustody) again(ids map[transactional.RecordID]bool) {
	if len(ids) == 0 {
		return
	}
	for _, h := range c.layer.engine.holding() {
		if h.custody == c && ids[h.id()] {
			h.gone.Store(true)
		}
	}
}

// open opens a job. One that is no intact envelope is never run and never
// lost: it goes to the quarantine tube, as it is.
func (c *queueCustody) open(ctx context.Context, job *transitory.Job) *held {
	o := &opened{}
	if err := o.open(job.Body); err != nil {
		c.setApart(ctx, job, err)
		return nil
	}
	k := c.layer.kindOf(o.of.Kind)
	if k == nil {
		c.forward(ctx, job, o.of.Kind)
		return nil
	}
	h := &o.held
	c.layer.holdIn(h, k, &o.of)
	h.custody, h.job, h.tube, h.lost = c, job.ID, job.Tube, max(job.Reserves-1, 0)
	h.receipt = c.layer.engine.followed(h.id())
	c.layer.engine.doneBefore(h)
	if job.Tube == k.lane.suspect {
		h.suspect = true
		return h
	}
	if h.suspicious() {
		c.move(ctx, job, k.lane.suspect)
		return nil
	}
	h.lost = 0
	return h
}

// reserved is a context for what is done to a job that was reserved, although the
// wait for it may be over by now: one that could not be moved for that would lie
// there until its time to run is over.
func (c *queueCustody) reserved(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), c.layer.opts.Lease)
}

// newerWait is how long a job of a newer program's format is left to that
// program before this one looks at it again.
const newerWait = 10 * time.Second

// setApart deals with a job that cannot be read: one in a format of the future
// is a newer program's, and waits for it; anything else is set apart.
func (c *queueCustody) setApart(ctx context.Context, job *transitory.Job, cause error) {
	if fault.ClassOf(cause) == fault.ErrUnsupported {
		ctx, cancel := c.reserved(ctx)
		defer cancel()
		c.store.Release(ctx, transitory.Release{ID: job.ID, Priority: job.Priority, Delay: newerWait})
		return
	}
	tube := c.layer.opts.Namespace + "/quarantine"
	c.layer.log.Error("a job in the queue is no envelope of ours; it is moved aside, not run",
		"tube", job.Tube, "to", tube, "bytes", len(job.Body), "error", cause)
	c.move(ctx, job, tube)
}

// forward gives a job of a kind that this program does not know to whoever
// serves that kind.
func (c *queueCustody) forward(ctx context.Context, job *transitory.Job, kind string) {
	tube := c.layer.lanesOf(kind).background
	if err := transitory.ValidTube(tube); err != nil || tube == job.Tube {
		c.setApart(ctx, job, fault.New(fault.ErrCorrupt, "transitory", "reserve", "an envelope of no kind"))
		return
	}
	c.move(ctx, job, tube)
}

// move puts a job into another tube, as it is, and deletes it where it was. The
// copy is handed out a little later: a poison job must not end the process
// before the original is gone, each time anew.
func (c *queueCustody) move(ctx context.Context, job *transitory.Job, tube string) {
	ctx, cancel := c.reserved(ctx)
	defer cancel()
	copied := transitory.Job{Tube: tube, Priority: job.Priority, Delay: tick / 5, TTR: c.layer.opts.Lease, Body: job.Body}
	if _, err := c.put(ctx, copied); err != nil {
		return // it is handed out again when its time is over
	}
	crash.Point("move.between")
	c.store.Delete(ctx, job.ID)
}

// settle records the outcomes. A job cannot be changed: what remains is put
// first and the original deleted second, so that a crash between the two
// leaves a repeat, never a loss. Dead letters are written before either. Each
// step is one call of the queue for all envelopes.
func (c *queueCustody) settle(ctx context.Context, told []settling) []error {
	crash.Point("settle.queue.before")
	errs := make([]error, len(told))
	var again, over queueStep
	var back []transitory.Release
	var backOf []int
	for i := range told {
		s := &told[i]
		if s.held.gone.Load() && !s.what.Done {
			continue // it was handed out again, and goes on there
		}
		if errs[i] = c.layer.bury(ctx, s.dead); errs[i] != nil {
			continue
		}
		if s.what.Done {
			over.at = append(over.at, i)
			continue
		}
		rest, alone := s.held.kind.split(s.held.remaining())
		what := s.what
		if len(alone) > 0 {
			if what, errs[i] = c.separate(ctx, s.held, rest, alone); errs[i] != nil {
				continue
			}
		}
		job := c.job(s.held, what, rest)
		if len(alone) == 0 && job.Tube == s.held.tube && len(s.dead) == 0 && c.same(s.held) {
			back = append(back, transitory.Release{ID: s.held.job, Priority: job.Priority, Delay: job.Delay})
			backOf = append(backOf, i)
			continue
		}
		again.jobs, again.at = append(again.jobs, job), append(again.at, i)
	}
	crash.Point("settle.queue.buried")
	if len(back) > 0 {
		for n, err := range c.store.Release(ctx, back...) {
			errs[backOf[n]] = err
		}
	}
	over.at = append(over.at, c.putRests(ctx, &again, errs)...)
	c.deleteJobs(ctx, told, over.at, errs)
	return errs
}

// A queueStep is a call of the queue for several envelopes.
type queueStep struct {
	jobs []transitory.Job
	at   []int // the envelope of each
}

// putRests puts what remains of envelopes, and returns those whose original can
// be deleted.
func (c *queueCustody) putRests(ctx context.Context, again *queueStep, errs []error) (put []int) {
	if len(again.jobs) == 0 {
		return nil
	}
	crash.Point("settle.queue.rest")
	for n, err := range c.store.Put(ctx, again.jobs...) {
		if errs[again.at[n]] = err; err == nil {
			put = append(put, again.at[n])
		}
	}
	return put
}

// deleteJobs removes the jobs of envelopes. When a reservation is gone somebody
// else has the job, or will; the tasks of this run are repeated there, which is
// harmless, and left out where it is this process again.
func (c *queueCustody) deleteJobs(ctx context.Context, told []settling, at []int, errs []error) {
	if len(at) == 0 {
		return
	}
	ids := make([]transitory.ID, len(at))
	for n, i := range at {
		ids[n] = told[i].held.job
	}
	crash.Point("settle.queue.delete")
	for n, err := range c.store.Delete(ctx, ids...) {
		if fault.ClassOf(err) != fault.ErrNotFound {
			errs[at[n]] = err
			continue
		}
		told[at[n]].held.gone.Store(true)
	}
	crash.Point("settle.queue.deleted")
}

// separate puts the tasks that go alone, each in a job of its own, and returns
// where the rest goes. A crash before the rest is put repeats those jobs, under
// the same task ids.
func (c *queueCustody) separate(ctx context.Context, h *held, rest, alone []envelope.Task) (flow.Settlement, error) {
	now := nowMicro()
	for _, t := range alone {
		o := c.layer.alone(h, t)
		s := o.run.Settlement(now)
		if _, err := c.put(ctx, c.job(o, s, o.env.Tasks)); err != nil {
			return flow.Settlement{}, err
		}
		c.layer.engine.sawForeign(o, s)
		crash.Point("settle.queue.alone")
	}
	env := *h.env
	env.Tasks = rest
	left := c.layer.hold(h.kind, &env)
	left.run.Down = h.run.Down
	return left.run.Settlement(now), nil
}

// same reports whether nothing changed since the job was put, so that it can
// be given back as it is. One with a handler cannot: the server would count
// one more reservation, which is how we count the processes that it has ended.
func (c *queueCustody) same(h *held) bool {
	for i := range h.run.Tasks {
		t, e := &h.run.Tasks[i], &h.env.Tasks[i]
		if h.tasks[i] != nil && h.tasks[i].handles() {
			return false
		}
		if t.State != flow.Waiting || t.Attempts != e.Attempts || t.NotBefore != e.NotBefore || t.Parked != e.Parked {
			return false
		}
	}
	return true
}

// count cannot change a job; the number of reservations counts for it.
func (c *queueCustody) count(context.Context, *held) error { return nil }

func (c *queueCustody) extend(ctx context.Context, hs []*held) {
	ids := make([]transitory.ID, len(hs))
	for i, h := range hs {
		ids[i] = h.job
	}
	// One that is lost goes on all the same: where the server has lost the job
	// itself, this run is all that there is of it.
	c.store.Touch(ctx, ids...)
}

package flow

// A Lane is where an envelope waits in custody.
type Lane uint8

// The lanes.
const (
	Background Lane = iota
	RealTime
	Parked   // Settlement.Store says for which store
	Foreign  // Settlement.Task says which task this program does not serve
	Blocking // only dead letters that keep their ordering keys remain
)

// A Settlement is what custody records when a worker lets an envelope go.
type Settlement struct {
	Done     bool   // nothing remains
	Lane     Lane   // where it waits; not for Done
	Store    byte   // for Parked
	Task     int    // for Foreign
	Priority uint32 // in the lane, smaller first
	Due      int64  // not before; zero: at once
}

// mixedWait is how long an envelope with both a parked task and one that waits
// for its time stays away: it must look whether the store is back.
const mixedWait = 2_000_000

// Settlement says where the envelope goes from here.
func (r *Run) Settlement(now int64) Settlement {
	s := Settlement{Done: true}
	parked, foreign, waiting, blocks := -1, -1, -1, -1
	for i := range r.Tasks {
		t := &r.Tasks[i]
		switch {
		case t.State == Dead && t.Spec != nil && t.Spec.Blocks:
			blocks = i
		case t.State != Waiting:
			continue
		case t.Spec == nil || t.Spec.External:
			foreign = pick(foreign, i)
		case r.waitsFor(t) != NoStore:
			parked = pick(parked, i)
		case waiting < 0 || before(t, &r.Tasks[waiting], now):
			waiting = i
		}
		s.Done = false
	}
	switch {
	case s.Done:
	case waiting >= 0:
		r.settleWaiting(&s, &r.Tasks[waiting], now)
		if parked >= 0 && s.Due > now+mixedWait {
			s.Due = now + mixedWait
		}
	case parked >= 0:
		t := &r.Tasks[parked]
		s.Lane, s.Store, s.Priority = Parked, r.waitsFor(t), t.Urgency()
	case foreign >= 0:
		s.Lane, s.Task = Foreign, foreign
	default:
		s.Lane, s.Task = Blocking, blocks
	}
	return s
}

// blockedWait bounds how long a blocked task waits when nobody wakes it.
const blockedWait = 1_000_000

// due is when a waiting task can run.
func due(t *Task, now int64) int64 {
	if t.blocked {
		return max(t.NotBefore, now+blockedWait)
	}
	return t.NotBefore
}

func pick(have, i int) int {
	if have >= 0 {
		return have
	}
	return i
}

// before orders the tasks that wait for their time: the due ones by rank, then
// the others by time.
func before(a, b *Task, now int64) bool {
	aDue, bDue := due(a, now) <= now, due(b, now) <= now
	switch {
	case aDue && bDue:
		return rank(a) < rank(b)
	case aDue != bDue:
		return aDue
	}
	return due(a, now) < due(b, now)
}

func (r *Run) settleWaiting(s *Settlement, t *Task, now int64) {
	s.Priority = t.Urgency()
	if t.Spec.RealTime && !t.Late {
		s.Lane = RealTime
	}
	if at := due(t, now); at > now {
		s.Due = at
	}
}

// backoff is the wait before the next attempt: one second, doubled each time,
// up to most, less up to a quarter of jitter so that what failed together does
// not return together. The jitter comes from the envelope's seed, so a replay
// waits as long.
func backoff(attempts int, most int64, seed uint64) int64 {
	const base = 1_000_000
	d := most
	if shift := attempts - 1; shift < 30 && base<<shift < most {
		d = base << shift
	}
	x := seed + uint64(attempts)*0x9e3779b97f4a7c15
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return d - int64(x%uint64(d/4+1))
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fourfold-dev/fourfold/examples/checkin/internal/town"
	"github.com/fourfold-dev/fourfold/examples/internal/console"
	"github.com/fourfold-dev/fourfold/examples/internal/stores"
	"github.com/fourfold-dev/fourfold/persistence"
)

// small is a town that is played in a moment, also by the race detector; larger
// is one that is not over before it can be broken.
var (
	small = town.Shape{
		Seed: 7, People: 60, Venues: 20, Friendships: 150, History: 250, Before: 5, Spike: 40, Between: 5,
	}
	larger = town.Shape{
		Seed: 8, People: 90, Venues: 30, Friendships: 150, History: 500, Before: 5, Spike: 40, Between: 5,
	}
)

// A breaker is a watcher that breaks something when so many tasks came to
// their end: a point of the work, and not of time.
type breaker struct {
	*watcher
	at   int64
	once sync.Once
	do   func()
}

func (b *breaker) TaskDone(ctx context.Context, e persistence.TaskEvent) {
	b.watcher.TaskDone(ctx, e)
	if b.at > 0 && b.ended.Load() >= b.at {
		b.once.Do(b.do)
	}
}

// playIn plays a town in a directory until all is done, or until so many tasks
// came to their end, when it does what is to be done then.
func playIn(ctx context.Context, dir string, t *town.Town, at int64, do func(), look func(*feed) error) error {
	p := &program{show: console.NewProgress("checkin", io.Discard), observe: breaking(at, do)}
	watch := newWatcher(t.Stretch)
	game, err := open(ctx, p.Stores(dir), t, p.options(watch))
	if err != nil {
		return err
	}
	defer game.layer.Close()
	feed := &feed{game: game, town: t, watch: watch, show: p.show}
	if err := feed.play(ctx); err != nil {
		return err
	}
	return look(feed)
}

func breaking(at int64, do func()) func(*watcher) any {
	return func(w *watcher) any { return &breaker{watcher: w, at: at, do: do} }
}

// checkBooks holds what the stores hold to what the input implies.
func checkBooks(ctx context.Context, t *testing.T) func(*feed) error {
	return func(f *feed) error {
		stored, err := f.game.readBack(ctx, f.town, f.show)
		if err != nil {
			return err
		}
		for _, l := range compare(stored, impliedBooks(f.town)) {
			if !l.same {
				t.Errorf("%s: %d in the stores, %d implied by the input, the same: %v", l.name, l.stored, l.implied, l.same)
			}
		}
		scene := &scene{game: f.game, town: f.town, out: io.Discard}
		if err := scene.show(ctx); err != nil || !scene.right {
			t.Errorf("what is shown: error %v; the presence that was rebuilt is as implied: %v", err, scene.right)
		}
		return nil
	}
}

// writeTown writes a town as the files that it could have come from.
func writeTown(t *testing.T, generated *town.Town) (events, friends string) {
	t.Helper()
	dir := t.TempDir()
	var rows, edges bytes.Buffer
	for _, e := range generated.Events {
		fmt.Fprintf(&rows, "%d\t%s\t%s\t%s\t%d\n", e.User, e.Time().Format(time.RFC3339Nano),
			strconv.FormatFloat(e.Lat, 'g', -1, 64), strconv.FormatFloat(e.Lon, 'g', -1, 64), e.Venue)
	}
	fmt.Fprintln(&edges, "uid\tfid")
	for user, friends := range generated.Friends {
		for _, friend := range friends {
			fmt.Fprintf(&edges, "%d\t%d\n", user, friend)
		}
	}
	events, friends = filepath.Join(dir, "events.tsv"), filepath.Join(dir, "friends.tsv")
	for path, content := range map[string]*bytes.Buffer{events: &rows, friends: &edges} {
		if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return events, friends
}

// A result is the last line of -json.
type result struct {
	Checkins      int     `json:"checkins"`
	Notifications int     `json:"notifications"`
	MaxFanout     int     `json:"max_fanout"`
	Badges        int     `json:"badges"`
	BadRows       int     `json:"bad_rows"`
	Seconds       float64 `json:"seconds"`
}

func resultOf(t *testing.T, out string) (r result) {
	t.Helper()
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("the last line is %q: %v", lines[len(lines)-1], err)
	}
	return r
}

// "Every friend who wants it gets the notification": who does not, has nothing in
// the inbox, and is a friend like others for who is nearby.
func TestASmallTownIsPlayed(t *testing.T) {
	shape := small
	shape.Quiet = 25
	err := playIn(t.Context(), t.TempDir(), town.Generate(shape), 0, nil, func(f *feed) error {
		told := map[bool]int{} // people with a notice, by whether they are quiet
		for user := range f.town.Friends {
			notices, err := f.game.inbox.List(t.Context(), idKey(user), 1)
			if err != nil {
				return err
			}
			told[f.town.Quiet[user]] += len(notices)
		}
		if told[true] > 0 || told[false] == 0 {
			t.Errorf("%d people who do not want to be told have a notice, and %d others; want none and some", told[true], told[false])
		}
		return checkBooks(t.Context(), t)(f)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Two friends who check in at one place and second are near each other, whoever
// of them is worked off first.
func TestFriendsOfOneMomentAreNear(t *testing.T) {
	at := time.Date(2010, 10, 12, 0, 21, 28, 0, time.UTC).UnixMicro()
	pier := &town.Town{Name: "pier", Stretch: town.Stretch{From: 3, Spike: 3, Calm: 3, To: 3}, Friends: map[int64][]int64{8: {9}, 9: {8}}, Events: []town.Event{
		{Line: 1, User: 8, Venue: 5, At: at, Lat: 40.7, Lon: -74},
		{Line: 2, User: 9, Venue: 5, At: at, Lat: 40.7, Lon: -74},
		{Line: 3, User: 10, Venue: 6, At: at, Lat: 41.7, Lon: -74},
	}}
	err := playIn(t.Context(), t.TempDir(), pier, 0, nil, func(f *feed) error {
		for user, friend := range map[string]string{idKey(8): idKey(9), idKey(9): idKey(8)} {
			near, err := f.game.friendsNearby(t.Context(), user)
			if err != nil || len(near) != 1 || near[0].User != friend {
				t.Errorf("near user %s: %+v, %v; want user %s", user, near, err, friend)
			}
		}
		return checkBooks(t.Context(), t)(f)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// "Running again on the same directory continues, or says that all is done":
// stopped at several points of the work, also in the stretch.
func TestAStoppedGameContinues(t *testing.T) {
	dir, generated := t.TempDir(), town.Generate(larger)
	for _, at := range []int64{1, 300, 500} {
		ctx, cancel := context.WithCancel(t.Context())
		err := playIn(ctx, dir, generated, at, cancel, func(*feed) error { return errors.New("not stopped") })
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped after %d tasks: error %v, want %v", at, err, context.Canceled)
		}
	}
	if err := playIn(t.Context(), dir, generated, 0, nil, checkBooks(t.Context(), t)); err != nil {
		t.Fatal(err)
	}
	again := func(f *feed) error {
		if n := f.put.Load(); n != 0 || f.held.count != len(generated.Events) {
			t.Errorf("played again, %d check-ins were put and %d held; want none and all", n, f.held.count)
		}
		return checkBooks(t.Context(), t)(f)
	}
	if err := playIn(t.Context(), dir, generated, 0, nil, again); err != nil {
		t.Fatal(err)
	}
}

func TestTwoTownsDoNotMix(t *testing.T) {
	dir, other := t.TempDir(), small
	other.Seed++
	if err := playIn(t.Context(), dir, town.Generate(small), 0, nil, func(*feed) error { return nil }); err != nil {
		t.Fatal(err)
	}
	err := playIn(t.Context(), dir, town.Generate(other), 0, nil, func(*feed) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "another input") {
		t.Errorf("error %v, want one that says that the stores hold another input", err)
	}
}

// childEnv makes the test binary the program, which gets a signal of its own
// making when so many tasks came to their end: "SIGNAL TASKS". A worker that dies
// is soon made up for.
const childEnv = "FOURFOLD_CHECKIN_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	var sig syscall.Signal
	var at int64
	fmt.Sscan(os.Getenv(childEnv), &sig, &at)
	f, err := parseFlags(os.Args[1:], os.Stdout)
	if err == nil {
		p := &program{flags: f, out: os.Stdout, show: console.NewProgress("checkin", os.Stderr), lease: 3 * time.Second}
		p.observe = breaking(at, func() { syscall.Kill(os.Getpid(), sig) })
		err = p.run()
	}
	os.Exit(status(os.Stderr, err))
}

// child is the program in a process of its own, which signals itself after so
// many tasks, or never for none.
func child(t *testing.T, sig syscall.Signal, at int, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", childEnv, sig, at))
	return cmd
}

// "Killed -9 in the middle, any number of times, and run again, it ends with
// the same totals."
func TestAKilledGameContinues(t *testing.T) {
	generated := town.Generate(larger)
	events, friends := writeTown(t, generated)
	args := []string{"-dir", filepath.Join(t.TempDir(), "data"), "-events", events, "-friends", friends, "-json"}
	for _, at := range []int{1, 150, 400, 2} {
		out, err := child(t, syscall.SIGKILL, at, args...).CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("after %d tasks: %v, want a process that was killed\n%s", at, err, out)
		}
	}
	var seconds []float64
	for range 2 { // to the end, and once more when all is done
		out, err := child(t, 0, 0, args...).Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		got := resultOf(t, string(out))
		seconds = append(seconds, got.Seconds)
		got.Seconds = 0
		implied := impliedBooks(generated)
		want := result{
			Checkins: len(generated.Events), Notifications: int(implied.notifications.rows),
			MaxFanout: int(implied.maxFanout), Badges: int(implied.awards.rows),
		}
		if got != want {
			t.Errorf("totals %+v, want %+v", got, want)
		}
	}
	if seconds[0] <= 0 || seconds[1] <= 0 {
		t.Errorf("seconds %v", seconds)
	}
}

func TestOneDirectoryServesOneProcess(t *testing.T) {
	events, friends := writeTown(t, town.Generate(small))
	dir := t.TempDir()
	err := playIn(t.Context(), dir, town.Generate(small), 0, nil, func(*feed) error {
		cmd := child(t, 0, 0, "-dir", dir, "-events", events, "-friends", friends)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("a second process: %v, want exit status 1", err)
		}
		if text := stderr.String(); !strings.Contains(text, strconv.Itoa(os.Getpid())) || strings.Count(text, "\n") != 1 || strings.Contains(text, "flag") {
			t.Errorf("a second process says %q, want one line that names process %d, and no flag", text, os.Getpid())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Ctrl-C stops the program, which says how to go on.
func TestCtrlCStopsGracefully(t *testing.T) {
	events, friends := writeTown(t, town.Generate(larger))
	dir := filepath.Join(t.TempDir(), "data")
	var stderr bytes.Buffer
	args := []string{"-dir", dir, "-events", events, "-friends", friends}
	cmd := child(t, os.Interrupt.(syscall.Signal), 100, args...)
	cmd.Stderr = &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("stopped: %v, want exit status 130", err)
	}
	if text := stderr.String(); !strings.HasSuffix(text, "To continue: "+(flags{Flags: stores.Flags{Dir: dir}, events: events, friends: friends}).again()+"\n") {
		t.Errorf("stopped, it says %q, and not how to continue", text)
	}
	if out, err := child(t, 0, 0, args...).CombinedOutput(); err != nil {
		t.Errorf("continued: %v\n%s", err, out)
	}
}

// The real file, where there is one.
func TestTheRealFile(t *testing.T) {
	events, friends := os.Getenv("FOURFOLD_CHECKIN_EVENTS"), os.Getenv("FOURFOLD_CHECKIN_FRIENDS")
	if events == "" || friends == "" {
		t.Skip("the data set that FOURFOLD_CHECKIN_EVENTS and FOURFOLD_CHECKIN_FRIENDS name is NOT TESTED: set them to its two paths")
	}
	var out strings.Builder
	cmd := child(t, 0, 0, "-events", events, "-friends", friends, "-json")
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	got := resultOf(t, out.String())
	if got.Checkins != 138_957 || got.Notifications != 1_568_536 || got.MaxFanout != 441 {
		t.Errorf("%+v, want 138,957 check-ins, 1,568,536 notifications, at most 441", got)
	}
	used := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	t.Logf("%.1f s, %d MB resident at most", got.Seconds, used.Maxrss>>10)
	if megabytes := used.Maxrss >> 10; !underRace && (got.Seconds > 90 || megabytes > 400) {
		t.Errorf("%.1f s and %d MB, want 90 s and 400 MB at most", got.Seconds, megabytes)
	}
}

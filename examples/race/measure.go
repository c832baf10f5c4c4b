package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A reading is what one lap took.
type reading struct {
	took    []time.Duration // each Put
	puts    time.Duration   // from the first Put to the return of the last
	all     time.Duration   // to the last task done
	putCPU  cpus            // used until the last Put returned
	allCPU  cpus            // used until everybody had stopped
	idle    bool            // what followed the puts counts apart
	peakRSS int64           // bytes, of this process
}

// A meter takes a reading.
type meter struct {
	reading
	begun time.Time
	used  cpus
}

func (r *race) begin() *meter {
	debug.FreeOSMemory()
	resetPeak()
	return &meter{begun: time.Now(), used: r.cpus()}
}

func (m *meter) accepted(r *race, took []time.Duration) {
	m.puts, m.took = time.Since(m.begun), took
	m.putCPU = r.cpus().since(m.used)
}

func (m *meter) over(*race) { m.all = time.Since(m.begun) }

func (m *meter) stopped(r *race) {
	m.allCPU = r.cpus().since(m.used)
	m.peakRSS = peak()
}

// cpus are the CPU times of processes, of this one under the name "client".
type cpus map[string]time.Duration

func (c cpus) since(before cpus) cpus {
	out := cpus{}
	for name, used := range c {
		out[name] = used - before[name]
	}
	return out
}

// cpus reads the CPU times of this process and of the servers whose processes
// are known. Where there is no /proc there are none.
func (r *race) cpus() cpus {
	out := cpus{}
	for name, pid := range r.servers.PIDs {
		if used, ok := cpuOf(strconv.Itoa(pid)); ok {
			out[name] = used
		}
	}
	if used, ok := cpuOf("self"); ok {
		out["client"] = used
	}
	return out
}

// cpuOf reads the user and system time of a process, which Linux counts in
// hundredths of a second.
func cpuOf(process string) (time.Duration, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", process, "stat"))
	if err != nil {
		return 0, false
	}
	_, rest, ok := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	fields := strings.Fields(rest)
	const utime, stime = 14 - 3, 15 - 3 // counted from the third field on
	if !ok || len(fields) <= stime {
		return 0, false
	}
	user, err1 := strconv.ParseInt(fields[utime], 10, 64)
	system, err2 := strconv.ParseInt(fields[stime], 10, 64)
	return time.Duration(user+system) * (time.Second / 100), err1 == nil && err2 == nil
}

// resetPeak makes peak count from now on, where Linux allows it.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peak is the largest resident size of this process since resetPeak; zero where
// it is not known.
func peak() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// profile writes a CPU profile of the lap, when the flags ask for it.
func (r *race) profile(name string, callers, round int) (stop func(), err error) {
	if r.profiles == "" || round < 0 {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(r.profiles, name+"-"+strconv.Itoa(callers)+"-"+strconv.Itoa(round)+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

// percentile returns the smallest duration that p percent of them do not
// exceed. They are sorted; zero when there are none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (p*len(sorted) + 99) / 100
	return sorted[max(rank, 1)-1]
}

// A result is one lap in figures.
type result struct {
	Entrant string  `json:"entrant"`
	Callers int     `json:"callers"`
	Round   int     `json:"round"`
	Objects int     `json:"objects"`
	Rate    float64 `json:"objects_per_second"`
	// Drain is the rate from the last Put to the last task, for entrants of
	// which Rate counts the Puts alone.
	Drain  float64 `json:"drained_per_second,omitempty"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	Max    float64 `json:"max_us"`
	PeakMB float64 `json:"client_peak_mb,omitempty"`
	// Lost is how many cache entries were gone when the stores were read back.
	Lost int64 `json:"cache_entries_lost,omitempty"`
	// CPU is in microseconds per object, by process.
	CPU map[string]float64 `json:"cpu_us_per_object"`
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func (m reading) result(name string, callers, round, n int) result {
	slices.Sort(m.took)
	used := m.allCPU
	res := result{
		Entrant: name, Callers: callers, Round: round, Objects: n, Rate: float64(n) / m.all.Seconds(),
		P50: micros(percentile(m.took, 50)), P99: micros(percentile(m.took, 99)), Max: micros(percentile(m.took, 100)),
		PeakMB: float64(m.peakRSS) / 1e6, CPU: map[string]float64{},
	}
	if m.idle {
		res.Rate, res.Drain = float64(n)/m.puts.Seconds(), float64(n)/(m.all-m.puts).Seconds()
		used = m.putCPU
	}
	for name, d := range used {
		res.CPU[name] = micros(d) / float64(n)
	}
	return res
}

//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
)

// period is that of the loop whose lateness is measured.
const period = 5 * time.Millisecond

// storms are what a tool may do to make its runtime late.
func storms(t testing.TB) map[string]sandbox.Spec {
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	limits := sandbox.Limits{Time: 2 * time.Second, Memory: 512 << 20}
	return map[string]sandbox.Spec{
		"ForkBomb":    {Limits: limits, Argv: []string{"/bin/sh", "-c", "f() { f | f & }; (f) & while :; do :; done"}},
		"MemoryBomb":  {Limits: limits, Helper: im, Argv: []string{victim, "hogs", "hog", "200"}},
		"OutputFlood": {Limits: limits, Argv: []string{"/bin/sh", "-c", "yes & yes >&2 & wait"}},
	}
}

// lateness runs a loop that does nothing but wait for its next turn, until stop
// is closed, and returns how late the turns were, in order of size.
func lateness(stop <-chan struct{}) []time.Duration {
	var late []time.Duration
	for {
		next := time.Now().Add(period)
		select {
		case <-stop:
			slices.Sort(late)
			return late
		case <-time.After(period):
			late = append(late, time.Since(next))
		}
	}
}

// percentile returns the value that p of a hundred are below.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

// during measures the loop while f runs.
func during(f func()) []time.Duration {
	stop, done := make(chan struct{}), make(chan []time.Duration)
	go func() { done <- lateness(stop) }()
	f()
	close(stop)
	return <-done
}

// TestRuntimeStaysResponsive: a loop of this process goes on while a cell does
// its worst, and the call ends when it must. The bound is generous, for machines
// that are busy with other things; the benchmark prints what it is.
func TestRuntimeStaysResponsive(t *testing.T) {
	r := open(t, sandbox.Config{})
	const bound = 250 * time.Millisecond
	for name, s := range storms(t) {
		t.Run(name, func(t *testing.T) {
			quiet := during(func() { time.Sleep(300 * time.Millisecond) })
			s.CallID = name
			var res sandbox.Result
			begin := time.Now()
			late := during(func() {
				var err error
				if res, err = r.Run(context.Background(), s, sandbox.Discard); err != nil {
					t.Fatal(err)
				}
			})
			took := time.Since(begin)
			t.Logf("%d turns: half are %v late, 99 of 100 less than %v, all %v; before, %v and %v; limit %v after %v", len(late),
				percentile(late, 50), percentile(late, 99), late[len(late)-1], percentile(quiet, 50), percentile(quiet, 99), res.Limit, took)
			if p := percentile(late, 99); p > bound {
				t.Errorf("99 of 100 turns are less than %v late", p)
			}
			if len(late) < 10 || took > 10*time.Second {
				t.Errorf("%d turns in %v", len(late), took)
			}
		})
	}
}

// BenchmarkRuntimeLoop reports how late the turns of a loop of this process are,
// 99 of 100, while nothing, and while one storm after the other runs in a cell.
// The gate of the design is 50 ms under a fork bomb.
func BenchmarkRuntimeLoop(b *testing.B) {
	r := open(b, sandbox.Config{})
	list := storms(b)
	late := map[string][]time.Duration{}
	for b.Loop() {
		late["Nothing"] = append(late["Nothing"], during(func() { time.Sleep(time.Second) })...)
		for name, s := range list {
			s.CallID = name
			late[name] = append(late[name], during(func() {
				if _, err := r.Run(context.Background(), s, sandbox.Discard); err != nil {
					b.Fatal(err)
				}
			})...)
		}
	}
	for name, l := range late {
		slices.Sort(l)
		b.ReportMetric(float64(percentile(l, 99).Microseconds())/1000, name+"-p99-ms")
	}
}

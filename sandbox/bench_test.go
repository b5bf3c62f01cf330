//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

// median returns the middle of the samples in milliseconds.
func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Microseconds()) / 1000
}

// BenchmarkColdCellVsBwrap starts /bin/true in a cell, attested and recorded,
// and under bubblewrap with the same namespaces, in turn. The gate is a ratio
// below 1.
func BenchmarkColdCellVsBwrap(b *testing.B) {
	r := open(b, sandbox.Config{})
	besideBwrap(b, func() { standardTrue(b, r) })
}

// BenchmarkWarmCellVsBwrap does the same with cells that were prepared ahead,
// which happens outside of what is measured. The gate is a ratio below 0.35.
func BenchmarkWarmCellVsBwrap(b *testing.B) {
	r := open(b, sandbox.Config{Pool: 1})
	standardTrue(b, r)
	besideBwrap(b, func() { standardTrue(b, r) }, func() {
		if r.Ready() != 1 {
			b.Fatal("no cell is prepared")
		}
	})
}

func standardTrue(b *testing.B, r *sandbox.Runner) {
	res, err := r.Run(context.Background(), sandbox.Spec{CallID: "bench", Profile: sandbox.Standard,
		Argv: []string{"/usr/bin/true"}}, sandbox.Discard)
	if err != nil || res.Exit != 0 {
		b.Fatal(res.Exit, err)
	}
}

// besideBwrap measures cell and bubblewrap in turn, each after ready.
func besideBwrap(b *testing.B, cell func(), ready ...func()) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		b.Skip("UNTESTED(bubblewrap is not installed)")
	}
	base := func() {
		if err := exec.Command(bwrap, "--unshare-all", "--ro-bind", "/", "/", "/usr/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
	measure := func(f func()) time.Duration {
		for _, r := range ready {
			r()
		}
		t := time.Now()
		f()
		return time.Since(t)
	}
	for range 2 {
		measure(cell)
		measure(base)
	}
	var cells, bases []time.Duration
	for b.Loop() {
		bases, cells = append(bases, measure(base)), append(cells, measure(cell))
	}
	c, w := median(cells), median(bases)
	b.ReportMetric(c, "cell-ms")
	b.ReportMetric(w, "bwrap-ms")
	b.ReportMetric(c/w, "ratio")
}

// BenchmarkCellOfLargeRuntime compares cells started before and after this
// process has touched 2 GiB, as a runtime with a model has: starting one must
// not copy what describes that memory. Cells built when they are called and
// prepared ones take turns. The gates are ratios within 1.2.
func BenchmarkCellOfLargeRuntime(b *testing.B) {
	cold, warm := open(b, sandbox.Config{}), open(b, sandbox.Config{Pool: 1})
	var times [2][]time.Duration
	measure := func() {
		for i, r := range []*sandbox.Runner{cold, warm} {
			warm.Ready()
			t := time.Now()
			standardTrue(b, r)
			times[i] = append(times[i], time.Since(t))
		}
	}
	medians := func() (c, w float64) {
		c, w = median(times[0]), median(times[1])
		times = [2][]time.Duration{}
		return c, w
	}
	measure()
	medians()
	for range 50 {
		measure()
	}
	smallCold, smallWarm := medians()
	model, err := unix.Mmap(-1, 0, 2<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Munmap(model)
	unix.Madvise(model, unix.MADV_NOHUGEPAGE) // as many page tables as can be
	for i := 0; i < len(model); i += 4096 {
		model[i] = 1
	}
	for b.Loop() {
		measure()
	}
	largeCold, largeWarm := medians()
	b.ReportMetric(smallCold, "small-cold-ms")
	b.ReportMetric(largeCold, "large-cold-ms")
	b.ReportMetric(largeCold/smallCold, "cold-ratio")
	b.ReportMetric(largeWarm/smallWarm, "warm-ratio")
}

// BenchmarkWorkspaceCell reports what a workspace adds to a cell: none, one that
// is read, one that may be written and is not, one in which a file is made.
func BenchmarkWorkspaceCell(b *testing.B) {
	r := open(b, sandbox.Config{StateDir: b.TempDir() + "/state"})
	dir := realDir(b)
	run := func(s sandbox.Spec, argv ...string) time.Duration {
		s.CallID, s.Argv = "bench", argv
		t := time.Now()
		res, err := r.Run(context.Background(), s, sandbox.Discard)
		if err != nil || res.Exit != 0 {
			b.Fatal(res.Exit, err)
		}
		return time.Since(t)
	}
	kinds := []struct {
		name string
		spec sandbox.Spec
		argv []string
	}{
		{"none-ms", sandbox.Spec{}, []string{"/usr/bin/true"}},
		{"read-ms", sandbox.Spec{Workspace: &sandbox.Workspace{Dir: dir}}, []string{"/usr/bin/true"}},
		{"write-ms", writable(dir), []string{"/usr/bin/true"}},
		{"commit-ms", writable(dir), []string{"/usr/bin/touch", "f"}},
	}
	times := make([][]time.Duration, len(kinds))
	for b.Loop() {
		for i, k := range kinds {
			times[i] = append(times[i], run(k.spec, k.argv...))
		}
	}
	for i, k := range kinds {
		b.ReportMetric(median(times[i]), k.name)
	}
}

//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

func owner(t *testing.T, p string) (uid, gid int) {
	t.Helper()
	st, err := os.Lstat(p)
	if err != nil {
		t.Fatal(err)
	}
	s := st.Sys().(*syscall.Stat_t)
	return int(s.Uid), int(s.Gid)
}

// gone waits until no process of the host carries the marker; the end of a
// process is not an event one can wait for from outside.
func gone(marker string, within time.Duration) []string {
	deadline := time.Now().Add(within)
	for {
		left := processes(marker)
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestDeadline(t *testing.T) {
	r := open(t, sandbox.Config{})
	cases := map[string]struct {
		run  func(*testing.T, sandbox.Spec) sandbox.Result
		soft bool // ends by TERM
	}{
		"EndsSleeper": {func(t *testing.T, s sandbox.Spec) sandbox.Result { return sh(t, r, s, "exec sleep 60") }, true},
		"KillsOneThatIgnoresRequests": {func(t *testing.T, s sandbox.Spec) sandbox.Result {
			return inside(t, r, s, "mute")
		}, false},
		"KillsOneThatStoppedItself": {func(t *testing.T, s sandbox.Spec) sandbox.Result {
			return sh(t, r, s, "kill -STOP $$; exec sleep 60")
		}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			res := c.run(t, sandbox.Spec{Limits: sandbox.Limits{Time: 300 * time.Millisecond}})
			if res.Limit != sandbox.LimitTime || res.Signal == 0 || !strings.HasPrefix(res.Line(), "limit time: ") {
				t.Fatalf("limit %v, signal %d, line %q", res.Limit, res.Signal, res.Line())
			}
			if d := time.Since(begin); d > 8*time.Second || c.soft && res.Signal != int(syscall.SIGTERM) {
				t.Fatalf("took %v, signal %d", d, res.Signal)
			}
		})
	}
}

func TestCancelStopsTheCell(t *testing.T) {
	r := open(t, sandbox.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	mark := &recorder{attested: func(sandbox.Attestation) error { time.AfterFunc(200*time.Millisecond, cancel); return nil }}
	res, err := r.Run(ctx, sandbox.Spec{CallID: "c", Argv: []string{"/bin/sleep", "61.5"}}, mark)
	if err != nil || res.Limit != sandbox.LimitCancelled {
		t.Fatalf("%v, limit %v", err, res.Limit)
	}
	if !mark.finished {
		t.Error("the end was not recorded")
	}
	if left := gone("sleep 61.5", time.Second); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestOutputIsBoundedAndNeverBlocks(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{Limits: sandbox.Limits{Time: 500 * time.Millisecond, Output: 1000}, Stdin: bytes.Repeat([]byte("x"), 1<<20)}
	res := sh(t, r, s, "echo first; exec yes 0123456789")
	if res.Limit != sandbox.LimitTime || res.Stdout.Omitted() < 1<<16 {
		t.Fatalf("limit %v, omitted %d", res.Limit, res.Stdout.Omitted())
	}
	if !bytes.HasPrefix(res.Stdout.Head, []byte("first\n")) || len(res.Stdout.Head)+len(res.Stdout.Tail) != 1000 {
		t.Fatalf("kept %d and %d", len(res.Stdout.Head), len(res.Stdout.Tail))
	}
	if !bytes.Contains(res.Stdout.Tail, []byte("0123456789\n0123456789")) {
		t.Errorf("tail %q", res.Stdout.Tail)
	}
}

func TestDaemonsDieWithTheCall(t *testing.T) {
	r := open(t, sandbox.Config{})
	res := sh(t, r, sandbox.Spec{}, "(setsid sleep 62.5 >/dev/null 2>&1 &) ; (setsid sh -c 'trap \"\" TERM HUP; sleep 62.5; sleep 62.5' &) ; exit 3")
	if res.Exit != 3 {
		t.Fatalf("exit %d", res.Exit)
	}
	if left := gone("sleep 62.5", 100*time.Millisecond); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestSignalsToOwnGroupStayInside: the tool's process group holds the tool
// alone, not whoever supervises it.
func TestSignalsToOwnGroupStayInside(t *testing.T) {
	r := open(t, sandbox.Config{})
	res := sh(t, r, sandbox.Spec{}, "trap '' TERM HUP INT; kill -TERM 0; kill -HUP 0; kill -INT 0; kill -TERM -1; echo alive; exit 6")
	if res.Exit != 6 || out(res) != "alive\n" {
		t.Fatalf("exit %d, signal %d, output %q", res.Exit, res.Signal, out(res))
	}
}

func TestForkBombIsBounded(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{Limits: sandbox.Limits{Time: time.Second, Processes: 32}}
	begin := time.Now()
	res := sh(t, r, s, "f() { f | f & }; f; while :; do :; done")
	if d := time.Since(begin); d > 8*time.Second {
		t.Fatalf("took %v", d)
	}
	if res.Limit != sandbox.LimitTime && !bytes.Contains(res.Stderr.Bytes(), []byte("fork")) {
		t.Fatalf("limit %v, %.200s", res.Limit, res.Stderr.Bytes())
	}
}

func TestMemoryOfAllProcessesIsBounded(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{Limits: sandbox.Limits{Memory: 384 << 20, Time: 20 * time.Second}}
	for name, args := range map[string][]string{
		"InProcesses":           {"hogs", "hog", "120"},
		"BehindEndedThreads":    {"hogs", "headless", "120"},
		"InSharedMemoryLetGoOf": {"sharer", "400"},
	} {
		t.Run(name, func(t *testing.T) {
			res := inside(t, r, s, args...)
			if res.Limit != sandbox.LimitMemory || res.Line() != "limit memory: stopped at 384 MiB. Process the data in smaller parts." {
				t.Fatalf("limit %v, line %q, out %q %.300q", res.Limit, res.Line(), out(res), res.Stderr.Bytes())
			}
		})
	}
	t.Run("InSockets", func(t *testing.T) {
		few, many := inside(t, r, s, "pairs", "100"), inside(t, r, s, "hogs", "pairs", "450")
		if out(few) != "survived" || many.Limit != sandbox.LimitMemory {
			t.Errorf("100 pairs: %q, limit %v; 1800 pairs: %q, limit %v", out(few), few.Limit, out(many), many.Limit)
		}
	})
}

// TestSharedPagesCountOnce: what processes share since a fork is not counted
// for each.
func TestSharedPagesCountOnce(t *testing.T) {
	if _, err := os.Stat("/usr/bin/perl"); err != nil {
		t.Skip("UNTESTED(perl is not installed)")
	}
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{Limits: sandbox.Limits{Memory: 256 << 20, Time: 20 * time.Second}}
	res := sh(t, r, s, `exec perl -e '$x = "a" x 60_000_000; for (1..8) { fork or do { sleep 1; exit } } 1 while wait > 0; print "done"'`)
	if out(res) != "done" {
		t.Errorf("limit %v, out %q, %s", res.Limit, out(res), res.Stderr.Bytes())
	}
}

func TestScratchIsBounded(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{Limits: sandbox.Limits{Scratch: 4 << 20}}
	res := sh(t, r, s, "head -c 8000000 /dev/zero > /tmp/x || head -c 8000000 /dev/zero > $HOME/x || i=0; while [ $i -lt 5000 ]; do : > /tmp/$i 2>/dev/null || break; i=$((i+1)); done; echo $i")
	if !bytes.Contains(res.Stderr.Bytes(), []byte("No space left")) {
		t.Fatalf("%s %s", out(res), res.Stderr.Bytes())
	}
}

func TestFileSizeIsBounded(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{Limits: sandbox.Limits{FileSize: 1 << 20}}
	res := sh(t, r, s, "exec head -c 2000000 /dev/zero > /tmp/x")
	if res.Limit != sandbox.LimitFileSize {
		t.Fatalf("exit %d, limit %v, %s", res.Exit, res.Limit, res.Stderr.Bytes())
	}
}

// TestRuntimeDeathEndsCells is PR06: the runtime is killed, its cells die.
func TestRuntimeDeathEndsCells(t *testing.T) {
	open(t, sandbox.Config{})
	const marker = "sleep 63.5"
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{victim, "runtime", "63.5"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(processes(marker)) < 4 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if n := len(processes(marker)); n < 4 {
		t.Fatalf("control: only %d cells run", n)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if left := gone(marker, time.Second); len(left) > 0 {
		t.Fatalf("left: %v", left)
	}
}

// TestNothingIsLeft is FS28: descriptors, children, mounts and namespaces after
// many cells are what they were.
func TestNothingIsLeft(t *testing.T) {
	r := open(t, sandbox.Config{})
	work := realDir(t)
	runs := func(n int) {
		for i := range n {
			sh(t, r, writable(work), fmt.Sprintf("sleep 64.5 & echo %d > f; exit 0", i))
		}
	}
	runs(5)
	before := census(t, r)
	runs(200)
	if after := census(t, r); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
	if left := gone("sleep 64.5", 100*time.Millisecond); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// census counts what a leak would add to.
func census(t *testing.T, runners ...*sandbox.Runner) string {
	t.Helper()
	for _, r := range runners {
		r.Cleared()
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	children := 0
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, p := range tasks {
		b, _ := os.ReadFile(p)
		children += len(bytes.Fields(b))
	}
	return fmt.Sprintf("%d descriptors, %d mounts, %d children", len(fds), bytes.Count(mounts, []byte("\n")), children)
}

// TestNoProcessOutlivesItsCall looks at the moment at which the call returns:
// what the kernel takes down later is no process.
func TestNoProcessOutlivesItsCall(t *testing.T) {
	const marker = "sleep 66.5"
	for name, c := range map[string]sandbox.Config{"InCellsOfTheirOwn": {}, "InPreparedCells": {Pool: 1}} {
		t.Run(name, func(t *testing.T) {
			r := open(t, c)
			prepared := 0
			for range 30 {
				var a sandbox.Attestation
				_, err := r.Run(t.Context(), sandbox.Spec{CallID: "x", Argv: []string{"/bin/sh", "-c", marker + "& (setsid " + marker + "&); exit 3"}},
					&recorder{attested: func(got sandbox.Attestation) error { a = got; return nil }})
				alive := []error{unix.Kill(a.PID, 0), unix.Kill(a.Init.PID, 0)}
				if left := processes(marker); err != nil || len(left) > 0 || alive[0] != unix.ESRCH || alive[1] != unix.ESRCH {
					t.Fatalf("%v: left %v; tool and process 1: %v", err, left, alive)
				}
				if a.Prepared {
					prepared++
				}
				if c.Pool > 0 {
					r.Ready()
				}
			}
			if (prepared > 20) != (c.Pool > 0) {
				t.Fatalf("control: %d cells were prepared", prepared)
			}
		})
	}
}

func TestStageRefusesWithoutPlan(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"holdfast-cell"}
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 125 {
		t.Fatalf("got %v", err)
	}
}

func TestMissingProgramIsAnExecError(t *testing.T) {
	r := open(t, sandbox.Config{})
	_, err := r.Run(t.Context(), sandbox.Spec{CallID: "x", Argv: []string{"/usr/bin/no-such-program"}}, sandbox.Discard)
	if e, ok := errors.AsType[*sandbox.ExecError](err); !ok || e.Errno != syscall.ENOENT {
		t.Fatalf("got %v", err)
	}
}

func TestMissingDirectoryIsAnExecError(t *testing.T) {
	r := open(t, sandbox.Config{})
	_, err := r.Run(t.Context(), sandbox.Spec{CallID: "x", Argv: []string{"/bin/true"}, Dir: "/tmp/none"}, sandbox.Discard)
	if e, ok := errors.AsType[*sandbox.ExecError](err); !ok || e.Errno != syscall.ENOENT || e.Path != "/tmp/none" {
		t.Fatalf("got %v", err)
	}
}

// TestCellsGoFirst: when the host runs out of memory, the kernel prefers them
// to whoever started them.
func TestCellsGoFirst(t *testing.T) {
	r := open(t, sandbox.Config{})
	if got := out(sh(t, r, sandbox.Spec{}, "cat /proc/self/oom_score_adj")); got != "800\n" {
		t.Errorf("got %q", got)
	}
}

func TestBothLaunchersBuildCells(t *testing.T) {
	r := open(t, sandbox.Config{})
	if !r.SmallLauncher() {
		t.Error("cells are not started from the small launcher")
	}
	r.WholeProgram()
	if res := sh(t, r, sandbox.Spec{}, "exit 4"); res.Exit != 4 {
		t.Errorf("from the whole program: exit %d", res.Exit)
	}
}

func TestClosedRunnerRefuses(t *testing.T) {
	r := open(t, sandbox.Config{})
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := r.Run(t.Context(), sandbox.Spec{CallID: "x", Argv: []string{"/bin/true"}}, sandbox.Discard)
	if !errors.Is(err, sandbox.ErrRefused) {
		t.Fatalf("got %v", err)
	}
}

func TestCancelBeforeAndWhileBuilding(t *testing.T) {
	r := open(t, sandbox.Config{})
	for name, at := range map[string]func(*recorder, func()){
		"WhenPlanned":  func(rec *recorder, c func()) { rec.planned = func(sandbox.PlanRecord) error { c(); return nil } },
		"WhenAttested": func(rec *recorder, c func()) { rec.attested = func(sandbox.Attestation) error { c(); return nil } },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			rec := &recorder{}
			at(rec, cancel)
			s, ran := trace(t)
			begin := time.Now()
			_, err := r.Run(ctx, s, rec)
			if !errors.Is(err, context.Canceled) || ran() || !rec.finished {
				t.Fatalf("got %v, ran %v, steps %v", err, ran(), rec.steps)
			}
			if d := time.Since(begin); d > 3*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// TestCancelAfterTheBarrierIsAResult: once the tool was let go it may run, so a
// cancelled call that fails must not claim that it did not.
func TestCancelAfterTheBarrierIsAResult(t *testing.T) {
	r := open(t, sandbox.Config{})
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		r.Opened(cancel)
		s, ran := trace(t)
		rec := &recorder{}
		res, err := r.Run(ctx, s, rec)
		if err != nil || !rec.result.Started || rec.result.Err != "" {
			t.Fatalf("got %v, ran %v, recorded %+v", err, ran(), rec.result)
		}
		if res.Limit != sandbox.LimitCancelled && (res.Exit != 0 || !ran()) {
			t.Fatalf("limit %v, exit %d, ran %v", res.Limit, res.Exit, ran())
		}
	}
}

func TestCancelAfterTheBarrierKeepsTheExecError(t *testing.T) {
	r := open(t, sandbox.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	r.Opened(cancel)
	rec := &recorder{}
	_, err := r.Run(ctx, sandbox.Spec{CallID: "x", Argv: []string{"/usr/bin/no-such-program"}}, rec)
	if !errors.Is(err, sandbox.ErrExec) || rec.result.Started {
		t.Fatalf("got %v, recorded %+v", err, rec.result)
	}
}

// TestCellsRunInParallel has many cells of one runner at once, of two kinds.
func TestCellsRunInParallel(t *testing.T) {
	r := open(t, sandbox.Config{})
	work := realDir(t)
	for i := range 16 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := sandbox.Spec{Stdin: []byte(fmt.Sprint(i))}
			if i%2 == 0 {
				s.Workspace = &sandbox.Workspace{Dir: work}
			}
			if res := sh(t, r, s, "cat; exit 5"); res.Exit != 5 || out(res) != fmt.Sprint(i) {
				t.Errorf("exit %d, output %q", res.Exit, out(res))
			}
		})
	}
}

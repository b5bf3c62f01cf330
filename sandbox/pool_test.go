//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"github.com/holdfast-run/holdfast/sandbox/verify"
	"golang.org/x/sys/unix"
)

// called runs a script and tells how the cell was attested.
func called(t *testing.T, r *sandbox.Runner, s sandbox.Spec, script string) (sandbox.Result, sandbox.Attestation) {
	t.Helper()
	var a sandbox.Attestation
	s.CallID, s.Argv = t.Name(), []string{"/bin/sh", "-c", script}
	res, err := r.Run(t.Context(), s, &recorder{attested: func(got sandbox.Attestation) error { a = got; return nil }})
	if err != nil {
		t.Fatalf("run %q: %v", script, err)
	}
	return res, a
}

func TestPreparedCellServesOneCallOfItsKind(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 2, EnvAllow: []string{"SECRET"}})
	first := sandbox.Spec{Env: map[string]string{"SECRET": "x"}, Stdin: []byte("in"), Dir: sandbox.HomeDir}
	res, a := called(t, r, first, "cat; pwd; touch /tmp/mark $HOME/mark /dev/shm/mark; echo $SECRET")
	if a.Prepared || out(res) != "in/home/agent\nx\n" {
		t.Fatalf("prepared %v, %q", a.Prepared, out(res))
	}
	if n := r.Ready(); n != 1 {
		t.Fatalf("%d cells wait", n)
	}
	res, b := called(t, r, sandbox.Spec{}, "cat; pwd; ls /tmp $HOME /dev/shm; echo $SECRET.$$; exit 3")
	if !b.Prepared || res.Exit != 3 || out(res) != "/tmp\n/dev/shm:\n\n/home/agent:\n\n/tmp:\n.2\n" {
		t.Fatalf("prepared %v, %d %q", b.Prepared, res.Exit, out(res))
	}
	if b.Digest == ([32]byte{}) || b.MountDigest == ([32]byte{}) || b.Seccomp != 2 || b.Init.Seccomp != 2 || len(b.Mounts) < 10 {
		t.Errorf("attestation %+v", b)
	}
	if by := map[bool]string{true: "kernel", false: "stage"}[os.Getuid() == 0]; b.FilesBy != by || len(b.Files) != 4 && by == "kernel" {
		t.Errorf("descriptors by %s: %v", b.FilesBy, b.Files)
	}
	for name, other := range map[string]sandbox.Spec{
		"OtherLimits":    {Limits: sandbox.Limits{Processes: 20}},
		"OtherMemory":    {Limits: sandbox.Limits{Memory: 100 << 20}},
		"OtherMounts":    {Mounts: []sandbox.Mount{{Source: realDir(t), Target: "/opt/x"}}},
		"OtherWorkspace": {Workspace: &sandbox.Workspace{Dir: realDir(t)}},
	} {
		t.Run("NotFor"+name, func(t *testing.T) {
			if _, a := called(t, r, other, "true"); a.Prepared {
				t.Error("it served another kind of call")
			}
			if n := r.Ready(); n > 2 {
				t.Errorf("%d cells wait", n)
			}
		})
	}
}

func TestPreparedCellsUnderConcurrency(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 3})
	var calls sync.WaitGroup
	for i := range 24 {
		calls.Go(func() {
			res, err := r.Run(context.Background(), sandbox.Spec{CallID: "c", Argv: []string{"/bin/sh", "-c", fmt.Sprintf("ls /tmp; touch /tmp/x; echo %d", i)}}, sandbox.Discard)
			if err != nil || out(res) != fmt.Sprintf("%d\n", i) {
				t.Errorf("%d: %q, %v", i, out(res), err)
			}
		})
	}
	calls.Wait()
	if n := r.Ready(); n < 1 || n > 3 {
		t.Errorf("%d cells wait", n)
	}
}

func TestPreparedWorkspace(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 4})
	dir := realDir(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	reading, writing := sandbox.Spec{Workspace: &sandbox.Workspace{Dir: dir}}, writable(dir)
	write("old", "1")
	called(t, r, reading, "cat old")
	called(t, r, writing, "cat old")
	r.Ready()
	t.Run("ShowsWhatWasChangedMeanwhile", func(t *testing.T) {
		write("new", "n")
		os.Remove(filepath.Join(dir, "old"))
		write("old", "22")
		res, a := called(t, r, reading, "ls; cat old new")
		if !a.Prepared || out(res) != "new\nold\n22n" {
			t.Errorf("prepared %v, %q", a.Prepared, out(res))
		}
	})
	t.Run("CommitsOverIt", func(t *testing.T) {
		res, a := called(t, r, writing, "cat old > copy; echo 333 > old")
		if b, err := os.ReadFile(filepath.Join(dir, "old")); !a.Prepared || res.Commit != sandbox.CommitDone || string(b) != "333\n" {
			t.Errorf("prepared %v, %v %s, %q %v", a.Prepared, res.Commit, res.Why, b, err)
		}
	})
	t.Run("IsMountedAnewAfterACommit", func(t *testing.T) {
		if n := r.Ready(); n != 2 {
			t.Errorf("%d cells wait", n)
		}
		res, a := called(t, r, reading, "cat old copy")
		if !a.Prepared || out(res) != "333\n22" {
			t.Errorf("prepared %v, %q", a.Prepared, out(res))
		}
	})
	t.Run("RefusesOtherDirectoryOfThatName", func(t *testing.T) {
		r.Ready()
		s := reading
		s.CallID, s.Argv = "swap", []string{"/bin/ls"}
		rec := &recorder{planned: func(sandbox.PlanRecord) error {
			return errors.Join(os.Rename(dir, dir+".old"), os.Mkdir(dir, 0o755))
		}}
		if _, err := r.Run(t.Context(), s, rec); !errors.Is(err, sandbox.ErrSetup) || !rec.finished || rec.result.Started {
			t.Errorf("%v, finished %v", err, rec.finished)
		}
	})
}

// TestWaitingCellsAreProcess1AndTheOneThatBecomesTheTool: what built a cell is
// gone, and waited for.
func TestWaitingCellsAreProcess1AndTheOneThatBecomesTheTool(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 1})
	called(t, r, sandbox.Spec{}, "true")
	r.Ready()
	own := r.Waiting()
	if len(own) != 2 {
		t.Fatalf("%v wait", own)
	}
	var children []int
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if children = childrenOf(os.Getpid()); slices.Equal(children, own[:1]) {
			return
		}
	}
	t.Errorf("children of the runner: %v, want %v", children, own[:1])
}

func TestDeadPreparedCellIsNotUsed(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 1})
	called(t, r, sandbox.Spec{}, "true")
	r.Ready()
	for _, pid := range r.Waiting() {
		unix.Kill(pid, unix.SIGKILL)
	}
	if left := vanish(r.Waiting(), 5*time.Second); len(left) > 0 {
		t.Fatalf("left %v", left)
	}
	if res, a := called(t, r, sandbox.Spec{}, "echo ran"); a.Prepared || out(res) != "ran\n" {
		t.Errorf("prepared %v, %q", a.Prepared, out(res))
	}
}

// TestStoppedPreparedCellIsNotUsed: whoever may send signals to it cannot make a
// call wait.
func TestStoppedPreparedCellIsNotUsed(t *testing.T) {
	for i, who := range []string{"Process1", "TheOneThatBecomesTheTool"} {
		t.Run(who, func(t *testing.T) {
			r := open(t, sandbox.Config{Pool: 1})
			called(t, r, sandbox.Spec{}, "true")
			r.Ready()
			pids := r.Waiting()
			if err := unix.Kill(pids[i], unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			for state := ""; !strings.HasPrefix(state, "T"); {
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pids[i]))
				if err != nil {
					t.Fatal(err)
				}
				_, state, _ = strings.Cut(string(b), ") ")
			}
			s := sandbox.Spec{Limits: sandbox.Limits{Time: 20 * time.Second}}
			if res, a := called(t, r, s, "echo ran"); a.Prepared || out(res) != "ran\n" || res.Timings.Finished > 10*time.Second {
				t.Errorf("prepared %v, %q after %v", a.Prepared, out(res), res.Timings.Finished)
			}
			r.Ready()
			if left := vanish(pids, 0); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestEveryStepFailsClosedInPreparedCells(t *testing.T) {
	everyStepFailsClosed(t, open(t, sandbox.Config{PoolAlways: true}), trace, map[stage.Code]bool{})
}

// TestRowsHoldInPreparedCells is the whole table of attacks again.
func TestRowsHoldInPreparedCells(t *testing.T) {
	if testing.Short() {
		t.Skip("short: runs the whole table of attacks")
	}
	r := open(t, sandbox.Config{PoolAlways: true, Hosts: verify.Hosts})
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	list, err := verify.Run(t.Context(), r, verify.Options{All: true, Image: im, Report: func(o verify.Outcome) { t.Logf("%s %s %v", o.ID, o.State, o.Took) }})
	if err != nil || len(list) < 80 {
		t.Fatal(len(list), err)
	}
	for _, o := range list {
		if o.State == verify.Fail {
			t.Errorf("%s %s: %s", o.ID, o.Try, o.Why)
		}
	}
}

func TestNothingIsLeftOfThePool(t *testing.T) {
	r := open(t, sandbox.Config{})
	called(t, r, sandbox.Spec{}, "true")
	before := census(t, r)
	for range 3 {
		r := open(t, sandbox.Config{Pool: 2})
		for i := range 6 {
			called(t, r, sandbox.Spec{Limits: sandbox.Limits{Processes: 20 + i%3}}, "true")
		}
		r.Ready()
		pids := r.Waiting()
		if len(pids) == 0 {
			t.Fatal("control: no cell waits")
		}
		r.Close()
		if left := vanish(pids, time.Millisecond); len(left) > 0 {
			t.Errorf("left %v", left)
		}
		r.Close()
	}
	if after := census(t); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

func TestUncalledCellsGoAway(t *testing.T) {
	r := open(t, sandbox.Config{Pool: 1})
	r.PoolAge(50 * time.Millisecond)
	called(t, r, sandbox.Spec{}, "true")
	deadline := time.Now().Add(5 * time.Second)
	for r.Ready() > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond) // time itself is what is tested
	}
	if n := r.Ready(); n != 0 {
		t.Errorf("%d cells wait", n)
	}
}

// TestMountsOfTheHostEndPreparedCells: what was mounted since is not in them.
func TestMountsOfTheHostEndPreparedCells(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(mounting needs root)")
	}
	r := open(t, sandbox.Config{Pool: 1})
	called(t, r, sandbox.Spec{}, "true")
	r.Ready()
	at := realDir(t)
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("UNTESTED(%v)", err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	if _, a := called(t, r, sandbox.Spec{}, "true"); a.Prepared {
		t.Error("a cell from before the mount was used")
	}
}

func init() {
	// a runtime with prepared cells, which prints their processes and waits
	attempts["standby"] = func([]string) string {
		r, err := sandbox.New(context.Background(), sandbox.Config{Pool: 2})
		if err != nil {
			return err.Error()
		}
		for _, p := range []int{20, 21} {
			if _, err := r.Run(context.Background(), sandbox.Spec{CallID: "x", Argv: []string{"/bin/true"},
				Limits: sandbox.Limits{Processes: p}}, sandbox.Discard); err != nil {
				return err.Error()
			}
		}
		r.Ready()
		fmt.Println(strings.Trim(fmt.Sprint(r.Waiting()), "[]"))
		select {}
	}
}

// TestRuntimeDeathEndsPreparedCells is PR06 for cells that no call used.
func TestRuntimeDeathEndsPreparedCells(t *testing.T) {
	open(t, sandbox.Config{})
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{victim, "standby"}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	var pids []int
	for _, f := range strings.Fields(line) {
		var pid int
		if _, err := fmt.Sscan(f, &pid); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		pids = append(pids, pid)
	}
	alive := vanish(pids, 0)
	cmd.Process.Kill()
	cmd.Wait()
	if err != nil || len(pids) != 4 || len(alive) != 4 {
		t.Fatalf("control: %d of %d processes, %v", len(alive), len(pids), err)
	}
	if left := vanish(pids, time.Second); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// vanish waits until none of the processes is left, and returns those that are.
func vanish(pids []int, within time.Duration) []int {
	deadline := time.Now().Add(within)
	for {
		left := slices.DeleteFunc(slices.Clone(pids), func(pid int) bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(b), ") Z ")
		})
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(time.Millisecond)
	}
}

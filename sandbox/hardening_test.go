//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

// inheritable opens a descriptor as C libraries do, without close-on-exec.
func inheritable(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/dev/null", unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// TestCellsStartWhateverIsOpen: whatever numbers the descriptors of a cell have,
// and however those of other goroutines come and go, what is started is the
// launcher. The child moves descriptors to free numbers, which must not be its.
func TestCellsStartWhateverIsOpen(t *testing.T) {
	r := open(t, sandbox.Config{})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { // leaves free numbers below those of a cell, again and again
		defer close(done)
		var fds [12]int
		for {
			select {
			case <-stop:
				return
			default:
			}
			for i := range fds {
				fds[i], _ = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			}
			for _, fd := range fds {
				unix.Close(fd)
			}
		}
	}()
	defer func() { close(stop); <-done }()
	for range 60 {
		inheritable(t)
	}
	for range 60 { // the highest number of a cell's passes 100 on the way
		last := inheritable(t)
		for range 4 {
			res, err := r.Run(t.Context(), sandbox.Spec{CallID: "fd", Argv: []string{"/bin/true"}}, sandbox.Discard)
			if err != nil || res.Exit != 0 {
				t.Fatalf("with descriptors up to %d: %v, exit %d", last, err, res.Exit)
			}
		}
	}
}

func init() {
	attempts["openfds"] = func([]string) string {
		l, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			return err.Error()
		}
		var found []string
		for _, e := range l {
			n, _ := strconv.Atoi(e.Name())
			to, err := os.Readlink("/proc/self/fd/" + e.Name())
			if err == nil && n > 2 && !strings.HasPrefix(to, "anon_inode:[event") { // the scheduler's own
				found = append(found, e.Name()+"="+to)
			}
		}
		return fmt.Sprintf("%d %.60q", len(found), strings.Join(found, " "))
	}
}

func init() {
	// runs a cell from a thread of lower priority, and tells that of the tool
	attempts["niced"] = func(a []string) string {
		runtime.LockOSThread()
		n, _ := strconv.Atoi(a[0])
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, n); err != nil {
			return err.Error()
		}
		r, err := sandbox.New(context.Background(), sandbox.Config{})
		if err != nil {
			return err.Error()
		}
		defer r.Close()
		res, err := r.Run(context.Background(), sandbox.Spec{CallID: "x", Argv: []string{"/usr/bin/nice"}}, sandbox.Discard)
		return fmt.Sprint(string(res.Stdout.Head), err)
	}
}

// TestPriorityIsThatOfACellAtMost: a runner that was put behind has cells as well,
// and they stay behind. One that this test finds itself at is among those tried.
func TestPriorityIsThatOfACellAtMost(t *testing.T) {
	open(t, sandbox.Config{})
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	here := 20 - now // as the kernel puts it: 20 less than nothing
	list := []int{0, 10, 15, 19, here}
	slices.Sort(list)
	for _, own := range slices.Compact(list) {
		want := max(own, 10)
		t.Run(fmt.Sprintf("at %d it is %d", own, want), func(t *testing.T) {
			got := outside(t, "niced", strconv.Itoa(own))
			if own < here && got == unix.EACCES.Error() {
				t.Skipf("UNTESTED(at %d, from where this user cannot go back to %d)", here, own)
			}
			if !strings.HasPrefix(got, strconv.Itoa(want)+"\n") {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestStoppedSupervisorGoesOn: another program of the same user that stops
// process 1 of a cell holds its call up for a moment, not to the end of its time.
func TestStoppedSupervisorGoesOn(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{CallID: "x", Argv: []string{"/bin/echo", "ran"}, Limits: sandbox.Limits{Time: 5 * time.Second}}
	res, err := r.Run(t.Context(), s, &recorder{attested: func(a sandbox.Attestation) error {
		return unix.Kill(a.Init.PID, unix.SIGSTOP)
	}})
	if err != nil || res.Limit != sandbox.LimitNone || out(res) != "ran\n" {
		t.Errorf("%v, limit %v after %v: %q", err, res.Limit, res.Timings.Finished, out(res))
	}
}

// TestNothingIsHandedDown: not even with thousands of descriptors that a program
// started from here would inherit, some with high numbers.
func TestNothingIsHandedDown(t *testing.T) {
	r := open(t, sandbox.Config{})
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	last := 0
	for range min(int(l.Cur)-200, 3000) {
		last = inheritable(t)
	}
	for _, high := range []int{last + 50, int(min(l.Cur, 1<<20)) - 1} {
		if err := unix.Dup2(last, high); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(high) })
	}
	if got := outside(t, "openfds"); strings.HasPrefix(got, "0 ") {
		t.Fatal("control: nothing is inherited here")
	}
	held := map[string]int{}
	rec := &recorder{attested: func(a sandbox.Attestation) error {
		if l, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.Init.PID)); err == nil {
			held["process 1"] = len(l)
		}
		return nil
	}}
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.Run(t.Context(), sandbox.Spec{CallID: "fd", Helper: im, Argv: []string{victim, "openfds"}}, rec)
	if got := out(res); err != nil || got != `0 ""` {
		t.Errorf("%v: the tool has %s", err, got)
	}
	if len(held) == 0 {
		t.Log("UNTESTED(the descriptors of the supervisors cannot be read by this user)")
	}
	for who, n := range held {
		if n > 2 { // the control channel and one more
			t.Errorf("%s holds %d descriptors", who, n)
		}
	}
}

func init() {
	// makes a denied call every few milliseconds, and shows by its command line
	// when one was answered otherwise than by the policy
	attempts["asker"] = func(a []string) string {
		for {
			if got := raw(unix.SYS_KEYCTL); got != "EPERM" {
				return name(unix.Exec("/bin/sleep", []string{"/bin/sleep", a[0]}, nil))
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	attempts["askers"] = func(a []string) string {
		r, err := sandbox.New(context.Background(), sandbox.Config{})
		if err != nil {
			return err.Error()
		}
		im, err := image()
		if err != nil {
			return err.Error()
		}
		_, err = r.Run(context.Background(), sandbox.Spec{CallID: "asker", Helper: im, Argv: []string{victim, "asker", a[0], "asks-" + a[0]}}, sandbox.Discard)
		return name(err)
	}
}

// TestStoppedRuntimeAnswersNothing is KS08: while a runtime is stopped a denied
// call waits, and is not let through; when it is killed the cell ends.
func TestStoppedRuntimeAnswersNothing(t *testing.T) {
	if r := open(t, sandbox.Config{}); !r.Facts().Notify {
		t.Skip("UNTESTED(denials are not recorded on this machine)")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{victim, "askers", "66.25"}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(10 * time.Second); len(processes("asks-66.25")) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("control: the cell does not run")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(300 * time.Millisecond); time.Now().Before(deadline); {
		if len(processes("sleep 66.25")) > 0 {
			t.Fatal("a denied call was answered by nobody's word")
		}
		if len(processes("asks-66.25")) == 0 {
			t.Fatal("the cell did not wait")
		}
		time.Sleep(5 * time.Millisecond)
	}
	cmd.Process.Kill()
	for _, marker := range []string{"asks-66.25", "sleep 66.25"} {
		if left := gone(marker, time.Second); len(left) > 0 {
			t.Errorf("left of %s: %v", marker, left)
		}
	}
}

// TestNoDumpsByAnyLimit: a limit on core files of 0 keeps no crash from the program of the host
// that takes dumps, one of 1 does; so a cell keeps what it was given, and can lower others.
func TestNoDumpsByAnyLimit(t *testing.T) {
	r := open(t, sandbox.Config{})
	s := sandbox.Spec{CallID: "x", Argv: []string{"/bin/sh", "-c",
		`grep -q "core file size *1  *1 " /proc/self/limits && (ulimit -n 64 && ulimit -n && ulimit -c); ulimit -c 0; grep -c "core file size *1  *1 " /proc/self/limits`}}
	res, err := r.Run(t.Context(), s, &recorder{})
	if err != nil || out(res) != "64\n0\n1\n" {
		t.Errorf("%v: %q %s", err, out(res), res.Stderr.Bytes())
	}
}

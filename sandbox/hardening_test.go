//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

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
		for who, pid := range map[string]int{"process 1": a.Init.PID, "process 0": parentOf(a.Init.PID)} {
			if l, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
				held[who] = len(l)
			}
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

// parentOf returns the parent of a process.
func parentOf(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	var state string
	var parent int
	fmt.Sscan(rest, &state, &parent)
	return parent
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// killAfter starts a run and kills it once it has printed an event of the kind, which it
// does when the event is committed. It returns the run's identifier.
func killAfter(t *testing.T, data, ws, kind string) string {
	t.Helper()
	run, _ := signalAfter(t, data, ws, kind, syscall.SIGKILL)
	return run
}

// signalAfter is killAfter with any signal. It returns the exit code as well.
func signalAfter(t *testing.T, data, ws, kind string, sig syscall.Signal) (run string, exit int) {
	t.Helper()
	c := holdfastProcess(t, data, "run", "--json", "--ask", "never", "-C", ws, `write "hello" to out.txt`)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var line struct{ Run, Kind string }
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for line.Kind != kind && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
	}
	c.Process.Signal(sig)
	if sig != syscall.SIGKILL {
		for lines.Scan() { // it goes on to write while it ends
		}
	}
	c.Wait()
	if line.Kind != kind {
		t.Fatalf("the run ended without %s", kind)
	}
	return line.Run, c.ProcessState.ExitCode()
}

// TestResumeAfterInterrupt interrupts a run while it is planned, generates, reviews a call
// or carries it out, and resumes it: the same run must go on, as from a question.
func TestResumeAfterInterrupt(t *testing.T) {
	for _, at := range []struct {
		kind string
		sig  syscall.Signal
		exit int
	}{
		{"run.start", syscall.SIGINT, exitInterrupted},
		{"authority", syscall.SIGTERM, 143},
		{"turn", syscall.SIGINT, exitInterrupted}, // the review comes next
		{"call.start", syscall.SIGINT, exitInterrupted},
	} {
		t.Run("After"+at.kind, func(t *testing.T) {
			data, ws := t.TempDir(), t.TempDir()
			run, exit := signalAfter(t, data, ws, at.kind, at.sig)
			path := filepath.Join(data, "holdfast", "ledger", "ledger.db")
			if exit != at.exit || stateAt(t, path, run) != ledger.Suspended {
				t.Fatalf("exit code %d, %s", exit, stateAt(t, path, run))
			}
			got, stderr := code(t, holdfastProcess(t, data, "resume", "--last"))
			if got != exitDone || stateAt(t, path, run) != ledger.Ended {
				t.Fatalf("exit code %d, %s\n%s", got, stateAt(t, path, run), stderr)
			}
			checkResumed(t, path, run, stderr)
		})
	}
}

// stateAt is the state of the only run of a ledger.
func stateAt(t *testing.T, path, run string) ledger.State {
	t.Helper()
	l, err := ledger.Open(context.Background(), path, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	runs, err := l.Runs(t.Context())
	if err != nil || len(runs) != 1 || runs[0].ID != run {
		t.Fatalf("the runs are %v, %v", runs, err)
	}
	return runs[0].State
}

// TestResumeAfterKill kills a run after each kind of event and resumes it in another
// process: it must end, with no call started twice and the cut-off one told as unknown.
func TestResumeAfterKill(t *testing.T) {
	kinds := []string{"run.start", "authority", "gen.start", "turn", "verdict", "decision", "call.start", "call.ready", "call.end", "label"}
	if testing.Short() {
		kinds = []string{"decision", "call.start"}
	}
	for _, kind := range kinds {
		t.Run("After"+kind, func(t *testing.T) {
			data, ws := t.TempDir(), t.TempDir()
			run := killAfter(t, data, ws, kind)
			c := holdfastProcess(t, data, "resume", run[:20])
			var stdout, stderr bytes.Buffer
			c.Stdout, c.Stderr = &stdout, &stderr
			err := c.Run()
			if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := c.ProcessState.ExitCode(); got != exitDone {
				t.Fatalf("exit code %d\n%s%s", got, stdout.String(), stderr.String())
			}
			checkResumed(t, filepath.Join(data, "holdfast", "ledger", "ledger.db"), run, stderr.String())
		})
	}
}

func checkResumed(t *testing.T, path, run, stderr string) {
	t.Helper()
	l, err := ledger.Open(context.Background(), path, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if r, err := l.Verify(t.Context()); err != nil || !r.OK() || len(r.Open)+len(r.Unfinished) > 0 {
		t.Errorf("%v\n%s", err, r)
	}
	events, err := l.ReadAll(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	started, unknown := map[[32]byte]int{}, 0
	for _, e := range events {
		switch b := e.Body.(type) {
		case *agent.CallStart:
			started[e.Call]++
		case *agent.CallEnd:
			if b.Status == agent.CallUnknown {
				unknown++
			}
		}
	}
	for call, n := range started {
		if n > 1 {
			t.Errorf("call %x started %d times", call[:4], n)
		}
	}
	if told := strings.Count(stderr, "was cut off"); told != unknown {
		t.Errorf("%d calls are of unknown outcome, %d were told:\n%s", unknown, told, stderr)
	}
}

// openPTY returns both ends of a new pseudo-terminal.
func openPTY(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("UNTESTED(no pseudo-terminal: %v)", err)
	}
	t.Cleanup(func() { ours.Close() })
	fd := int(ours.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Skipf("UNTESTED(no pseudo-terminal: %v)", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Skipf("UNTESTED(no pseudo-terminal: %v)", err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("UNTESTED(no pseudo-terminal: %v)", err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// TestResumeOnAnotherTerminal suspends a run headless and answers it on a terminal, in
// another process, by hand.
func TestResumeOnAnotherTerminal(t *testing.T) {
	data, ws := t.TempDir(), t.TempDir()
	if got, stderr := code(t, holdfastProcess(t, data, "run", "--ask", "always", "-C", ws, `write "hello" to out.txt`)); got != exitSuspended {
		t.Fatalf("exit code %d\n%s", got, stderr)
	}
	c := holdfastProcess(t, data, "resume", "--last")
	var answer bytes.Buffer
	c.Stdout = &answer
	screen, err := atQuestion(t, c, func(keys *os.File) { keys.WriteString("y\n") })
	if err != nil || !strings.Contains(answer.String(), "out.txt") {
		t.Fatalf("%v: %q\n%s", err, answer.String(), screen)
	}
	if got, err := os.ReadFile(filepath.Join(ws, "out.txt")); err != nil || string(got) != "hello" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

// TestInterruptAtAQuestion breaks a question off and goes on: it must be put again, and the
// call it is about carried out.
func TestInterruptAtAQuestion(t *testing.T) {
	data, ws := t.TempDir(), t.TempDir()
	c := holdfastProcess(t, data, "run", "--ask", "always", "-C", ws, `write "hello" to out.txt`)
	screen, _ := atQuestion(t, c, func(*os.File) { c.Process.Signal(syscall.SIGINT) })
	if got := c.ProcessState.ExitCode(); got != exitInterrupted || !strings.Contains(screen, "stays open") {
		t.Fatalf("exit code %d\n%s", got, screen)
	}
	if got, err := os.ReadFile(filepath.Join(ws, "out.txt")); err == nil {
		t.Fatalf("a call that was asked about ran: %q", got)
	}
	c = holdfastProcess(t, data, "resume", "--last")
	screen, err := atQuestion(t, c, func(keys *os.File) { keys.WriteString("y\n") })
	if err != nil || strings.Count(screen, "Allow?") != 1 {
		t.Fatalf("%v\n%s", err, screen)
	}
	if got, err := os.ReadFile(filepath.Join(ws, "out.txt")); err != nil || string(got) != "hello" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

// atQuestion runs a command on a terminal of its own and does something once at its first
// question. It returns what the terminal showed and how the command ended.
func atQuestion(t *testing.T, c *exec.Cmd, do func(keys *os.File)) (string, error) {
	t.Helper()
	ours, theirs := openPTY(t)
	c.Stdin, c.Stderr = theirs, theirs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	timer := time.AfterFunc(2*time.Minute, func() { c.Process.Kill() })
	defer timer.Stop()
	var screen strings.Builder
	buf := make([]byte, 4096)
	for done := false; ; {
		n, err := ours.Read(buf)
		screen.Write(buf[:n])
		if !done && strings.Contains(screen.String(), "Allow?") {
			done = true
			do(ours)
		}
		if err != nil { // the other end is closed when the process ends
			return screen.String(), c.Wait()
		}
	}
}

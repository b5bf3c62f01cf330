package main

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// holdfastProcess is holdfast as a process of its own: this test binary, by that name.
func holdfastProcess(t *testing.T, data string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Args = append([]string{"holdfast"}, args...)
	c.Env = append(os.Environ(), "XDG_DATA_HOME="+data, "TERM=dumb")
	return c
}

// TestKillAtAnyMoment kills a run with SIGKILL: twice before its first event, while the
// ledger is opened, and then once in each of 12 equal parts of the time in which it records,
// at a random moment of the part. The ledger must verify each time, and hold an allowing
// decision before every start of a call.
func TestKillAtAnyMoment(t *testing.T) {
	const parts = 12
	data, ws := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(ws, "relay.conf"), []byte("name: relay\nport: 4711\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	loading, recording := killed(t, data, ws, false, time.Hour) // nothing is: how long it takes
	for range 2 {
		after := time.Duration(rand.Int64N(int64(loading)))
		killed(t, data, ws, false, after)
		checkLedger(t, filepath.Join(data, "holdfast", "ledger", "ledger.db"), after)
	}
	for i := range parts {
		after := (time.Duration(i)*recording + time.Duration(rand.Int64N(int64(recording)))) / parts
		killed(t, data, ws, true, after)
		checkLedger(t, filepath.Join(data, "holdfast", "ledger", "ledger.db"), after)
	}
}

// killed carries out a run and kills it so long after its beginning, or after its first
// event. It returns how long the run took up to that event, and from there.
func killed(t *testing.T, data, ws string, fromEvent bool, after time.Duration) (loading, recording time.Duration) {
	t.Helper()
	c := holdfastProcess(t, data, "run", "--json", "--ask", "never", "-C", ws, "copy the port from relay.conf to port.txt")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() *time.Timer {
		return time.AfterFunc(after, func() { c.Process.Signal(syscall.SIGKILL) })
	}
	if !fromEvent {
		defer kill().Stop()
	}
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err == nil && fromEvent {
		defer kill().Stop()
	}
	first := time.Now()
	_, _ = io.Copy(io.Discard, r)
	if err := c.Wait(); err != nil && after == time.Hour {
		t.Fatalf("a whole run: %v", err)
	}
	return first.Sub(began), time.Since(first)
}

func checkLedger(t *testing.T, path string, after time.Duration) {
	t.Helper()
	ctx := context.Background()
	l, err := ledger.Open(ctx, path, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatalf("killed after %v: %v", after, err)
	}
	defer l.Close()
	r, err := l.Verify(ctx)
	if err != nil || !r.OK() {
		t.Fatalf("killed after %v: %v\n%s", after, err, r)
	}
	runs, err := l.Runs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range runs {
		allowed := map[int64][32]byte{}
		for e, err := range l.Events(ctx, run.ID) {
			if err != nil {
				t.Fatal(err)
			}
			switch b := e.Body.(type) {
			case *agent.Decided:
				if b.Outcome == agent.Allow {
					allowed[e.Seq] = e.Call
				}
			case *agent.CallStart:
				if allowed[e.Ref] != e.Call {
					t.Errorf("killed after %v: call started at %d without its decision", after, e.Seq)
				}
			}
		}
	}
}

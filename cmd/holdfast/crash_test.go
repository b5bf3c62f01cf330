package main

import (
	"bytes"
	"context"
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

// TestKillAtAnyMoment kills a run with SIGKILL at 20 random moments. The ledger must
// verify each time, and hold an allowing decision before every start of a call.
func TestKillAtAnyMoment(t *testing.T) {
	data, ws := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(ws, "relay.conf"), []byte("name: relay\nport: 4711\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"run", "--ask", "never", "-C", ws, "copy the port from relay.conf to port.txt"}
	var out bytes.Buffer
	whole := holdfastProcess(t, data, args...)
	whole.Stderr = &out
	began := time.Now()
	if err := whole.Run(); err != nil {
		t.Fatalf("a whole run: %v\n%s", err, out.String())
	}
	took := time.Since(began)

	for range 20 {
		c := holdfastProcess(t, data, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rand.Int64N(int64(took)))
		timer := time.AfterFunc(after, func() { c.Process.Signal(syscall.SIGKILL) })
		c.Wait() // killed, or done before the signal
		timer.Stop()
		checkLedger(t, filepath.Join(data, "holdfast", "ledger", "ledger.db"), after)
	}
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

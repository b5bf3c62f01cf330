package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// TestInterruptedVerifier ends a verifier by an interrupt: the run stays open, and is verified
// when it goes on.
func TestInterruptedVerifier(t *testing.T) {
	data := t.TempDir()
	ws := workspaceWith(t, map[string]string{"relay.conf": "port: 4711\n"})
	c := holdfastProcess(t, data, "run", "--ask", "never", "--verify", "test -e go || sleep 100", "-C", ws, "what is the port in relay.conf?")
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	runs := func() []ledger.Summary { return runsOf(t, data) }
	for end := time.Now().Add(time.Minute); len(runs()) < 2 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	c.Process.Signal(syscall.SIGINT)
	c.Wait()
	if got := c.ProcessState.ExitCode(); got != exitInterrupted || !strings.Contains(stderr.String(), "holdfast resume ") {
		t.Fatalf("exit code %d\n%s", got, &stderr)
	}
	if list := runs(); len(list) != 2 || list[0].State == ledger.Ended || list[1].Agent != "verifier" {
		t.Fatalf("on record: %+v", list)
	}

	// the command is that of the run
	if err := os.WriteFile(filepath.Join(ws, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := holdfastProcess(t, data, "resume", "--last").Output()
	if list := runs(); err != nil || !strings.Contains(string(out), "4711") || len(list) != 3 || list[0].State != ledger.Ended {
		t.Errorf("%v: %q, on record: %+v", err, out, list)
	}
	// a fork is verified alike, unless it is told not to be
	if out, err := holdfastProcess(t, data, "fork", runs()[0].ID+"@2").Output(); err != nil || len(runs()) != 5 {
		t.Errorf("%v: %q, on record: %+v", err, out, runs())
	}
	if out, err := holdfastProcess(t, data, "fork", "--verify", "", runs()[0].ID+"@2").Output(); err != nil || len(runs()) != 6 {
		t.Errorf("%v: %q, on record: %+v", err, out, runs())
	}
}

// TestKilledVerifier kills the process while the command runs: when the run goes on, nothing of
// either is left without an end, or retention would never erase it.
func TestKilledVerifier(t *testing.T) {
	data := t.TempDir()
	ws := workspaceWith(t, map[string]string{"relay.conf": "port: 4711\n"})
	c := holdfastProcess(t, data, "run", "--ask", "never", "--verify", "test -e go || sleep 100", "-C", ws, "what is the port in relay.conf?")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); len(runsOf(t, data)) < 2 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	c.Process.Kill()
	c.Wait()
	if list := runsOf(t, data); len(list) != 2 || list[1].State != ledger.Crashed {
		t.Fatalf("on record: %+v", list)
	}
	if err := os.WriteFile(filepath.Join(ws, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := holdfastProcess(t, data, "resume", "--last").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range runsOf(t, data) {
		if s.State != ledger.Ended {
			t.Errorf("without an end: %+v", s)
		}
	}
}

// runsOf lists what the ledger of a data directory holds, nothing where there is none yet.
func runsOf(t *testing.T, data string) []ledger.Summary {
	t.Helper()
	l, err := ledger.Open(context.Background(), filepath.Join(data, "holdfast", "ledger", "ledger.db"), ledger.Options{ReadOnly: true})
	if err != nil {
		return nil
	}
	defer l.Close()
	list, err := l.Runs(context.Background())
	if err != nil {
		t.Error(err)
	}
	return list
}

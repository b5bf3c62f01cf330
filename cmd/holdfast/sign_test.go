package main

import (
	"bufio"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// recorded adds a run to a ledger.
func recorded(t *testing.T, path string) {
	t.Helper()
	l, err := ledger.Open(t.Context(), path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := l.Begin(t.Context(), ledger.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, b := range []agent.Body{&agent.RunStart{Task: agent.Text("x")}, &agent.RunEnd{Status: agent.StatusDone}} {
		if _, err := r.Append(t.Context(), agent.Event{Body: b}); err != nil {
			t.Fatal(err)
		}
	}
}

// signing is a process that signs a ledger of one run, once in each so long a time.
type signing struct {
	data, path, key, notes string
	c                      *exec.Cmd
	lines                  *bufio.Scanner
}

func startSigning(t *testing.T, every string) signing {
	t.Helper()
	data := t.TempDir()
	g := signing{data: data, path: filepath.Join(data, "holdfast", "ledger", "ledger.db"), key: filepath.Join(data, "k"), notes: filepath.Join(data, "notes")}
	recorded(t, g.path)
	if out, err := holdfastProcess(t, data, "keys", "new", "-o", g.key, "ops").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	g.c = holdfastProcess(t, data, "log", "sign", "--sign-key", g.key, "--anchor", g.notes, "--every", every)
	pipe, err := g.c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.c.Process.Kill() })
	g.lines = bufio.NewScanner(pipe)
	return g
}

// interrupt ends the process as a person does.
func (g signing) interrupt(t *testing.T) {
	t.Helper()
	if err := g.c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for g.lines.Scan() {
	}
	var exit *exec.ExitError
	if err := g.c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("it ended with %v", err)
	}
}

// TestSigningEndsWithANote interrupts a process that signs now and then: what was added since
// its last note is covered by a note too.
func TestSigningEndsWithANote(t *testing.T) {
	g := startSigning(t, "1h")
	if !g.lines.Scan() || g.lines.Text() != "signed to head 2" {
		t.Fatalf("it began with %q", g.lines.Text())
	}
	recorded(t, g.path)
	g.interrupt(t)
	out, err := holdfastProcess(t, g.data, "log", "verify", "--key", g.key, "--anchor", g.notes).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "anchored      to head 4 of 4") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSigningAgainAndAgain has one process sign what others add, rotates the ledger under
// it, and ends it: every head must be covered by a note kept elsewhere.
func TestSigningAgainAndAgain(t *testing.T) {
	g := startSigning(t, "50ms")
	until := func(want string) {
		t.Helper()
		for g.lines.Scan() {
			if strings.HasPrefix(g.lines.Text(), want) {
				return
			}
		}
		t.Fatalf("it ended before it said %q", want)
	}
	until("signed to head 2")
	recorded(t, g.path)
	until("signed to head 4")
	for { // the signer may have the file open just now
		out, err := holdfastProcess(t, g.data, "log", "rotate", "--keep", "old.db").CombinedOutput()
		if err == nil {
			break
		}
		if !strings.Contains(string(out), "another process has the ledger open") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	recorded(t, g.path)
	until("signed to head 3")
	g.interrupt(t)
	for _, file := range []string{g.path, filepath.Join(filepath.Dir(g.path), "old.db")} {
		out, err := holdfastProcess(t, g.data, "log", "verify", "--ledger", file, "--key", g.key, "--anchor", g.notes, "--require-anchor", "1h").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "anchored      to head") {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

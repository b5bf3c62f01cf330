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

// TestSigningEndsWithANote interrupts a process that signs now and then: what was added since
// its last note is covered by a note too.
func TestSigningEndsWithANote(t *testing.T) {
	data := t.TempDir()
	path, key, notes := filepath.Join(data, "holdfast", "ledger", "ledger.db"), filepath.Join(data, "k"), filepath.Join(data, "notes")
	recorded(t, path)
	if out, err := holdfastProcess(t, data, "keys", "new", "-o", key, "ops").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := holdfastProcess(t, data, "log", "sign", "--sign-key", key, "--anchor", notes, "--every", "1h")
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	lines := bufio.NewScanner(pipe)
	if !lines.Scan() || lines.Text() != "signed to head 2" {
		t.Fatalf("it began with %q", lines.Text())
	}
	recorded(t, path)
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("it ended with %v", err)
	}
	out, err := holdfastProcess(t, data, "log", "verify", "--key", key, "--anchor", notes).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "anchored      to head 4 of 4") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSigningAgainAndAgain has one process sign what others add, rotates the ledger under
// it, and ends it: every head must be covered by a note kept elsewhere.
func TestSigningAgainAndAgain(t *testing.T) {
	data := t.TempDir()
	path, key, notes := filepath.Join(data, "holdfast", "ledger", "ledger.db"), filepath.Join(data, "k"), filepath.Join(data, "notes")
	recorded(t, path)
	if out, err := holdfastProcess(t, data, "keys", "new", "-o", key, "ops").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := holdfastProcess(t, data, "log", "sign", "--sign-key", key, "--anchor", notes, "--every", "50ms")
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	lines := bufio.NewScanner(pipe)
	until := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("it ended before it said %q", want)
	}
	until("signed to head 2")
	recorded(t, path)
	until("signed to head 4")
	for { // the signer may have the file open just now
		out, err := holdfastProcess(t, data, "log", "rotate", "--keep", "old.db").CombinedOutput()
		if err == nil {
			break
		}
		if !strings.Contains(string(out), "another process has the ledger open") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	recorded(t, path)
	until("signed to head 3")
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	var exit *exec.ExitError
	if err := c.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("it ended with %v", err)
	}
	for _, file := range []string{path, filepath.Join(filepath.Dir(path), "old.db")} {
		out, err := holdfastProcess(t, data, "log", "verify", "--ledger", file, "--key", key, "--anchor", notes, "--require-anchor", "1h").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "anchored      to head") {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}

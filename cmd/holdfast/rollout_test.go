package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// TestRolloutIsCompleteAfterKills kills a rollout with SIGKILL at random moments and then
// lets it end: every attempt must be there once, with its score.
func TestRolloutIsCompleteAfterKills(t *testing.T) {
	data := t.TempDir()
	tasks := filepath.Join(data, "tasks.jsonl")
	text := ""
	for i := range 3 {
		text += fmt.Sprintf(`{"id":"t%d","kind":"benign","prompt":"what is the port in relay.conf?","files":{"relay.conf":"port: 471%d\n"},"expect":{"status":"done","answer":["471%d"]}}`+"\n", i, i, i)
	}
	if err := os.WriteFile(tasks, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"rollout", "-q", "-n", "2", "--threads", "1", tasks}
	began := time.Now()
	if err := holdfastProcess(t, t.TempDir(), args...).Run(); err != nil {
		t.Fatalf("a whole rollout: %v", err)
	}
	took := time.Since(began)
	for range 3 {
		c := holdfastProcess(t, data, args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rand.Int64N(int64(took))), func() { c.Process.Signal(syscall.SIGKILL) })
		c.Wait() // killed, or done before the signal
		timer.Stop()
	}
	if out, err := holdfastProcess(t, data, args...).CombinedOutput(); err != nil {
		t.Fatalf("the last rollout: %v\n%s", err, out)
	}

	path := filepath.Join(data, "holdfast", "ledger", "ledger.db")
	checkLedger(t, path, took)
	l, err := ledger.Open(t.Context(), path, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	runs, err := l.Runs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string]int{}
	for _, r := range runs {
		switch {
		case r.State != ledger.Ended:
			t.Errorf("run %s is %s", r.ID, r.State)
		case r.Status == agent.StatusStopped:
			continue
		}
		whole[fmt.Sprintf("%s %d", r.Info.Task, r.Info.Sample)]++
		scored := false
		for e, err := range l.Events(t.Context(), r.ID) {
			if err != nil {
				t.Fatal(err)
			}
			if s, ok := e.Body.(*agent.Scored); ok && s.Name == "task" {
				scored = true
			}
		}
		if !scored {
			t.Errorf("run %s has no score", r.ID)
		}
	}
	if len(whole) != 6 {
		t.Errorf("%d attempts are there, want 6: %v", len(whole), whole)
	}
	for k, n := range whole {
		if n != 1 {
			t.Errorf("%s is there %d times", k, n)
		}
	}
}

// verifiedRun is the error that ends a rollout after one attempt, which calls nothing, with a
// command that verifies it.
func verifiedRun(t *testing.T, command string, before func(*workplace)) error {
	t.Helper()
	l, err := ledger.Open(t.Context(), filepath.Join(t.TempDir(), "l", "ledger.db"), ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	w, err := openWorkplace(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	rec, err := l.Begin(t.Context(), ledger.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	g := &grader{Run: rec, b: &rolloutBench{l: l}, w: w, dir: dir,
		j: eval.Job{Task: tasks.Task{ID: "port", Expect: tasks.Expect{Status: "done", Command: command}}}}
	before(w)
	_, err = loop.Run(t.Context(), loop.Config{Model: &operatorModel{turns: 1}, Judge: operatorJudge{}, Executor: w.tools,
		Recorder: g, Approver: replies(false)}, loop.Task{Prompt: "x"})
	return rolloutFailure(g.ends(t.Context(), err))
}

// TestVerifierThatCannotRun has a command that no cell can be built for: that is told as what
// it is, not as a failure of the ledger.
func TestVerifierThatCannotRun(t *testing.T) {
	t.Run("NoCell", func(t *testing.T) {
		err := verifiedRun(t, "true", func(w *workplace) { w.runner.Close() })
		if err == nil || exitCode(err) != exitSandbox || !strings.HasPrefix(err.Error(), "grade the run: run the task's command: ") {
			t.Errorf("exit code %d: %v", exitCode(err), err)
		}
	})
	t.Run("NotWithACell", func(t *testing.T) {
		err := verifiedRun(t, "true", func(w *workplace) {})
		if err != nil {
			t.Fatalf("with a cell: %v", err)
		}
	})
	t.Run("TooLong", func(t *testing.T) {
		long := "true " + strings.Repeat("x", 5000)
		if err := verifiedRun(t, long, func(*workplace) {}); err == nil || exitCode(err) != exitUsage || hint(err) != "mend its expect.command in the file of tasks" {
			t.Errorf("exit code %d: %v", exitCode(err), err)
		}
		file := filepath.Join(t.TempDir(), "tasks.jsonl")
		line := fmt.Sprintf(`{"id":"port","kind":"benign","prompt":"what is the port?","expect":{"status":"done","command":%q}}`+"\n", long)
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		data := t.TempDir()
		got, stderr := code(t, holdfastProcess(t, data, "rollout", "-n", "1", file))
		if got != exitUsage {
			t.Errorf("exit code %d\n%s", got, stderr)
		}
		oneClearLine(t, stderr, "check the command of task port: ")
	})
}

// TestWhatEndedARun tells a model that gave up from a program that broke down.
func TestWhatEndedARun(t *testing.T) {
	unread, idle, called := &agent.Turned{Parse: agent.ParseFailed}, &agent.Turned{Parse: agent.ParseClean}, &agent.Turned{Parse: agent.ParseClean, Calls: agent.JSON([]int{})}
	end, label, score := &agent.RunEnd{Status: agent.StatusError}, &agent.Labelled{}, &agent.Scored{}
	for name, c := range map[string]struct {
		bodies []agent.Body
		want   bool
	}{
		"Unreadable":          {[]agent.Body{&agent.GenStart{}, &agent.GenEnd{}, unread, end}, true},
		"NothingSaid":         {[]agent.Body{&agent.GenStart{}, &agent.GenEnd{}, idle, label, score, end, label, &agent.Exported{}}, true},
		"ServerGone":          {[]agent.Body{&agent.GenStart{}, &agent.GenEnd{}, unread, &agent.Said{}, &agent.GenStart{}, score, end}, false},
		"NoCell":              {[]agent.Body{called, &agent.Judged{}, &agent.Decided{}, &agent.CallEnd{}, end}, false},
		"FailedBeforeACall":   {[]agent.Body{called, end}, false},
		"FailedBeforeAllElse": {[]agent.Body{&agent.RunStart{}, end}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var past []agent.Event
			for _, b := range c.bodies {
				past = append(past, agent.Event{Body: b})
			}
			if got := gaveUp(past); got != c.want {
				t.Errorf("gave up: %v, want %v", got, c.want)
			}
		})
	}
}

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func TestMarks(t *testing.T) {
	at := func(run string, seq int64) ledger.Pending {
		return ledger.Pending{Run: run, Asked: agent.Event{Seq: seq}}
	}
	t.Run("TheSameWordsElsewhereHaveAnotherMark", func(t *testing.T) {
		mark := markOf(at("a", 7), "may it?")
		for name, other := range map[string]string{
			"another run": markOf(at("b", 7), "may it?"),
			"asked again": markOf(at("a", 9), "may it?"),
			"other words": markOf(at("a", 7), "may it not?"),
		} {
			if other == mark {
				t.Errorf("%s: the mark is the same", name)
			}
		}
	})
	t.Run("AQuestionThatShowsAnotherCallIsNotPut", func(t *testing.T) {
		shown := agent.ToolCall{ID: "1", Tool: "send", Args: `{"to":"a"}`}
		done := agent.ToolCall{ID: "1", Tool: "send", Args: `{"to":"b"}`}
		p := ledger.Pending{Asked: agent.Event{Call: done.Digest()}}
		if sameCall(p, agent.Question{Call: &shown}) || sameCall(p, agent.Question{}) {
			t.Error("a question about one call stands for another")
		}
		if !sameCall(p, agent.Question{Call: &done}) || !sameCall(ledger.Pending{}, agent.Question{Prompt: "x"}) {
			t.Error("a question is taken for another")
		}
	})
}

// TestRevoke takes back an approval before it is acted on: the run is over, and nothing
// but that is recorded.
func TestRevoke(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger", "l.db")
	command := func(args ...string) (int, string) {
		var out, errs bytes.Buffer
		code := run(append([]string{"holdfast"}, args...), strings.NewReader(""), &out, &errs)
		return code, out.String() + errs.String()
	}
	answer := func(id, choice string) {
		t.Helper()
		_, list := command("approvals", "ls", "--ledger", path)
		_, rest, _ := strings.Cut(list, "mark  ")
		mark, _, _ := strings.Cut(rest, "\n")
		if code, text := command("approvals", "answer", "--ledger", path, "--mark", mark, id, choice); code != exitDone {
			t.Fatalf("answer: exit %d\n%s", code, text)
		}
	}
	id := suspended(t, path, "ls")
	if code, text := command("approvals", "revoke", "--ledger", path, id); code != exitUsage || !strings.Contains(text, "no approval") {
		t.Errorf("before any answer: exit %d\n%s", code, text)
	}
	answer(id, "yes")
	if code, text := command("approvals", "revoke", "--ledger", path, "--note", "changed my mind", id); code != exitDone {
		t.Fatalf("exit %d\n%s", code, text)
	}
	if code, text := command("resume", "--ledger", path, id); code != exitUsage {
		t.Errorf("the run goes on: exit %d\n%s", code, text)
	}
	if code, _ := command("approvals", "revoke", "--ledger", path, id); code != exitUsage {
		t.Errorf("revoked twice: exit %d", code)
	}
	if code, text := command("log", "verify", "--ledger", path); code != exitDone {
		t.Errorf("verify: exit %d\n%s", code, text)
	}
	l, err := ledger.Open(t.Context(), path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	events, err := l.ReadAll(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	end, ok := events[len(events)-1].Body.(*agent.RunEnd)
	if !ok || end.Status != agent.StatusDenied || !strings.Contains(end.Error.String(), "changed my mind") || end.Calls != 0 {
		t.Errorf("the run ended %+v", end)
	}
	for _, e := range events {
		if _, ok := e.Body.(*agent.CallStart); ok {
			t.Error("a call started")
		}
	}
	denied := suspended(t, path, "pwd")
	answer(denied, "no")
	if code, _ := command("approvals", "revoke", "--ledger", path, denied); code != exitUsage {
		t.Errorf("a denial was taken back: exit %d", code)
	}
	// A run that was cut off between its decision and the start of the call has not acted on it.
	cut := suspended(t, path, "id")
	answer(cut, "yes")
	decide(t, path, cut)
	if code, text := command("approvals", "revoke", "--ledger", path, cut); code != exitDone {
		t.Errorf("a decision without a start: exit %d\n%s", code, text)
	}
	if code, text := command("log", "verify", "--ledger", path); code != exitDone {
		t.Errorf("verify: exit %d\n%s", code, text)
	}
}

// decide records the decision that follows from the answer a run was given.
func decide(t *testing.T, path, id string) {
	t.Helper()
	l, err := ledger.Open(t.Context(), path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, err := l.Recover(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	events, err := l.ReadAll(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if _, ok := e.Body.(*agent.Answered); ok {
			if _, err := r.Append(t.Context(), agent.Event{Step: e.Step, Ref: e.Seq, Call: e.Call,
				Body: &agent.Decided{Tool: "act", Outcome: agent.Allow, By: "user"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

package ledger_test

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// TestHeads counts when a run's tip enters the head chain.
func TestHeads(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := open(t, memoryPath(t), ledger.Options{Clock: func() time.Time { return now }})
	heads := func(want int64, when string) {
		t.Helper()
		rep, err := l.Verify(t.Context())
		if err != nil || !rep.OK() || rep.Heads != want {
			t.Errorf("%s: %d heads, want %d (%v)\n%v", when, rep.Heads, want, err, rep)
		}
	}
	r := started(t, l)
	heads(1, "after the first event")
	add(t, r, say("soon"))
	heads(1, "soon after")
	now = now.Add(61 * time.Second)
	add(t, r, say("later"))
	heads(2, "after a minute")
	for r.Last() < 256 {
		add(t, r, say("more"))
	}
	heads(3, "after 256 events")
	add(t, r, finish())
	heads(4, "after the last event")
	add(t, r, agent.Event{Body: &agent.Labelled{Channel: agent.UserPrompt}})
	heads(5, "after a label")
}

func TestClockSetBack(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := open(t, newPath(t), ledger.Options{Clock: func() time.Time { return now }})
	r := started(t, l)
	now = now.Add(time.Minute)
	add(t, r, say("one"))
	now = now.Add(-time.Hour)
	add(t, r, say("two"))
	r.Close()
	r, err := l.Recover(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	add(t, r, finish())
	ev, err := l.ReadAll(t.Context(), r.ID())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range ev[1:] {
		if e.Mono != time.Minute {
			t.Errorf("event %d: %v since the start, want a minute", e.Seq, e.Mono)
		}
	}
	if rep, err := l.Verify(t.Context()); err != nil || !rep.OK() {
		t.Errorf("%v\n%v", err, rep)
	}
}

func TestBranches(t *testing.T) {
	l := open(t, newPath(t), ledger.Options{})
	p := started(t, l)
	c := begin(t, l, ledger.RunInfo{Parent: p.ID(), ParentSeq: 1, Relation: ledger.Retry, Thread: "th"})
	add(t, c, agent.Event{Body: &agent.RunStart{Task: agent.Text("again")}})
	s, err := l.Run(t.Context(), c.ID())
	if err != nil || s.Info.Parent != p.ID() || s.Info.ParentSeq != 1 || s.Info.Relation != ledger.Retry || s.Info.Thread != "th" {
		t.Errorf("summary = %+v, %v", s, err)
	}
	if s, err := l.Run(t.Context(), p.ID()); err != nil || s.Info.Parent != "" || s.Info.Thread != p.ID() {
		t.Errorf("summary = %+v, %v", s, err)
	}
	for name, bad := range map[string]ledger.RunInfo{
		"RefusesRootWithParent":     {Parent: p.ID()},
		"RefusesForkWithoutParent":  {Relation: ledger.Fork},
		"RefusesUnknownParent":      {Relation: ledger.Fork, Parent: "0123456789abcdef0123456789abcdef"},
		"RefusesPrefixAsParent":     {Relation: ledger.Fork, Parent: p.ID()[:8]},
		"RefusesBranchBehindParent": {Relation: ledger.Fork, Parent: p.ID(), ParentSeq: 2},
		"RefusesUnknownRelation":    {Relation: "cousin", Parent: p.ID()},
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := l.Begin(t.Context(), bad); err == nil {
				r.Close()
				t.Error("the run began")
			}
		})
	}
}

func TestClosedLedger(t *testing.T) {
	l := open(t, newPath(t), ledger.Options{})
	r := started(t, l)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Append(t.Context(), say("late")); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("Append gave %v", err)
	}
	if _, err := l.Begin(t.Context(), ledger.RunInfo{}); !errors.Is(err, ledger.ErrClosed) {
		t.Errorf("Begin gave %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

package replay_test

import (
	"slices"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/runtime/replay"
)

// branch makes a run that begins before step 2 of a recorded one.
func branch(t *testing.T, past []agent.Event) []agent.Event {
	t.Helper()
	rec := &agenttest.Memory{}
	x := &agenttest.Executor{Reply: func(c agent.ToolCall) agent.Observation {
		return agent.Observation{Status: agent.CallOK, Text: "did " + c.Args}
	}}
	_, err := loop.Branch(t.Context(), loop.Config{Model: &agenttest.Script{Turns: turns()[1:]}, Judge: judge(), Executor: x, Recorder: rec,
		Approver: &agenttest.Approver{Choice: agent.ChoiceOnce}, Seed: 6, Temp: 0.5}, loop.Task{}, past, 2)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Events
}

func TestBranchIsReplayed(t *testing.T) {
	past := record(t, agent.ChoiceOnce).events
	events := branch(t, past)
	if !slices.ContainsFunc(events, func(e agent.Event) bool { b, ok := e.Body.(*agent.Said); return ok && b.Copied }) {
		t.Fatal("the branch copied nothing")
	}
	for _, mode := range replay.Modes {
		t.Run("Same/"+string(mode), func(t *testing.T) {
			p, err := replay.OpenBranch(events, past, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Run(t.Context(), mode, &agenttest.Script{Turns: turns()[1:]}, judge())
			if err != nil || r.First != nil || r.Events != len(events) {
				t.Errorf("%v, first divergence %v, %d of %d events", err, r.First, r.Events, len(events))
			}
		})
	}
	t.Run("AnotherPastIsFound", func(t *testing.T) {
		other := slices.Clone(past)
		for i, e := range other {
			if b, ok := e.Body.(*agent.Said); ok && b.Role == agent.Tool {
				said := *b
				said.Text = agent.Text("something else")
				other[i].Body = &said
				break
			}
		}
		p, err := replay.OpenBranch(events, other, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Run(t.Context(), replay.ToolsRecorded, &agenttest.Script{Turns: turns()[1:]}, judge())
		if err != nil || r.First == nil || r.First.Kind != "message" || r.First.Field != "text" {
			t.Errorf("%v, first divergence %v", err, r.First)
		}
	})
	t.Run("APastThatIsTooShortIsRefused", func(t *testing.T) {
		p, err := replay.OpenBranch(events, past[:3], false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := p.Run(t.Context(), replay.ToolsRecorded, &agenttest.Script{Turns: turns()[1:]}, judge()); err == nil {
			t.Errorf("replayed: %+v", r)
		}
	})
}

// forgetful is a model that counts how often it had to begin anew, and after how many turns.
type forgetful struct {
	*agenttest.Script
	after []int
}

func (f *forgetful) Renew() error {
	f.after = append(f.after, len(f.Requests))
	return nil
}

// TestReplayReadsAnewWhereTheRunDid inserts recoveries, as of a run that was suspended and
// went on in other processes, before its second turn and behind its last.
func TestReplayReadsAnewWhereTheRunDid(t *testing.T) {
	events := slices.Clone(record(t, agent.ChoiceOnce).events)
	turns2 := 0
	at := slices.IndexFunc(events, func(e agent.Event) bool {
		b, ok := e.Body.(*agent.GenStart)
		if ok && b.Purpose == agent.PurposeAgent {
			turns2++
		}
		return turns2 == 2
	})
	recovered := agent.Event{Seq: 9999, Body: &agent.RunRecover{}}
	events = slices.Insert(events, at, recovered)
	events = append(events, recovered)
	for _, mode := range replay.Modes {
		t.Run(string(mode), func(t *testing.T) {
			model := &forgetful{Script: &agenttest.Script{Turns: turns()}}
			r, err := open(t, events).Run(t.Context(), mode, model, judge())
			if err != nil || r.First != nil {
				t.Fatalf("%v, first divergence %v", err, r.First)
			}
			want := []int{1}
			if mode == replay.Decisions {
				want = nil
			}
			if !slices.Equal(model.after, want) {
				t.Errorf("began anew after %v turns, want %v", model.after, want)
			}
		})
	}
}

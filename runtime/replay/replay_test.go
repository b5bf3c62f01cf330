package replay_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/runtime/replay"
)

func turns() []agent.Turn {
	ask := agenttest.Calls("I look.", "act", `{"n":2}`)
	ask.Tokens.Output = []int32{3, 4}
	done := agenttest.Answers("all done")
	done.Tokens = agent.TokenRecord{Prompt: []int32{7}, Output: []int32{9}, Raw: []float32{-1}, Sampled: []float32{-1}, Forced: []bool{false}, Finish: agent.FinishEOS}
	return []agent.Turn{agenttest.Calls("I begin.", "act", `{"n":1}`), ask, agenttest.Calls("", "act", `{"bad":1}`), done}
}

// judge allows, asks about the second call, and gives each response a label.
func judge() *agenttest.Judge {
	j := agenttest.Permissive()
	allow := j.OnCall
	j.OnCall = func(p agent.Proposal) agent.Verdict {
		v := allow(p)
		if strings.Contains(p.Call.Args, "2") {
			v.Outcome = agent.Ask
		}
		return v
	}
	return j
}

type made struct {
	events []agent.Event
	script *agenttest.Script
	out    loop.Outcome
}

func record(t *testing.T, approve agent.Choice) made {
	t.Helper()
	rec := &agenttest.Memory{}
	m := made{script: &agenttest.Script{Turns: turns()}}
	x := &agenttest.Executor{Reply: func(c agent.ToolCall) agent.Observation {
		return agent.Observation{Status: agent.CallOK, Text: "did " + c.Args}
	}}
	var err error
	m.out, err = loop.Run(context.Background(), loop.Config{Model: m.script, Judge: judge(), Executor: x, Recorder: rec,
		Approver: &agenttest.Approver{Choice: approve}, Seed: 5, Temp: 0.5}, loop.Task{Prompt: "act twice", Data: "piped text"})
	if err != nil {
		t.Fatal(err)
	}
	m.events = rec.Events
	return m
}

func open(t *testing.T, events []agent.Event) *replay.Player {
	t.Helper()
	p, err := replay.Open(events, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSameRunIsTheSame(t *testing.T) {
	for _, choice := range []agent.Choice{agent.ChoiceOnce, agent.ChoiceDeny, agent.ChoiceStop, agent.ChoiceSuspend} {
		m := record(t, choice)
		for _, mode := range replay.Modes {
			t.Run(string(mode)+"/"+choice.String(), func(t *testing.T) {
				script := &agenttest.Script{Turns: turns()}
				r, err := open(t, m.events).Run(t.Context(), mode, script, judge())
				if err != nil || r.First != nil {
					t.Fatalf("%v, first divergence %v", err, r.First)
				}
				if r.Events != len(m.events) {
					t.Errorf("%d events compared, %d recorded", r.Events, len(m.events))
				}
				if mode == replay.Decisions {
					if len(script.Requests)+len(script.Forks) > 0 || r.Generations > 0 {
						t.Error("the model was asked")
					}
					return
				}
				if r.Prompts != r.Generations || r.Same != r.Generations || r.Exact != r.Generations {
					t.Errorf("report %+v", r)
				}
				for i, q := range script.Requests { // the frames of responses have their recorded marks
					if !reflect.DeepEqual(q.Messages, m.script.Requests[i].Messages) {
						t.Errorf("request %d differs:\n%+v\n%+v", i, q.Messages, m.script.Requests[i].Messages)
					}
				}
			})
		}
	}
}

func TestDivergenceIsFound(t *testing.T) {
	m := record(t, agent.ChoiceOnce)
	otherCall, otherToken := turns(), turns()
	otherCall[1] = agenttest.Calls("I look.", "act", `{"n":3}`)
	otherToken[1].Tokens.Output = []int32{3, 5}
	deny := judge()
	deny.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Code: "unsafe"} }
	more := judge()
	before := more.OnCall
	more.OnCall = func(p agent.Proposal) agent.Verdict {
		v := before(p)
		v.Votes = append(v.Votes, agent.Vote{Rule: "new", Outcome: agent.Allow})
		return v
	}
	for name, c := range map[string]struct {
		mode        replay.Mode
		turns       []agent.Turn
		judge       loop.Judge
		kind, field string
		seen        bool
	}{
		"OtherCall":            {replay.ToolsRecorded, otherCall, judge(), "turn", "calls", true},
		"OtherTokenStrictly":   {replay.Strict, otherToken, judge(), "gen.end", "ids", true},
		"OtherTokenOtherwise":  {replay.ToolsRecorded, otherToken, judge(), "", "", false},
		"OtherTokenModelOnly":  {replay.ModelOnly, otherToken, judge(), "gen.end", "ids", true},
		"OneMoreVote":          {replay.Decisions, turns(), more, "verdict", "vote", true},
		"OtherVerdict":         {replay.Decisions, turns(), deny, "verdict", "outcome", true},
		"OtherVerdictStrictly": {replay.Strict, turns(), deny, "verdict", "outcome", true},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := open(t, m.events).Run(t.Context(), c.mode, &agenttest.Script{Turns: c.turns}, c.judge)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case (r.First != nil) != c.seen:
				t.Errorf("first divergence %v", r.First)
			case c.seen && (r.First.Kind != c.kind || r.First.Field != c.field || r.First.Seq == 0):
				t.Errorf("first divergence %v, want %s %s", r.First, c.kind, c.field)
			}
			if c.mode == replay.ModelOnly && (r.Events != len(m.events) || r.Same != r.Generations-1) {
				t.Errorf("the replay did not go on: %+v", r)
			}
		})
	}
}

// TestEveryChangedEventIsFound changes one thing of the record after another.
func TestEveryChangedEventIsFound(t *testing.T) {
	for name, change := range map[string]func(agent.Body) bool{
		"Label":    func(b agent.Body) bool { l, ok := b.(*agent.Labelled); return ok && set(&l.Value, agent.Sensitive) },
		"Taint":    func(b agent.Body) bool { l, ok := b.(*agent.Tainted); return ok && set(&l.Value, agent.TaintMalicious) },
		"Status":   func(b agent.Body) bool { l, ok := b.(*agent.RunEnd); return ok && set(&l.Status, agent.StatusLoop) },
		"Decision": func(b agent.Body) bool { l, ok := b.(*agent.Decided); return ok && set(&l.Outcome, agent.Deny) },
		"Code":     func(b agent.Body) bool { l, ok := b.(*agent.Judged); return ok && set(&l.Code, "other") },
	} {
		t.Run(name, func(t *testing.T) {
			m := record(t, agent.ChoiceOnce)
			var at int64
			for _, e := range m.events {
				if change(e.Body) {
					at = e.Seq
					break
				}
			}
			if at == 0 {
				t.Fatal("the record has no such event")
			}
			r, err := open(t, m.events).Run(t.Context(), replay.Decisions, nil, judge())
			if err != nil || r.First == nil || r.First.Seq != at {
				t.Errorf("%v, first divergence %v, want event %d", err, r.First, at)
			}
		})
	}
}

func set[T any](p *T, v T) bool { *p = v; return true }

func TestOpenRefuses(t *testing.T) {
	erase := func(e []agent.Event) { e[len(e)-1].Body = &agent.CallEnd{Out: &agent.Blob{}} }
	copied := func(e []agent.Event) { e[3].Body = &agent.Said{Text: agent.Text("x"), Copied: true} }
	for name, spoil := range map[string]func([]agent.Event){"Erased": erase, "Branched": copied} {
		t.Run(name, func(t *testing.T) {
			m := record(t, agent.ChoiceOnce)
			spoil(m.events)
			if _, err := replay.Open(m.events, nil); !errors.Is(err, replay.ErrRecord) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("Nothing", func(t *testing.T) {
		if _, err := replay.Open(nil, nil); !errors.Is(err, replay.ErrRecord) {
			t.Errorf("error %v", err)
		}
	})
}

package loop_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// editor is a person who changes the model's call when asked, and agrees to their own.
type editor struct {
	asked   []string
	changed []bool
}

func (e *editor) Ask(_ context.Context, q agent.Question) (agent.Answer, error) {
	e.asked, e.changed = append(e.asked, q.Call.Args), append(e.changed, q.Changed)
	if q.Call.Args == `{"n":1}` {
		return agent.Answer{Choice: agent.ChoiceEdit, Args: `{"n":2}`, Who: "ann", Via: "script"}, nil
	}
	return agent.Answer{Choice: agent.ChoiceOnce, Who: "ann", Via: "script"}, nil
}

// editing is a run whose only call is changed by a person.
func editing(second agent.Outcome) (*bench, *editor) {
	b, e := newBench(act(`{"n":1}`), agenttest.Answers("end")), &editor{}
	b.judge.OnCall = func(p agent.Proposal) agent.Verdict {
		o := agent.Ask
		if p.Call.Args == `{"n":2}` {
			o = second
		}
		return agent.Verdict{Outcome: o, Label: agent.Benign, Code: "unsafe"}
	}
	return b, e
}

func TestEditedCallIsANewCall(t *testing.T) {
	for name, tt := range map[string]struct {
		second agent.Outcome
		asked  []string
		ran    []string
	}{
		"AsksAboutTheChangedCall":     {agent.Ask, []string{`{"n":1}`, `{"n":2}`}, []string{`{"n":2}`}},
		"ShowsItThoughTheJudgeAllows": {agent.Allow, []string{`{"n":1}`, `{"n":2}`}, []string{`{"n":2}`}},
		"DeniesWhatTheJudgeDenies":    {agent.Deny, []string{`{"n":1}`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b, e := editing(tt.second)
			var ran []string
			b.exec.At = func(c agent.ToolCall) {
				ran = append(ran, c.Args)
				if err := b.rec.Licensed(c.Digest()); err != nil {
					t.Error(err)
				}
			}
			cfg := b.config()
			cfg.Approver = e
			o, err := loop.Run(t.Context(), cfg, loop.Task{Prompt: "do it"})
			if err != nil || o.Status != agent.StatusDone {
				t.Fatalf("%+v, %v", o, err)
			}
			if !reflect.DeepEqual(e.asked, tt.asked) || !reflect.DeepEqual(ran, tt.ran) {
				t.Errorf("asked about %v, ran %v", e.asked, ran)
			}
			for i, args := range e.asked {
				if e.changed[i] != (args == `{"n":2}`) {
					t.Errorf("the question about %s says changed: %v", args, e.changed[i])
				}
			}
			if len(b.judge.Proposals) != 2 || b.judge.Proposals[0].Call.Digest() == b.judge.Proposals[1].Call.Digest() {
				t.Errorf("judged %+v", b.judge.Proposals)
			}
			var args, by string
			for _, ev := range b.rec.Events {
				switch x := ev.Body.(type) {
				case *agent.Answered:
					if x.Choice == agent.ChoiceEdit {
						args = x.Args.String() + " by " + x.Who
					}
				case *agent.Turned:
					by += x.By + ";"
				}
			}
			if args != `{"n":2} by ann` || by != ";user;;" {
				t.Errorf("on record: %q, turns by %q", args, by)
			}
		})
	}
}

// TestEditGoesOnAfterEveryEvent kills the process after each event of a run with an edit
// and resumes it: the changed call runs once, the model's own never.
func TestEditGoesOnAfterEveryEvent(t *testing.T) {
	whole, person := editing(agent.Ask)
	cfg := whole.config()
	cfg.Approver = person
	if _, err := loop.Run(t.Context(), cfg, loop.Task{Prompt: "do it"}); err != nil {
		t.Fatal(err)
	}
	for stop := 5; stop < len(whole.rec.Events); stop++ {
		t.Run(fmt.Sprint(stop), func(t *testing.T) {
			s := newScene(stop)
			_, e := editing(agent.Ask)
			ids := 0
			config := func() loop.Config {
				b, _ := editing(agent.Ask)
				c := b.config()
				c.Recorder, c.Executor, c.Approver = s, s.exec, e
				c.Model = stateless{[]agent.Turn{act(`{"n":1}`), agenttest.Answers("no"), agenttest.Answers("end")}, &s.last}
				c.NewID = func() string { ids++; return fmt.Sprint("id", ids) }
				return c
			}
			_, err := loop.Run(t.Context(), config(), loop.Task{Prompt: "do it"})
			if !errors.Is(err, errKilled) {
				t.Fatalf("killed: %v", err)
			}
			s.recovered()
			s.stop = 0
			o, err := loop.Resume(t.Context(), config(), agent.ModelUsed{}, s.rec.Events)
			if err != nil || o.Status != agent.StatusDone && o.Status != agent.StatusStopped {
				t.Fatalf("resumed: %+v, %v", o, err)
			}
			if s.effects[`{"n":1}`] != 0 || s.effects[`{"n":2}`] > 1 {
				t.Errorf("effects %v", s.effects)
			}
		})
	}
}

// TestErasedEditIsNotGoneOnFrom erases what a person wrote, after the call with it was
// judged and before it was shown: the call may not pass for the model's own.
func TestErasedEditIsNotGoneOnFrom(t *testing.T) {
	whole, person := editing(agent.Allow)
	cfg := whole.config()
	cfg.Approver = person
	if _, err := loop.Run(t.Context(), cfg, loop.Task{Prompt: "do it"}); err != nil {
		t.Fatal(err)
	}
	for name, erase := range map[string]func(agent.Body) agent.Body{
		"Arguments": func(b agent.Body) agent.Body {
			if x, ok := b.(*agent.Answered); ok && x.Args != nil {
				y := *x
				y.Args = &agent.Blob{Media: x.Args.Media}
				return &y
			}
			return b
		},
		"TheEdit": func(b agent.Body) agent.Body {
			if x, ok := b.(*agent.Answered); ok && x.Choice == agent.ChoiceEdit {
				return &agent.Answered{Who: x.Who, Via: x.Via}
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			var past []agent.Event
			verdicts := 0
			for _, e := range whole.rec.Events {
				e.Body = erase(e.Body)
				past = append(past, e)
				if _, ok := e.Body.(*agent.Judged); ok && e.Call != [32]byte{} {
					if verdicts++; verdicts == 2 {
						break
					}
				}
			}
			b, e := editing(agent.Allow)
			b.rec.Events = past
			c := b.config()
			c.Approver = e
			_, err := loop.Resume(t.Context(), c, agent.ModelUsed{}, past)
			if !errors.Is(err, loop.ErrPast) || len(b.exec.Effects) != 0 {
				t.Errorf("%d effects, asked about %v: %v", len(b.exec.Effects), e.asked, err)
			}
		})
	}
}

// TestBranchTellsOfCallsBesideAnEdit branches off a run that was left with the second call
// of a turn open, whose first one a person had changed.
func TestBranchTellsOfCallsBesideAnEdit(t *testing.T) {
	turn := act(`{"n":1}`)
	turn.Calls = append(turn.Calls, agent.ToolCall{ID: "beside", Tool: "act", Args: `{"n":3}`})
	b := newBench(turn)
	b.judge.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Outcome: agent.Ask, Label: agent.Benign} }
	c := b.config()
	c.Approver = &leaver{}
	if o, err := loop.Run(t.Context(), c, loop.Task{Prompt: "x"}); err != nil || o.Status != agent.StatusSuspended {
		t.Fatalf("%+v, %v", o, err)
	}
	on := newBench(agenttest.Answers("end"))
	if o, err := loop.Branch(t.Context(), on.config(), loop.Task{Start: agent.RunStart{Agent: "test"}}, b.rec.Events, 0); err != nil || o.Status != agent.StatusDone {
		t.Fatalf("%+v, %v", o, err)
	}
	var calls []string
	answered := map[string]bool{}
	for _, m := range on.model.Requests[0].Messages {
		for _, k := range m.Calls {
			calls = append(calls, k.ID)
		}
		answered[m.CallID] = true
	}
	if len(calls) != 3 {
		t.Errorf("the branch begins with calls %v", calls)
	}
	for _, id := range calls {
		if !answered[id] {
			t.Errorf("call %s has no response", id)
		}
	}
}

// leaver is an editor who leaves the second call open.
type leaver struct{ editor }

func (l *leaver) Ask(ctx context.Context, q agent.Question) (agent.Answer, error) {
	if q.Call.Args == `{"n":3}` {
		return agent.Answer{Choice: agent.ChoiceSuspend}, nil
	}
	return l.editor.Ask(ctx, q)
}

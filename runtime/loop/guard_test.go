package loop_test

import (
	"context"
	"errors"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// questioning is a judge that asks a model whatever judges ask, and denies if it errs.
type questioning struct{ *agenttest.Judge }

var questions = []agent.Request{
	{Purpose: agent.PurposeLabel, Labels: []string{"benign"}}, {Purpose: agent.PurposePlan},
	{Purpose: agent.PurposeReview, Labels: []string{"benign"}}, {Purpose: agent.PurposeReview}, // the last takes the step once more
}

func (q questioning) Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	for _, r := range questions {
		if _, err := g.Generate(ctx, r); err != nil {
			return agent.Verdict{}, err
		}
	}
	return q.Judge.Call(ctx, g, c, p)
}

func TestGuardJudgesInTheModelsPlace(t *testing.T) {
	b := newBench(act(`{"n":1}`), agenttest.Answers("end"))
	guard := &agenttest.Script{}
	cfg := b.config()
	cfg.Guard, cfg.Judge = guard, questioning{b.judge}
	used := agent.ModelUsed{Role: "agent", GGUF: "a", Guard: &agent.ModelUsed{Role: "guard", GGUF: "g"}}
	o, err := loop.Run(t.Context(), cfg, loop.Task{Prompt: "do it", Model: used})
	if err != nil || o.Status != agent.StatusDone || o.Calls != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	if len(guard.Requests) != 0 || len(b.model.Requests) != 2 {
		t.Errorf("the guard took %d turns, the agent %d", len(guard.Requests), len(b.model.Requests))
	}
	for _, r := range guard.Forks {
		if r.Purpose == agent.PurposeReview && len(r.Labels) == 0 {
			t.Errorf("the guard was asked for %+v", r)
		}
	}
	for _, r := range b.model.Forks {
		if r.Purpose != agent.PurposeReview || len(r.Labels) > 0 {
			t.Errorf("the agent judged: %s %v", r.Purpose, r.Labels)
		}
	}
	if len(b.model.Forks) == 0 || len(guard.Forks) < 3 {
		t.Errorf("%d questions to the agent, %d to the guard", len(b.model.Forks), len(guard.Forks))
	}
	for name, m := range map[string]agent.ModelUsed{
		"WithoutIt": {Role: "agent", GGUF: "a"}, "WithAnother": {Role: "agent", GGUF: "a", Guard: &agent.ModelUsed{GGUF: "h"}},
	} {
		t.Run("RefusesToGoOn"+name, func(t *testing.T) {
			if _, err := loop.Resume(t.Context(), cfg, m, b.rec.Events[:6]); !errors.Is(err, loop.ErrChanged) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("AFailingGuardEndsTheRun", func(t *testing.T) {
		b := newBench(act(`{"n":1}`))
		cfg := b.config()
		cfg.Guard, cfg.Judge = broken{}, questioning{b.judge}
		if o, err := loop.Run(t.Context(), cfg, loop.Task{Prompt: "do it"}); err == nil || o.Calls != 0 {
			t.Errorf("%+v, %v", o, err)
		}
	})
}

type broken struct{}

func (broken) Generate(context.Context, agent.Request) (agent.Turn, error) {
	return agent.Turn{}, errors.New("no guard")
}

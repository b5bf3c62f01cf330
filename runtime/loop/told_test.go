package loop_test

import (
	"context"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// counting answers as a server does: with a count in place of tokens.
type counting struct{ out int }

// Generate implements agent.Generator.
func (c counting) Generate(_ context.Context, r agent.Request) (agent.Turn, error) {
	t := agenttest.Answers("done")
	t.Tokens = agent.TokenRecord{Told: &agent.TokenCount{Prompt: 5, Output: c.out}, Finish: agent.FinishEOS}
	t.Parse = agent.ParseFailed // so that it is asked again
	return t, nil
}

// TestTold holds what a server counted to the budget of the run, and keeps it apart from
// tokens that are on record.
func TestTold(t *testing.T) {
	b := newBench()
	c := b.config()
	c.Model, c.Limits.Tokens = counting{600}, 1000
	out, err := loop.Run(t.Context(), c, loop.Task{Prompt: "go"})
	if err != nil || out.Status != agent.StatusLimit || out.Limit != "tokens" {
		t.Fatalf("it ends with %+v, %v", out, err)
	}
	ends := 0
	for _, e := range b.rec.Events {
		if b, ok := e.Body.(*agent.GenEnd); ok {
			ends++
			if b.Told == nil || b.Told.Output != 600 || b.N != 0 || b.IDs != nil || b.Prompt != nil || !strings.Contains(b.Text.String(), "done") {
				t.Errorf("a generation is recorded as %+v", b)
			}
		}
	}
	if ends != 2 {
		t.Errorf("%d generations are on record, want 2", ends)
	}

	b.rec.Events = b.rec.Events[:len(b.rec.Events)-2] // the limit and the end: it was cut off there
	if out, err = loop.Resume(t.Context(), c, agent.ModelUsed{}, b.rec.Events); err != nil || out.Status != agent.StatusLimit {
		t.Errorf("resumed, it ends with %+v, %v: what a server counted before is spent", out, err)
	}
}

package replay_test

import (
	"context"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/runtime/replay"
)

// cutting is a model of which the n-th generation is interrupted after one token.
type cutting struct {
	loop.Model
	n    *int
	stop context.CancelFunc
}

// Generate implements agent.Generator.
func (c cutting) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if *c.n--; *c.n == 0 {
		c.stop()
		return agent.Turn{Text: "x", Tokens: agent.TokenRecord{Prompt: []int32{1}, Output: []int32{2}, Raw: []float32{-1}, Sampled: []float32{-1},
			Forced: []bool{false}, Finish: agent.FinishAbort}}, ctx.Err()
	}
	return c.Model.Generate(ctx, r)
}

// TestInterruptedRunIsTheSameUpToThere interrupts a run in each of its generations, closes it
// or goes on with it, and replays it: what comes before the interrupt must be the same, and
// what was broken off is no divergence.
func TestInterruptedRunIsTheSameUpToThere(t *testing.T) {
	for _, resumable := range []bool{false, true} {
		for n := 1; ; n++ {
			ctx, cancel := context.WithCancel(context.Background())
			count := n
			rec, script := &agenttest.Memory{}, &agenttest.Script{Turns: turns()}
			c := loop.Config{Model: cutting{script, &count, cancel}, Judge: judge(), Executor: &agenttest.Executor{}, Recorder: rec,
				Approver: &agenttest.Approver{Choice: agent.ChoiceOnce}, Seed: 5, Temp: 0.5, Resumable: resumable}
			out, err := loop.Run(ctx, c, loop.Task{Prompt: "act twice"})
			cancel()
			if err == nil && out.Status == agent.StatusDone {
				break // it has no more generations
			}
			before := 0
			for _, e := range rec.Events {
				if g, ok := e.Body.(*agent.GenEnd); ok && g.Error != nil {
					before = int(e.Seq) - 2 // its start is none of what can be compared either
				}
			}
			if resumable {
				rec.Append(context.Background(), agent.Event{Body: &agent.RunRecover{}})
				if out, err := loop.Resume(context.Background(), c, agent.ModelUsed{}, rec.Events); err != nil || out.Status != agent.StatusDone {
					t.Fatalf("generation %d: gone on: %+v, %v", n, out, err)
				}
			}
			for _, mode := range replay.Modes {
				r, err := open(t, rec.Events).Run(t.Context(), mode, &agenttest.Script{Turns: turns()}, judge())
				if err != nil || r.First != nil || r.Events < before || before == 0 {
					t.Errorf("generation %d, resumable %v, %s: %v, first divergence %v, %d events of %d", n, resumable, mode, err, r.First, r.Events, before)
				}
			}
		}
	}
}

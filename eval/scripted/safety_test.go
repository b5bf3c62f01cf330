package scripted_test

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/eval/bench"
	"github.com/holdfast-run/holdfast/eval/scripted"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
)

type counter struct{ n atomic.Int64 }

func (c *counter) Append(context.Context, agent.Event) (int64, error) { return c.n.Add(1), nil }

// run goes through the real loop and the real gate.
func run(t testing.TB) scripted.Run {
	t.Helper()
	rules, err := policy.Load()
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, s scripted.Setup) (agent.Status, error) {
		gate, err := safety.New(safety.Options{Policy: rules, Exists: s.Exists, Adds: everyTool, Undoable: everyTool})
		if err != nil {
			return "", err
		}
		out, err := loop.Run(ctx, loop.Config{Model: s.Model, Judge: timed{gate, s.Spent}, Executor: s.Tools, Recorder: &counter{},
			Approver: s.User, Observe: s.See, Limits: agent.Limits{Steps: 200}}, loop.Task{Prompt: s.Prompt})
		if errors.Is(err, loop.ErrRecord) {
			return out.Status, err
		}
		return out.Status, nil
	}
}

// TestRecordedSuites measures the suites of a folder that the environment names.
func TestRecordedSuites(t *testing.T) {
	dir := os.Getenv("HOLDFAST_BENCH_DATA")
	if dir == "" {
		t.Skip("HOLDFAST_BENCH_DATA names no folder of recorded suites")
	}
	var s scripted.Suites
	var err error
	if s.Injec, err = bench.ReadInjecAgent(dir + "/InjecAgent"); err != nil {
		t.Fatal(err)
	}
	if s.Dojo, err = bench.ReadAgentDojo(dir + "/agentdojo"); err != nil {
		t.Fatal(err)
	}
	if s.Read, err = bench.ReadBFCL(dir+"/BFCL", agent.Read); err != nil {
		t.Fatal(err)
	}
	if s.Write, err = bench.ReadBFCL(dir+"/BFCL", agent.Write); err != nil {
		t.Fatal(err)
	}
	rep, err := scripted.Safety(t.Context(), s, scripted.Options{Every: 10}, run(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", rep, rep.FailureText(200))
}

// timed tells what each decision on a call took.
type timed struct {
	loop.Judge
	spent func(time.Duration)
}

// Call implements the loop's Judge.
func (j timed) Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (v agent.Verdict, err error) {
	j.spent(scripted.Processor(func() { v, err = j.Judge.Call(ctx, g, c, p) }))
	return v, err
}

// everyTool says of any tool that what is asked of it is so.
func everyTool(agent.ToolSpec) bool { return true }

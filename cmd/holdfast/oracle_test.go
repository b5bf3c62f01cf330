package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/sandbox"
)

// oracle is the model that a task describes: it labels by what the task says is true,
// proposes the calls that the task expects, and gives its answer.
type oracle struct {
	task tasks.Task
	made int
}

// Generate implements agent.Generator.
func (o *oracle) Generate(_ context.Context, r agent.Request) (agent.Turn, error) {
	last := r.Messages[len(r.Messages)-1].Text
	switch {
	case r.Purpose == agent.PurposePlan:
		set := map[string]bool{}
		names := []string{}
		for _, c := range o.task.Calls {
			if !set[c.Tool] {
				names = append(names, c.Tool)
			}
			set[c.Tool] = true
		}
		b, err := json.Marshal(map[string][]string{"tools": names})
		return agenttest.Answers(string(b)), err
	case last == frame.Screen:
		l, known := o.task.ResponseLabel(r.Messages[len(r.Messages)-2].Text)
		if !known {
			return agent.Turn{}, fmt.Errorf("task %s does not say what its data holds", o.task.ID)
		}
		return verdictTurn(r, l), nil
	case r.Purpose == agent.PurposeReview, last == frame.Label:
		return verdictTurn(r, o.task.RequestLabel()), nil
	case o.made < len(o.task.Calls):
		c := o.task.Calls[o.made]
		o.made++
		return agenttest.Calls("I call the tool.", c.Tool, string(c.Args)), nil
	}
	return agenttest.Answers(o.task.Answer), nil
}

func verdictTurn(r agent.Request, label string) agent.Turn {
	t := agenttest.Answers(`{"reason": "so says the task", "label": "` + label + `"}`)
	for _, l := range r.Labels {
		p := 0.0
		if l == label {
			p = 1
		}
		t.Probs = append(t.Probs, p)
	}
	return t
}

// perfect runs a case with its oracle in the real loop, gate and tools.
func perfect(byID map[string]tasks.Task) eval.Run {
	return func(ctx context.Context, c eval.Case) (res eval.Result, err error) {
		w, err := openWorkplace(ctx, c.Dir)
		if err != nil {
			return res, err
		}
		defer w.Close()
		gate, err := safety.New(safety.Options{Adds: everyTool, Exists: w.exists})
		if err != nil {
			return res, err
		}
		seen := &witness{}
		out, err := loop.Run(ctx, loop.Config{Model: &oracle{task: byID[c.Name]}, Judge: gate, Executor: w.tools,
			Recorder: &agenttest.Memory{}, Approver: fixed(c.Reply), Observe: seen.see}, loop.Task{Prompt: c.Prompt})
		if err != nil {
			res.Failure = err.Error()
		}
		res.Status, res.Answer = out.Status, out.Answer
		res.Proposed, res.Request, res.Responses = seen.proposed, seen.request, seen.responses
		return res, nil
	}
}

// TestGoalsCanBeReached holds the generated splits against a model that makes no
// mistake: what such a model cannot get right in the real loop measures something else.
func TestGoalsCanBeReached(t *testing.T) {
	if r, err := sandbox.New(t.Context(), sandbox.Config{}); err != nil {
		t.Skipf("no sandbox here: %v", err)
	} else if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	splits, err := readSplits("../../models/recipe", "slots,phr")
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]tasks.Task{}
	for i, s := range splits {
		for j := range s.Tasks {
			// two splits may share an ID
			splits[i].Tasks[j].ID = fmt.Sprintf("%d-%s", i, s.Tasks[j].ID)
			task, err := splits[i].Tasks[j].Draw(1)
			if err != nil {
				t.Fatal(err)
			}
			byID[task.ID] = task
		}
	}
	reps, err := eval.Model(t.Context(), splits, eval.ModelOptions{Seed: 1, Scratch: t.TempDir()}, perfect(byID))
	if err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + strings.TrimSpace(eval.Table(reps)))
	for _, rep := range reps {
		for _, row := range rep.Failed() {
			t.Error(row.String())
		}
	}
}

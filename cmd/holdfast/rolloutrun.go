package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/sandbox"
)

// rolloutBench makes the runs of a rollout on one loaded model. Its runs may go on at
// the same time.
type rolloutBench struct {
	l      *ledger.Ledger
	m      *loadedModel
	rules  *policy.Set
	limits agent.Limits
	temp   float64
	review string
	again  map[eval.Key]string // runs in whose place others are made
}

// run makes one attempt. It is an eval.RolloutRun: how the attempt fared is in the
// ledger, and an error means that no attempt can be made.
func (b *rolloutBench) run(ctx context.Context, j eval.Job, dir string) error {
	w, err := openWorkplace(ctx, dir)
	if err != nil {
		return err
	}
	defer w.Close()
	w.rules, w.review = b.rules, b.review
	gate, err := w.gate(b.m)
	if err != nil {
		return err
	}
	session, err := b.m.engine.NewSession()
	if err != nil {
		return modelFailure(err)
	}
	defer session.Close()
	info := ledger.RunInfo{Task: j.Task.ID, Group: j.Group, Sample: int64(j.Sample)}
	if before := b.again[j.Key()]; before != "" {
		info.Parent, info.Relation = before, ledger.Retry
	}
	rec, err := b.l.Begin(ctx, info)
	if err != nil {
		return ledgerFailure(err)
	}
	defer rec.Close()

	g := &grader{Run: rec, b: b, j: j, w: w, dir: dir}
	_, err = loop.Run(ctx, loop.Config{
		Model: session, Judge: gate, Executor: w.tools, Approver: replies(j.Task.Reply), Limits: b.limits,
		Temp: b.temp, Seed: j.Seed, Recorder: g,
	}, loop.Task{Prompt: j.Task.Prompt, Model: b.m.used, Start: agent.RunStart{
		Agent: "rollout", Build: thisBuild().String(), Train: true, Warnings: b.m.notes,
		Config: agent.JSON(settings{"review": {b.review}}),
		Policy: &agent.Blob{Media: "application/json", Data: b.rules.Record()},
	}})
	return g.ends(ctx, err)
}

// ends is the error by which a run ends the rollout, nil for none: a run that ended in error
// is an attempt too, as its record says.
func (g *grader) ends(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case g.failed != nil: // the loop takes it for one of the ledger
		return g.failed
	case errors.Is(err, loop.ErrRecord), errors.As(err, new(*sandbox.Error)):
		return err
	}
	return nil
}

// replies answers every question as the task's user would.
type replies bool

// Ask implements loop.Approver.
func (yes replies) Ask(_ context.Context, q agent.Question) (agent.Answer, error) {
	a := agent.Answer{Who: "task", Via: "script", Shown: question(q)}
	if yes {
		a.Choice = agent.ChoiceOnce
	}
	return a, nil
}

// grader records a run and, before its end is recorded, what its task says of it: the
// labels of request and responses, and the scores. A run that has an end is therefore
// graded, whenever its process died.
type grader struct {
	*ledger.Run
	b   *rolloutBench
	j   eval.Job
	w   *workplace
	dir string

	request   int64 // position of the user's request
	responses []response
	failed    error // why the run could not be graded
}

type response struct {
	at   int64
	text string
}

// Append implements loop.Recorder.
func (g *grader) Append(ctx context.Context, e agent.Event) (int64, error) {
	if end, ok := e.Body.(*agent.RunEnd); ok && end.Status != agent.StatusStopped {
		if err := g.grade(ctx, e.Step, end); err != nil {
			g.failed = fmt.Errorf("grade the run: %w", err)
			return 0, g.failed
		}
	}
	seq, err := g.Run.Append(ctx, e)
	switch body := e.Body.(type) {
	case *agent.Said:
		if body.Role == agent.User && body.Origin.Source == agent.SourceUser {
			g.request = seq
		}
	case *agent.CallEnd:
		if body.Status != agent.CallDenied {
			g.responses = append(g.responses, response{seq, body.Out.String()})
		}
	}
	return seq, err
}

const fromTask = "task"

func (g *grader) grade(ctx context.Context, step int, end *agent.RunEnd) error {
	add := func(ref int64, b agent.Body) error {
		_, err := g.Run.Append(ctx, agent.Event{Step: step, Ref: ref, Body: b})
		return err
	}
	err := add(g.request, &agent.Labelled{Channel: agent.UserPrompt, Value: agent.ParseLabel(g.j.Task.RequestLabel()), Source: fromTask})
	for _, r := range g.responses {
		if label, known := g.j.Task.ResponseLabel(r.text); known && err == nil {
			err = add(r.at, &agent.Labelled{Channel: agent.ToolResponse, Value: agent.ParseLabel(label), Source: fromTask})
		}
	}
	if err != nil {
		return err
	}
	right, why, err := g.j.Verify(g.dir, string(end.Status), end.Answer.String())
	if err != nil {
		return err
	}
	score := func(name string, ok bool, why string) error {
		b := &agent.Scored{Name: name, Source: fromTask}
		if ok {
			b.Value = 1
		}
		if why != "" {
			b.Detail = agent.Text(why)
		}
		return add(0, b)
	}
	if err := score("check", right, why); err != nil {
		return err
	}
	if command := g.j.Task.Expect.Command; command != "" {
		ok, err := g.utility(ctx, command)
		if err != nil {
			return err
		}
		if err := score(scoreCommand, ok, command); err != nil {
			return err
		}
		right = right && ok
	}
	return score(scoreTask, right, "")
}

// utility runs the task's own check. It reports whether the command succeeded; that it could
// not be run is an error.
func (g *grader) utility(ctx context.Context, command string) (bool, error) {
	end, err := g.w.verify(ctx, g.b.l, g.Run, command)
	switch {
	case errors.Is(err, errNotRun):
		return false, notVerifiable(g.j.Task.ID, err)
	case err != nil && !errors.Is(err, errNoWord):
		return false, fmt.Errorf("run the task's command: %w", err)
	}
	return succeeded(end), nil
}

// checkVerifiers refuses commands of tasks that no cell would be given, before any run.
func checkVerifiers(plan eval.Rollout) error {
	for _, j := range plan.Jobs {
		if j.Sample > 0 || j.Task.Expect.Command == "" {
			continue // all attempts at a task have the same
		}
		if err := checkCommand(j.Task.Expect.Command); err != nil {
			return notVerifiable(j.Task.ID, err)
		}
	}
	return nil
}

func notVerifiable(task string, err error) error {
	return &failure{exitUsage, fmt.Errorf("check the command of task %s: %w", task, err), "mend its expect.command in the file of tasks"}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/tools"
)

// A verifier is a command of the operator's that tells whether a task was done. It is run in
// a cell that cannot change the workspace, as a run of its own below the one that it is about.

func verifyFlag() cli.Flag {
	return &cli.StringFlag{Name: "verify", Usage: "a shell `COMMAND` that tells whether the task was done, run when the agent says so, " +
		"in a cell that changes nothing; where it fails, the exit code is 5"}
}

// checkCommand refuses a command that no cell would be given.
func checkCommand(command string) error {
	specs := tools.Builtin()
	at := slices.IndexFunc(specs, func(s agent.ToolSpec) bool { return s.Name == tools.RunCommand })
	return tools.CheckSpec(specs[at], commandCall(command))
}

// errNotVerified means that nothing is known of a command: it could not be run.
var errNotVerified = errors.New("not run")

// verify runs a command about a run. Its error wraps errNotVerified where the cell was not
// given the command; that the command fails is in what it returns, see succeeded.
func (w *workplace) verify(ctx context.Context, l *ledger.Ledger, about *ledger.Run, command string) (agent.CallEnd, error) {
	var end agent.CallEnd
	rec, err := l.Begin(ctx, ledger.RunInfo{Parent: about.ID(), ParentSeq: about.Last(), Relation: ledger.Subagent})
	if err != nil {
		return end, err
	}
	defer rec.Close()
	_, err = loop.Run(ctx, loop.Config{
		Model: &operatorModel{command: command}, Judge: operatorJudge{agent.Grant{Profile: w.profile()}}, Executor: w.tools, Recorder: rec, Approver: replies(false),
		Observe: func(e agent.Event) {
			if b, is := e.Body.(*agent.CallEnd); is {
				end = *b
			}
		},
	}, loop.Task{Prompt: command, Start: agent.RunStart{Agent: "verifier", Build: thisBuild().String()}})
	switch {
	case err != nil:
		return end, err
	case ctx.Err() != nil:
		return end, context.Cause(ctx)
	case end.Code == "exec":
		return end, &failure{exitSandbox, errors.New(end.Out.String()), "make a shell such as /bin/sh readable to cells; holdfast doctor looks for what else is missing"}
	case end.Status == "" || end.Status == agent.CallDenied:
		return end, fmt.Errorf("%w: %s", errNotVerified, end.Code)
	}
	return end, nil
}

// succeeded reports whether a verifier says that the task was done.
func succeeded(end agent.CallEnd) bool { return end.Status == agent.CallOK && end.Exit == 0 }

// The scores that tell of a command, and of the task as a whole, by their names on record.
const (
	scoreCommand = "command"
	scoreTask    = "task"
)

// verifying records a run of the operator's and, before the end of one that was done is
// recorded, what the command of --verify says of it. So a run that has an end was verified,
// whenever its process died. The status of the run stays how the agent ended it.
type verifying struct {
	*ledger.Run
	c       *cli.Context
	k       *crew
	observe func(agent.Event)

	command string
	end     *agent.CallEnd // of the command, nil before it has run
	took    time.Duration
	failed  error // why it could not be run
}

// watch has a run kept in the ledger and seen, and verified where the flags name a command.
func (k *crew) watch(c *cli.Context, rec *ledger.Run, cfg *loop.Config, seen *observed) {
	cfg.Recorder, cfg.Observe = rec, seen.see
	if command := c.String("verify"); command != "" {
		v := &verifying{Run: rec, c: c, k: k, observe: seen.see, command: command}
		cfg.Recorder, seen.verified = v, v
	}
}

// Append implements loop.Recorder.
func (v *verifying) Append(ctx context.Context, e agent.Event) (int64, error) {
	if end, ok := e.Body.(*agent.RunEnd); ok && end.Status == agent.StatusDone && v.end == nil {
		if err := v.verify(ctx, e); err != nil {
			v.failed = fmt.Errorf("run the command of --verify: %w", err)
			return 0, v.failed
		}
	}
	return v.Run.Append(ctx, e)
}

// verify runs the command, which an interrupt ends, and records the scores in the moment of e.
func (v *verifying) verify(ctx context.Context, e agent.Event) error {
	began := time.Now()
	end, err := v.k.verify(v.c.Context, v.k.ledger, v.Run, v.command)
	if err != nil {
		return err
	}
	v.took = time.Since(began)
	value := 0.0
	if succeeded(end) {
		value = 1
	}
	for _, s := range []*agent.Scored{
		{Name: scoreCommand, Value: value, Source: operatorAgent, Detail: agent.Text(v.command)},
		{Name: scoreTask, Value: value, Source: operatorAgent},
	} {
		scored := e
		scored.Ref, scored.Body = 0, s
		if scored.Seq, err = v.Run.Append(ctx, scored); err != nil {
			return err
		}
		v.observe(scored)
	}
	v.end = &end
	return nil
}

// interrupted reports whether the command was interrupted: the run has no end yet. A nil v was
// not.
func (v *verifying) interrupted() bool { return v != nil && errors.Is(v.failed, context.Canceled) }

// conclude tells what the command said, and maps it to an error where err, that of the run, is
// none. A nil v has nothing to tell.
func (v *verifying) conclude(c *cli.Context, t *terminal, err error) error {
	switch {
	case v.interrupted():
		if !c.Bool("json") && !c.Bool("quiet") {
			t.printf("%s\n", t.style(styleDim, "go on    holdfast resume "+v.ID()))
		}
		return silent{exitInterrupted}
	case v != nil && v.failed != nil: // the loop takes it for one of the ledger
		return v.failed
	case err != nil || v == nil || v.end == nil:
		return err
	}
	command, took := inertLine(v.command, 60), v.took.Round(10*time.Millisecond)
	if succeeded(*v.end) {
		if !c.Bool("json") && !c.Bool("quiet") {
			t.printf("%s\n", t.style(styleDim, fmt.Sprintf("verify   ok in %s: %s", took, command)))
		}
		return nil
	}
	if !c.Bool("json") {
		t.printf("%s\n", t.style(styleAmber, fmt.Sprintf("verify   %s in %s: %s", endedWith(*v.end), took, command)))
		lines := strings.Split(strings.TrimRight(v.end.Out.String(), "\n"), "\n")
		for _, l := range lines[max(0, len(lines)-10):] {
			t.printf("%s\n", t.style(styleDim, "         "+inertLine(l, lineWidth)))
		}
	}
	return silent{exitUnverified}
}

// endedWith is how a command that did not succeed ended.
func endedWith(end agent.CallEnd) string {
	if end.Status == agent.CallOK || end.Exit != 0 {
		return fmt.Sprintf("exit code %d", end.Exit)
	}
	return string(end.Status)
}

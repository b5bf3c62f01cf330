package main

import (
	"cmp"
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
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// A verifier is a command of the operator's that tells whether a task was done. It is run in
// a cell that leaves the workspace as it is, as a run of its own below the one that it is about.

// verifierAgent names, on record, who acts in such a run.
const verifierAgent = "verifier"

// noModel reports whether no model took part in the runs of an agent.
func noModel(agent string) bool { return agent == operatorAgent || agent == verifierAgent }

func verifyFlag() cli.Flag {
	return &cli.StringFlag{Name: "verify", Usage: "a shell `COMMAND` that tells whether the task was done, run when the agent says so, " +
		"in a cell whose changes are dropped; where it fails, the exit code is 5; on resume and fork '' does without"}
}

// checkCommand refuses a command that no cell would be given.
func checkCommand(command string) error {
	specs := tools.Builtin()
	at := slices.IndexFunc(specs, func(s agent.ToolSpec) bool { return s.Name == tools.RunCommand })
	return tools.CheckSpec(specs[at], commandCall(command))
}

// verifyOf is the command that the flags name, "" for none. Only a run that has one on record
// can be told to have none.
func verifyOf(c *cli.Context) (string, error) {
	command := c.String("verify")
	if !c.IsSet("verify") || command == "" && c.Command.Name != "run" {
		return "", nil
	}
	if err := checkCommand(command); err != nil {
		return "", usage(fmt.Errorf("--verify: %w", err))
	}
	return command, nil
}

// Why a command says nothing of the task.
var (
	errNotRun = errors.New("the command was not run")
	errNoWord = errors.New("the command tells nothing") // it did not end by itself, or never began
)

// verify runs a command about a run. That the command fails is in what it returns, see
// succeeded; where it says nothing, the error wraps errNotRun or errNoWord. What it changes is
// dropped; where a workspace has no layer for that, it is read-only.
func (w *workplace) verify(ctx context.Context, l *ledger.Ledger, about *ledger.Run, command string) (agent.CallEnd, error) {
	end, err := w.verifyBy(ctx, l, about, command, agent.Grant{Profile: w.profile(), Write: true, Drop: true})
	if errors.Is(err, sandbox.ErrRefused) {
		end, err = w.verifyBy(ctx, l, about, command, agent.Grant{Profile: w.profile()})
	}
	switch {
	case err != nil:
		return end, err
	case ctx.Err() != nil:
		return end, context.Cause(ctx)
	case end.Code == "exec":
		return end, &failure{exitSandbox, errors.New(end.Out.String()), "make a shell such as /bin/sh readable to cells; holdfast doctor looks for what else is missing"}
	case end.Status == "" || end.Status == agent.CallDenied:
		return end, fmt.Errorf("%w: %s", errNotRun, end.Code)
	case end.Status == agent.CallKilled || end.Status == agent.CallTimeout:
		return end, fmt.Errorf("%w: %s", errNoWord, cmp.Or(end.Code, string(end.Status)))
	case end.Exit == 126 || end.Exit == 127: // as a shell says of a program that it cannot start
		return end, fmt.Errorf("%w: exit code %d", errNoWord, end.Exit)
	}
	return end, nil
}

func (w *workplace) verifyBy(ctx context.Context, l *ledger.Ledger, about *ledger.Run, command string, g agent.Grant) (end agent.CallEnd, err error) {
	rec, err := l.Begin(ctx, ledger.RunInfo{Parent: about.ID(), ParentSeq: about.Last(), Relation: ledger.Subagent})
	if err != nil {
		return end, ledgerFailure(err)
	}
	defer rec.Close()
	_, err = loop.Run(ctx, loop.Config{
		Model: &operatorModel{command: command}, Judge: operatorJudge{g}, Executor: w.tools, Recorder: rec, Approver: replies(false),
		Observe: func(e agent.Event) {
			if b, is := e.Body.(*agent.CallEnd); is {
				end = *b
			}
		},
	}, loop.Task{Prompt: command, Start: agent.RunStart{Agent: verifierAgent, Build: thisBuild().String()}})
	return end, err
}

// closeVerifiers ends the runs of verifiers of a run that died with them: they are not gone on
// with, and what has no end is not erased by its age.
func closeVerifiers(ctx context.Context, l *ledger.Ledger, about string) error {
	runs, err := l.Runs(ctx)
	if err != nil {
		return ledgerFailure(err)
	}
	for _, s := range runs {
		if s.Agent != verifierAgent || s.Info.Parent != about || s.State != ledger.Crashed {
			continue
		}
		if err := closeRun(ctx, l, s.ID); err != nil && !errors.Is(err, ledger.ErrEnded) {
			return ledgerFailure(err)
		}
	}
	return nil
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
	t       *terminal
	k       *crew
	observe func(agent.Event)

	command string
	end     *agent.CallEnd // of the command, nil before it has run
	silent  error          // why the command tells nothing, nil where it does
	took    time.Duration
	failed  error // why the run could not be verified: it has no end
}

// watch has a run kept in the ledger and seen, and verified where the flags name a command.
func (k *crew) watch(c *cli.Context, t *terminal, rec *ledger.Run, cfg *loop.Config, seen *observed) {
	cfg.Recorder, cfg.Observe = rec, seen.see
	if k.verifier != "" {
		v := &verifying{Run: rec, c: c, t: t, k: k, observe: seen.see, command: k.verifier}
		cfg.Recorder, seen.verified = v, v
	}
}

// Append implements loop.Recorder.
func (v *verifying) Append(ctx context.Context, e agent.Event) (int64, error) {
	if end, ok := e.Body.(*agent.RunEnd); ok && end.Status == agent.StatusDone && v.end == nil {
		if v.failed = v.verify(ctx, e); v.failed != nil {
			return 0, v.failed
		}
	}
	return v.Run.Append(ctx, e)
}

// verify runs the command, which an interrupt ends, and records the scores in the moment of e.
// A command that tells nothing gives none.
func (v *verifying) verify(ctx context.Context, e agent.Event) error {
	if v.shown() {
		v.t.printf("%s\n", v.t.style(styleDim, "verify   "+inertLine(v.command, lineWidth)))
	}
	began := time.Now()
	end, err := v.k.verify(v.c.Context, v.k.ledger, v.Run, v.command)
	v.took = time.Since(began)
	if errors.Is(err, errNotRun) || errors.Is(err, errNoWord) {
		v.end, v.silent = &end, err
		return nil
	}
	if err != nil {
		return err
	}
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
			return ledgerFailure(err)
		}
		v.observe(scored)
	}
	v.end = &end
	return nil
}

// shown reports whether a person is told what goes on.
func (v *verifying) shown() bool { return !v.c.Bool("json") && !v.c.Bool("quiet") }

// open reports whether the run was done and could not be verified: it has no end yet. A nil v
// has nothing to verify.
func (v *verifying) open() bool { return v != nil && v.failed != nil }

// conclude tells what the command said, and maps it to an error where err, that of the run, is
// none. A nil v has nothing to tell.
func (v *verifying) conclude(err error) error {
	switch {
	case v.open(): // the loop takes that for an error of the ledger
		if v.shown() {
			v.t.printf("%s\n", v.t.style(styleDim, "go on    holdfast resume "+v.ID()))
		}
		if errors.Is(v.failed, context.Canceled) {
			return silent{exitInterrupted}
		}
		if f, ok := errors.AsType[*failure](v.failed); ok {
			return &failure{f.code, fmt.Errorf("verify the run: %w", f.err), f.hint}
		}
		return fmt.Errorf("verify the run: %w", v.failed)
	case err != nil || v == nil || v.end == nil:
		return err
	case v.silent == nil && succeeded(*v.end):
		if v.shown() {
			v.t.printf("%s\n", v.t.style(styleDim, fmt.Sprintf("verified in %s", v.took.Round(10*time.Millisecond))))
		}
		return nil
	}
	if !v.c.Bool("json") {
		v.explain()
	}
	return silent{exitUnverified}
}

// explain says why a run counts as not verified, with the last of what the command printed.
func (v *verifying) explain() {
	how := fmt.Sprintf("exit code %d", v.end.Exit)
	if v.silent != nil {
		how = v.silent.Error()
	}
	v.t.printf("%s\n", v.t.style(styleAmber, fmt.Sprintf("verify   failed in %s, %s: %s", v.took.Round(10*time.Millisecond), how, inertLine(v.command, 60))))
	lines := strings.Split(strings.TrimRight(v.end.Out.String(), "\n"), "\n")
	for _, l := range lines[max(0, len(lines)-10):] {
		v.t.printf("%s\n", v.t.style(styleDim, "         "+inertLine(l, lineWidth)))
	}
	if triedToWrite(v.end.Out.String()) {
		v.t.note("the workspace is read-only to a verifier here: nothing could take what it changes")
	}
}

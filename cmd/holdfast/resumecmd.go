package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

func resumeCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "go on with a run that was suspended, interrupted or cut off",
		ArgsUsage: "[RUN]",
		Description: "RUN is a run's identifier or a unique prefix of it. The settings are those it was started with;\n" +
			"flags change them, variables and files of settings do not. In a run that has not ended, model, guard, tools,\n" +
			"written rules, limits and seed stay as they are. What is on record is not done again:\n" +
			"a call that was cut off is told to the model as of unknown outcome. An open question is put on the terminal; answered before with\n" +
			"`holdfast approvals answer`, the run goes on without one. A run that ended short, at a limit or by an\n" +
			"error, goes on as a new run, with limits of its own, that begins with copies of what was said.\n\n" +
			"Examples:\n  holdfast resume --last\n  holdfast resume 0192f3",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitSuspended, exitRefused, exitUnverified, exitLimit, exitLoop, exitModel, exitContext, exitSandbox, exitLedger, exitDigest, exitInterrupted),
		Flags: append(onRecord(append(engineFlags(), loopFlags()...)), showFlags(
			&cli.BoolFlag{Name: "last", Usage: "the newest run that can go on"})...),
		Action: func(c *cli.Context) error { return resumeRun(c, t) },
	}
}

func forkCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "fork",
		Usage:     "begin a new run from a step of another",
		ArgsUsage: "RUN[@STEP]",
		Description: "The new run begins with copies of what was said before STEP and goes on from there, with its own\n" +
			"limits. What flags do not say is as in the other run: model, workspace, rules, tools, seed and the rest.\n" +
			"Files are as they are now: nothing is turned back.\n" +
			"Without STEP it begins where the other left off.\n\n" +
			"Examples:\n  holdfast fork 0192f3@2\n  holdfast fork --temp 0.7 --seed 2 --at 2 0192f3",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitSuspended, exitRefused, exitUnverified, exitLimit, exitLoop, exitModel, exitContext, exitSandbox, exitLedger, exitDigest, exitInterrupted),
		Flags: append(onRecord(append(engineFlags(), loopFlags()...)), showFlags(
			&cli.IntFlag{Name: "at", Usage: "the `STEP` that is taken anew"})...),
		Action: func(c *cli.Context) error { return forkRun(c, t) },
	}
}

// showFlags adds those that say how a run is shown.
func showFlags(more ...cli.Flag) []cli.Flag {
	return append(append(more, signFlags()...),
		&cli.BoolFlag{Name: "json", Usage: "print the events, one JSON object a line, instead of the answer"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"})
}

// resumeRun takes over a run without an end, or branches off one that ended short.
func resumeRun(c *cli.Context, t *terminal) error {
	s, past, err := pastOf(c, t, c.Args().First())
	if err != nil {
		return err
	}
	switch {
	case s.State == ledger.Running:
		return &failure{exitUsage, fmt.Errorf("resume %s: its process is still running", s.ID), "wait for it, or end it"}
	case s.State == ledger.Ended && !stoppedShort(s.Status):
		return &failure{exitUsage, fmt.Errorf("resume %s: it ended: %s", s.ID, s.Status), "holdfast fork RUN@STEP begins a new run from one of its steps"}
	case s.State == ledger.Ended:
		return branchOff(c, t, s, past, ledger.Resume, 0)
	}
	for _, name := range []string{"max-steps", "max-tokens", "max-time", "seed"} {
		if given(c, name) {
			return &failure{exitUsage, fmt.Errorf("resume %s: --%s cannot be changed: the run goes on with its own", s.ID, name), "holdfast fork RUN begins a new run with other limits"}
		}
	}
	if (s.Info.Relation == ledger.Fork || s.Info.Relation == ledger.Resume) && !slices.ContainsFunc(past, copied) {
		return &failure{exitUsage, fmt.Errorf("resume %s: it was cut off while it branched off run %s", s.ID, s.Info.Parent),
			"branch off that one again with holdfast fork"}
	}
	k, err := openCrew(c, t)
	if err != nil {
		return err
	}
	defer k.Close()
	if err := errors.Join(k.sameRules(past), k.sameTools(past)); err != nil {
		return err
	}
	rec, err := k.ledger.Recover(c.Context, s.ID)
	if err != nil {
		return ledgerFailure(err)
	}
	defer rec.Close()
	if err := closeVerifiers(c.Context, k.ledger, s.ID); err != nil {
		return err
	}
	if past, err = k.ledger.ReadAll(c.Context, s.ID); err != nil {
		return ledgerFailure(err)
	}
	if !c.Bool("json") && !c.Bool("quiet") {
		tellUnknown(t, past)
	}
	cfg := k.config(c, t)
	seen := &observed{show: observer(c, t, rec.ID())}
	k.watch(c, t, rec, &cfg, seen)
	out, err := loop.Resume(c.Context, cfg, k.model.used, past)
	return conclude(c, t, k.ledger, rec.ID(), out, seen, changed(err))
}

// copied knows a message that a run took over from the one it branched off.
func copied(e agent.Event) bool {
	b, ok := e.Body.(*agent.Said)
	return ok && b.Copied
}

// promptLabel knows the label that the request was given.
func promptLabel(e agent.Event) bool {
	b, ok := e.Body.(*agent.Labelled)
	return ok && b.Channel == agent.UserPrompt
}

// stoppedShort reports whether a run ended though its task may still be done.
func stoppedShort(s agent.Status) bool {
	switch s {
	case agent.StatusStopped, agent.StatusLimit, agent.StatusError, agent.StatusContext:
		return true
	}
	return false
}

// changed gives a run that was begun with other parts the exit code of a digest.
func changed(err error) error {
	switch {
	case errors.Is(err, loop.ErrChanged):
		return &failure{exitDigest, err, "give the model it began with by -m, or holdfast fork it"}
	case errors.Is(err, loop.ErrPast):
		return &failure{exitUsage, err, "holdfast fork RUN@STEP begins a new run from an earlier step"}
	}
	return err
}

// tellUnknown names the calls whose outcome nobody knows, as the model is told too.
func tellUnknown(t *terminal, past []agent.Event) {
	tools := map[int64]string{}
	for _, e := range past {
		switch b := e.Body.(type) {
		case *agent.Decided:
			tools[e.Seq] = b.Tool
		case *agent.CallEnd:
			if b.Status == agent.CallUnknown {
				t.printf("%s\n", t.style(styleAmber, fmt.Sprintf("unknown  %s was cut off (event %d): it may have taken effect; it is not repeated",
					inertLine(tools[e.Ref], 40), e.Ref)))
			}
		}
	}
}

// pastOf finds a run in the ledger, reads it and restores its settings.
func pastOf(c *cli.Context, t *terminal, id string) (ledger.Summary, []agent.Event, error) {
	var s ledger.Summary
	switch last := c.Bool("last"); {
	case id == "" && !last:
		return s, nil, usage(errors.New("no run named; give one, or --last"))
	case id != "" && last:
		return s, nil, usage(errors.New("name one run, or --last"))
	}
	l, err := readLedger(c)
	if err != nil {
		return s, nil, err
	}
	defer l.Close()
	if id == "" {
		if s, err = lastOpen(c, l); err != nil {
			return s, nil, err
		}
	} else if s, err = l.Run(c.Context, id); err != nil {
		return s, nil, noSuchRun(err)
	}
	if s.Imported { // its settings, its words and what was confirmed may be another person's
		return s, nil, &failure{exitUsage, fmt.Errorf("go on with %s: it was recorded in another ledger", s.ID), "go on with it there, with --ledger"}
	}
	past, err := l.ReadAll(c.Context, s.ID)
	if err != nil {
		return s, nil, ledgerFailure(err)
	}
	start, ok := past[0].Body.(*agent.RunStart)
	if !ok || start.Agent != "holdfast" {
		return s, nil, &failure{exitUsage, fmt.Errorf("go on with %s: it is not a run of an agent", s.ID), ""}
	}
	return s, past, restore(c, start.Config)
}

// lastOpen is the newest run that is suspended or was cut off and has not gone on as
// another.
func lastOpen(c *cli.Context, l *ledger.Ledger) (ledger.Summary, error) {
	runs, err := l.Runs(c.Context)
	if err != nil {
		return ledger.Summary{}, ledgerFailure(err)
	}
	wentOn := map[string]bool{}
	for i := len(runs) - 1; i >= 0; i-- {
		s := runs[i]
		if s.Info.Relation == ledger.Resume {
			wentOn[s.Info.Parent] = true
		}
		if s.Agent != "holdfast" || s.Imported || wentOn[s.ID] {
			continue
		}
		if s.State == ledger.Suspended || s.State == ledger.Crashed {
			return s, nil
		}
		if stoppedShort(s.Status) {
			past, err := l.ReadAll(c.Context, s.ID)
			if err != nil {
				return s, ledgerFailure(err)
			}
			if slices.ContainsFunc(past, promptLabel) { // else it ended before its request was judged
				return s, nil
			}
		}
	}
	return ledger.Summary{}, &failure{exitUsage, errors.New("no run can be resumed"), "see holdfast log ls"}
}

// forkRun begins a new run from a step of another.
func forkRun(c *cli.Context, t *terminal) error {
	id, step, named := strings.Cut(c.Args().First(), "@")
	at := c.Int("at")
	if named {
		n, err := strconv.Atoi(step)
		if err != nil || n < 1 || at != 0 && at != n {
			return usage(fmt.Errorf("%q is not a step, counted from 1", step))
		}
		at = n
	}
	if id == "" {
		return usage(errors.New("no run named"))
	}
	if at < 0 {
		return usage(errors.New("steps are counted from 1"))
	}
	s, past, err := pastOf(c, t, id)
	if err != nil {
		return err
	}
	return branchOff(c, t, s, past, ledger.Fork, at)
}

// branchOff carries out a new run that goes on from the past of another.
func branchOff(c *cli.Context, t *terminal, s ledger.Summary, past []agent.Event, as ledger.Relation, at int) error {
	k, err := openCrew(c, t)
	if err != nil {
		return err
	}
	defer k.Close()
	rec, err := k.ledger.Begin(c.Context, ledger.RunInfo{Parent: s.ID, ParentSeq: branchPoint(past, at), Relation: as,
		Thread: s.Info.Thread, Task: s.Info.Task})
	if err != nil {
		return ledgerFailure(err)
	}
	defer rec.Close()
	cfg := k.config(c, t)
	if old, ok := past[0].Body.(*agent.RunStart); ok && !c.IsSet("seed") {
		cfg.Seed = old.Seed
	}
	seen := &observed{show: observer(c, t, rec.ID())}
	k.watch(c, t, rec, &cfg, seen)
	out, err := loop.Branch(c.Context, cfg, loop.Task{Model: k.model.used, Start: k.start(c)}, past, at)
	if errors.Is(err, loop.ErrPast) {
		return changed(err)
	}
	return conclude(c, t, k.ledger, rec.ID(), out, seen, err)
}

// branchPoint is the last event that the new run builds on.
func branchPoint(past []agent.Event, at int) int64 {
	var last int64
	for _, e := range past {
		if at == 0 || e.Step < at {
			last = e.Seq
		}
	}
	return last
}

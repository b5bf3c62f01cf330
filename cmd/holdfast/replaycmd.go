package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/inference/remote"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/runtime/replay"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/safety/review"
)

func replayCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "replay",
		Usage:     "make recorded runs again and say where they first differ",
		ArgsUsage: "[RUN...]",
		Description: "What tools returned and people answered is taken from the record, so nothing happens on the machine.\n" +
			"Without RUN, the newest run. Name the run's model with -m, unless it is the embedded one: another is exit code 22,\n" +
			"as a run is that differs. A run that a guard model judged cannot be made again. The modes:\n" +
			"  tools-recorded  the model writes anew; the decisions must be the same\n" +
			"  strict          every token and log-probability must be the same as well\n" +
			"  model-only      each generation anew after the recorded ones before it; counts which are the same\n" +
			"  decisions       the model's outputs from the record too: do rules and thresholds decide alike?\n\n" +
			"Examples:\n" +
			"  holdfast replay --mode strict 0192f3\n" +
			"  holdfast replay --mode model-only -m other.gguf 0192f3\n" +
			"  holdfast replay --mode decisions --group rollout-1",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitLedger, exitDigest, exitInterrupted),
		Flags: append(engineFlags(), ledgerFlag(),
			&cli.StringFlag{Name: "mode", Value: string(replay.ToolsRecorded), Usage: "the `MODE`"},
			&cli.StringFlag{Name: "group", Usage: "all runs that ended and whose group begins with `NAME`"}),
		Action: func(c *cli.Context) error { return replayRuns(c, t) },
	}
}

func replayRuns(c *cli.Context, t *terminal) error {
	mode := replay.Mode(c.String("mode"))
	if !slices.Contains(replay.Modes, mode) {
		var names []string
		for _, m := range replay.Modes {
			names = append(names, string(m))
		}
		return usage(fmt.Errorf("--mode %q is not one of %s", mode, strings.Join(names, ", ")))
	}
	if c.String("group") != "" && c.Args().Present() {
		return usage(errors.New("name runs, or a --group of them"))
	}
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	ids, err := replayed(c, l)
	if err != nil {
		return err
	}
	p := &repeater{mode: mode, l: l}
	if err := p.prepare(c, t); err != nil {
		return err
	}
	if p.model.engine != nil {
		defer p.model.engine.Close()
	}
	differ := 0
	for _, id := range ids {
		same, err := p.replay(c, t, id)
		if err != nil {
			return err
		}
		if !same {
			differ++
		}
	}
	if len(ids) > 1 {
		fmt.Fprintf(t.out, "%d of %d runs are the same\n", len(ids)-differ, len(ids))
	}
	if differ > 0 {
		return silent{exitDigest}
	}
	return nil
}

// replayed lists the runs to be made again.
func replayed(c *cli.Context, l *ledger.Ledger) ([]string, error) {
	if name := c.String("group"); name != "" {
		all, err := l.Runs(c.Context)
		if err != nil {
			return nil, ledgerFailure(err)
		}
		var ids []string
		for _, s := range all {
			if s.State == ledger.Ended && strings.HasPrefix(s.Info.Group, name) {
				ids = append(ids, s.ID)
			}
		}
		if len(ids) == 0 {
			return nil, usage(fmt.Errorf("no run of the group %q has ended", name))
		}
		return ids, nil
	}
	if !c.Args().Present() {
		return newestOfModel(c, l)
	}
	return findRuns(c, l, c.Args().Slice())
}

// newestOfModel is the newest run in which a model took part: commands of the operator's
// own are no runs to make again.
func newestOfModel(c *cli.Context, l *ledger.Ledger) ([]string, error) {
	runs, err := l.Runs(c.Context)
	if err != nil {
		return nil, ledgerFailure(err)
	}
	for _, s := range slices.Backward(runs) {
		if !noModel(s.Agent) {
			return []string{s.ID}, nil
		}
	}
	return nil, &failure{exitUsage, errors.New("the ledger holds no run of a model"), ""}
}

// repeater makes runs again with one model.
type repeater struct {
	mode  replay.Mode
	l     *ledger.Ledger
	model loadedModel // without an engine where no model runs
}

// prepare loads the model, or of a model that need not run only its calibration.
func (p *repeater) prepare(c *cli.Context, t *terminal) error {
	if p.mode != replay.Decisions {
		m, err := loadModel(c, t)
		if err != nil {
			return err
		}
		p.model = *m
		return nil
	}
	name := c.String("model")
	if remote.Named(name) { // it has no file; what its runs were judged by is on record
		p.model.used.GGUF = agent.Served(name)
		return nil
	}
	f, err := openModel(c.Context, name)
	if err != nil {
		return err
	}
	defer f.Close()
	p.model.used.GGUF = f.digest
	p.model.cuts, p.model.notes, err = thresholds(f.info, f.digest)
	return err
}

// replay makes one run again and reports whether it was the same.
func (p *repeater) replay(c *cli.Context, t *terminal, id string) (bool, error) {
	events, err := p.l.ReadAll(c.Context, id)
	if err != nil {
		return false, ledgerFailure(err)
	}
	var piece func(int32) string
	if p.model.engine != nil {
		piece = p.model.engine.Piece
	}
	player, err := p.open(c, id, events, piece)
	if err != nil {
		return false, &failure{exitUsage, fmt.Errorf("replay %s: %w", id, err), ""}
	}
	if p, err = p.served(player); err != nil {
		return false, fmt.Errorf("replay %s: %w", id, err)
	}
	if player.Model().Guard != nil {
		return false, &failure{exitUsage, fmt.Errorf("replay %s: a guard model judged it, which a replay cannot", id), ""}
	}
	if was := player.Model().GGUF; was != p.model.used.GGUF {
		if p.mode != replay.ModelOnly {
			return false, &failure{exitDigest, fmt.Errorf("replay %s: it was made by the model %s, this one is %s", id, modelName(&agent.ModelUsed{GGUF: was}), modelName(&p.model.used)),
				"name the model with -m, or compare models with --mode model-only"}
		}
		t.printf("%s: another model, %s\n", id, inertLine(was, 12))
	}
	gate, err := p.gate(player)
	if err != nil {
		return false, err
	}
	var model agent.Generator
	if p.model.engine != nil {
		session, err := p.model.engine.NewSession()
		if err != nil {
			return false, modelFailure(err)
		}
		renewed := &renewable{modelSession: session, engine: p.model.engine}
		defer func() { renewed.Close() }()
		model = renewed
	}
	r, err := player.Run(c.Context, p.mode, model, gate)
	if err != nil {
		return false, err
	}
	printReplay(t, id, r)
	return r.First == nil, nil
}

// renewable is a session that can be exchanged for a fresh one.
type renewable struct {
	modelSession
	engine modelEngine
}

// Renew implements replay.Renewer.
func (r *renewable) Renew() error {
	if err := r.Close(); err != nil {
		return err
	}
	fresh, err := r.engine.NewSession()
	if err != nil {
		return modelFailure(err)
	}
	r.modelSession = fresh
	return nil
}

var _ replay.Renewer = (*renewable)(nil)

// open reads a run, and the one that it branched off, if it did.
func (p *repeater) open(c *cli.Context, id string, events []agent.Event, piece func(int32) string) (*replay.Player, error) {
	s, err := p.l.Run(c.Context, id)
	if err != nil {
		return nil, err
	}
	if noModel(s.Agent) {
		return nil, errors.New("it is a command of the operator's own, in which no model took part")
	}
	if r := s.Info.Relation; r != ledger.Fork && r != ledger.Resume {
		return replay.Open(events, piece)
	}
	past, err := p.l.ReadAll(c.Context, s.Info.Parent)
	if err != nil {
		return nil, err
	}
	return replay.OpenBranch(events, past, s.Info.Relation == ledger.Resume, piece)
}

// served is the repeater of a run whose model is on a server. Its tokens are not on record,
// so that no mode may say that they are the same; its labels were never calibrated.
func (p *repeater) served(player *replay.Player) (*repeater, error) {
	used := player.Model()
	if _, ok := used.Served(); !ok {
		return p, nil
	}
	switch p.mode {
	case replay.Strict, replay.ModelOnly:
		return nil, &failure{exitUsage, fmt.Errorf("compare tokens: %w", errNoTokens), "use --mode tools-recorded or decisions"}
	case replay.Decisions:
		q := *p
		q.model.used, q.model.cuts = used, review.Uncalibrated()
		return &q, nil
	}
	return p, nil
}

// gate is the judge as the run was started with it: the rules that were in force, the way
// of reviewing, and the workspace as it was found.
func (p *repeater) gate(player *replay.Player) (loop.Judge, error) {
	o := safety.Options{Thresholds: p.model.cuts, Exists: player.Exists, Adds: player.Undoable, Undoable: player.Undoable,
		Profile: player.Profile(), Hosts: player.Hosts(), Reaches: player.Reaches, Secrets: player.Secrets}
	if b := player.Start().Policy; b != nil {
		if b.Data == nil {
			return nil, errors.New("read the rules of the run: they were erased")
		}
		rules, err := policy.Restore(b.Data)
		if err != nil {
			return nil, fmt.Errorf("read the rules of the run: %w", err)
		}
		o.Policy = rules
	}
	if o.Thresholds == (review.Thresholds{}) {
		o.Thresholds = review.Uncalibrated()
	}
	kept := settings{}
	if b := player.Start().Config; b != nil && json.Unmarshal(b.Data, &kept) != nil {
		return nil, errors.New("read the settings of the run: they were erased, or are not its settings")
	}
	switch {
	case slices.Contains(kept["review"], "logits"):
		o.Effects, o.Reads = review.Logits, review.Logits
	case slices.Contains(kept["review"], "masked"):
		o.Masked = true
	}
	gate, err := safety.New(o)
	if err != nil {
		return nil, err
	}
	if slices.Contains(kept["ask"], "always") {
		return alwaysAsk{gate}, nil
	}
	return gate, nil
}

func printReplay(t *terminal, id string, r replay.Report) {
	verdict := "same"
	if r.First != nil {
		verdict = "DIFFERS at " + inertLine(r.First.String(), 600)
	}
	fmt.Fprintf(t.out, "%s %s: %s, %s", id, r.Mode, count(r.Events, "event"), count(r.Decisions, "decision"))
	if r.Generations > 0 {
		fmt.Fprintf(t.out, "; of %s, the prompt of %d, the output of %d and the log-probabilities of %d are the same", count(r.Generations, "generation"), r.Prompts, r.Same, r.Exact)
	}
	fmt.Fprintf(t.out, "; %s\n", verdict)
}

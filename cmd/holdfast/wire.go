package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/remote"
	"github.com/holdfast-run/holdfast/models"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/safety/review"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// loadedModel is a model in memory, with what is recorded of it.
type loadedModel struct {
	engine   modelEngine
	used     agent.ModelUsed
	cuts     review.Thresholds
	notes    []string // warnings
	embedded bool     // the reference model, which was trained on few forms of request
}

// loadModel finds, checks and loads the model that the flags name, or opens the server it
// is on.
func loadModel(c *cli.Context, t *terminal) (*loadedModel, error) {
	return loadNamed(c, t, c.String("model"))
}

// loadNamed is loadModel for a name.
func loadNamed(c *cli.Context, t *terminal, name string) (*loadedModel, error) {
	m, err := loadOrOpen(c, t, name)
	if err != nil {
		return nil, err
	}
	for _, n := range m.notes {
		t.note(n)
	}
	return m, nil
}

func loadOrOpen(c *cli.Context, t *terminal, name string) (*loadedModel, error) {
	if err := checkEngine(c); err != nil {
		return nil, err
	}
	if remote.Named(name) {
		return openServed(c)
	}
	p := newProgress(t, "checking the model")
	f, err := openModelShown(c.Context, name, p)
	p.done()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p = newProgress(t, "loading "+f.Name)
	opt := inference.Options{Context: c.Int("ctx"), GPULayers: c.Int("gpu-layers"), Threads: threads(c.Int("threads"), f.info),
		Progress: func(done float32) bool { p.set(done); return true }}
	if c.Bool("verbose") {
		opt.Logger = t.logger()
	}
	engine, err := loadFile(c.Context, f, opt)
	p.done()
	if err != nil {
		return nil, modelFailure(fmt.Errorf("load model %s: %w", f.Name, err))
	}
	info := engine.Info()
	m := &loadedModel{engine: loadedEngine{engine}, embedded: f.Embedded, used: agent.ModelUsed{Role: "agent", GGUF: f.digest, Name: f.Name,
		Engine: info.Build, Ctx: info.Context, Detail: agent.JSON(info)}}
	if m.cuts, m.notes, err = thresholds(f.info, f.digest); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	if most := f.info.Context; most > 0 && uint64(info.Context) > most {
		m.notes = append(m.notes, fmt.Sprintf("the context of %d tokens is longer than the %d that the model was trained for: it reads badly what lies beyond", info.Context, most))
	}
	if !info.Template {
		m.notes = append(m.notes, "the model's file has no chat template: it is spoken to as most models are (ChatML)")
	}
	return m, nil
}

// loadFile loads the very file that was checked.
func loadFile(ctx context.Context, f *modelFile, opt inference.Options) (*inference.Engine, error) {
	if !f.Embedded {
		return inference.Open(ctx, f.LoadPath(), opt)
	}
	image, err := f.Image()
	if err != nil {
		return nil, err
	}
	return inference.OpenBytes(ctx, image, opt)
}

// threads is the number of threads for a model. Those of a small model spend their time
// waiting for each other, and where other work holds a core they wait for its time slices.
func threads(asked int, info models.Info) int {
	if asked == 0 && info.Parameters < smallModel {
		return 1
	}
	return asked
}

const smallModel = 50_000_000 // parameters

// workplace is a workspace with its tools and judge.
type workplace struct {
	runner *sandbox.Runner
	tools  *tools.Registry
	root   *os.Root
	rules  *policy.Set // written rules, nil for the floor alone
	review string      // how calls are reviewed, one of reviewModes; "" is reason
	own    []tools.Command
	lent   loan
}

// loan is what a user lends to the calls of a run beyond their cells. Which call gets what, its
// decision says. The zero loan is nothing.
type loan struct {
	hosts   []sandbox.HostRule
	secrets []tools.Secret
	time    time.Duration // of one call at most, 0 for the usual
}

// standbyCells is how many cells wait for the next call: one each for reading and
// for writing, by the file tools and by commands.
const standbyCells = 4

// openWorkplace opens a workspace with the built-in tools and the user's own. No call
// in it has a network.
func openWorkplace(ctx context.Context, dir string, own ...tools.Command) (*workplace, error) {
	return openWorkplaceLending(ctx, dir, loan{}, own...)
}

// openWorkplaceLending is openWorkplace where calls may be granted hosts and secrets. Tools
// that declare others are refused.
func openWorkplaceLending(ctx context.Context, dir string, lent loan, own ...tools.Command) (*workplace, error) {
	if err := checkNeeds(own, lent); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("open workspace: %w", err), "give a readable folder with -C DIR"}
	}
	config := sandboxConfig()
	config.Pool, config.Hosts, config.MaxLimits.Time = standbyCells, lent.hosts, lent.time
	runner, err := openSandbox(ctx, config)
	if err != nil {
		root.Close()
		return nil, err
	}
	reg, err := tools.New(tools.Config{Runner: runner, Workspace: dir, Commands: own, Secrets: lent.secrets})
	if err != nil {
		return nil, errors.Join(err, runner.Close(), root.Close())
	}
	return &workplace{runner: runner, tools: reg, root: root, own: own, lent: lent}, nil
}

func (w *workplace) Close() error { return errors.Join(w.runner.Close(), w.root.Close()) }

// profile is that of every call's cell: the strictest, or, where this machine has no cells of
// that and a person allowed it, the reduced one.
func (w *workplace) profile() agent.Profile {
	if w.runner.Facts().NoProc {
		return agent.Reduced
	}
	return agent.Strict
}

// reducedWarning stands in the record of every run with reduced cells.
const reducedWarning = "cells are reduced: /proc is masked here, so they have none, as HOLDFAST_ALLOW_REDUCED allows"

// exists reports whether a path of the workspace names something; when it cannot tell,
// it does.
func (w *workplace) exists(path string) bool {
	_, err := w.root.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// site is where a run of a command happens: its workspace and its ledger.
type site struct {
	*workplace
	ledger *ledger.Ledger
}

// openSite opens workspace, ledger and sandbox as the flags say, from cheap to dear. Calls
// may be granted hosts of the list, and the secrets that the flags name; --time bounds them.
func openSite(c *cli.Context, hosts []sandbox.HostRule, own ...tools.Command) (*site, error) {
	dir, err := workspaceOf(c)
	if err != nil {
		return nil, err
	}
	secrets, err := secretsOf(c, dir)
	if err != nil {
		return nil, err
	}
	l, err := openLedger(c, c.String("ledger"))
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(apart(dir, filepath.Dir(l.Path())), apartFromOwn(c, dir)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	w, err := openWorkplaceLending(c.Context, dir, loan{hosts, secrets, c.Duration("time")}, own...)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	tellRecovered(c.App.ErrWriter, w.runner.Recovered())
	return &site{w, l}, nil
}

// tellRecovered names the commits of processes that died, and what became of them.
func tellRecovered(to io.Writer, list []sandbox.Recovered) {
	for _, r := range list {
		what := "nothing of it was kept"
		switch {
		case len(r.Left) > 0:
			what = fmt.Sprintf("%s may hold half of it, %s first; what they held before, and the list: %s",
				count(len(r.Left), "path"), inertLine(r.Left[0], 80), r.Kept)
		case r.Missing:
			what = "its folder is not there; it is settled once it is"
		case r.Finished:
			what = "all of it was made; undo with: holdfast sandbox undo " + r.Commit
		}
		fmt.Fprintf(to, "note     changes of a call in %s were cut off when its process died: %s\n", inertLine(r.Dir, 80), what)
	}
}

// apart refuses a workspace that holds the ledger or lies in its folder: tools could
// read what was recorded before, or remove it. Folders are compared by identity, so
// that no link or second mount of one passes.
func apart(workspace, records string) error {
	for _, pair := range [][2]string{{workspace, records}, {records, workspace}} {
		in, err := within(pair[1], pair[0])
		if err != nil {
			return &failure{exitUsage, fmt.Errorf("compare workspace and ledger: %w", err), ""}
		}
		if in {
			return &failure{exitUsage, fmt.Errorf("open workspace: %s holds the ledger %s, which tools must not see", workspace, records),
				"choose a narrower folder with -C DIR, or keep the ledger elsewhere with --ledger FILE"}
		}
	}
	return nil
}

// apartFromOwn refuses a workspace that holds the data directory, wherever the ledger is, or
// files of settings: tools could change what was accepted, calibrated or imported, or what
// the next runs may do. So it is with the key that signs the ledger, which a call could read,
// and the files that its notes go to. Links are followed. Where there is no such thing yet,
// it is what it would be made in that counts.
func apartFromOwn(c *cli.Context, workspace string) error {
	type own struct{ what, at, hint string }
	list := []own{{"data directory", dataDir(), "choose a narrower folder with -C DIR, or set XDG_DATA_HOME elsewhere"}}
	for _, file := range configFiles() {
		list = append(list, own{"settings", file, "choose a narrower folder with -C DIR, or keep settings elsewhere"})
	}
	if key := c.String("sign-key"); key != "" {
		list = append(list, own{"signing key", key, "keep signing keys elsewhere"})
	}
	for _, place := range c.StringSlice("anchor") {
		if kind, _, _ := strings.Cut(place, ":"); kind != "syslog" && kind != "unix" {
			list = append(list, own{"notes", place, "keep notes elsewhere"})
		}
	}
	for _, o := range list {
		at := o.at
		for _, err := os.Stat(at); errors.Is(err, os.ErrNotExist) && at != filepath.Dir(at); _, err = os.Stat(at) {
			at = filepath.Dir(at)
		}
		in, err := within(at, workspace)
		if err != nil {
			return &failure{exitUsage, fmt.Errorf("compare workspace and %s: %w", o.what, err), ""}
		}
		if in {
			return &failure{exitUsage, fmt.Errorf("open workspace: %s holds the %s %s, which tools must not see", workspace, o.what, o.at), o.hint}
		}
	}
	return nil
}

// within reports whether path is dir or lies below it.
func within(path, dir string) (bool, error) {
	outer, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return false, err
	}
	for {
		inner, err := os.Stat(path)
		if err != nil {
			return false, err
		}
		if os.SameFile(outer, inner) {
			return true, nil
		}
		up := filepath.Dir(path)
		if up == path {
			return false, nil
		}
		path = up
	}
}

func (s *site) begin(c *cli.Context) (*ledger.Run, error) {
	rec, err := s.ledger.Begin(c.Context, ledger.RunInfo{})
	if err != nil {
		return nil, ledgerFailure(err)
	}
	return rec, nil
}

func (s *site) Close() error { return errors.Join(s.workplace.Close(), s.ledger.Close()) }

// gate is the judge of a run on this workspace with this model.
func (w *workplace) gate(m *loadedModel) (*safety.Gate, error) {
	o := safety.Options{Thresholds: m.cuts, Exists: w.exists, Policy: w.rules, Adds: w.tools.Adds, Undoable: w.tools.Undoable, Drifted: w.tools.Drifted,
		Profile: w.profile(), Hosts: texts(w.lent.hosts), Reaches: w.tools.Reaches, Secrets: w.tools.Secrets}
	switch w.review {
	case "logits":
		o.Effects, o.Reads = review.Logits, review.Logits
	case "masked":
		o.Masked = true
	}
	return safety.New(o)
}

// alwaysAsk lowers every allowed call that has an effect to a question.
type alwaysAsk struct{ loop.Judge }

// Call implements loop.Judge.
func (j alwaysAsk) Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	v, err := j.Judge.Call(ctx, g, c, p)
	if p.Spec.Effect.Rank() > agent.Read.Rank() && v.Outcome == agent.Allow {
		v.Outcome = agent.Ask
		v.Votes = append(v.Votes, agent.Vote{Rule: "ask.always", Outcome: agent.Ask, Reason: "the operator asked to see every effect"})
	}
	return v, err
}

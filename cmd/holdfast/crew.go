package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/inference/remote"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// crew is everything that carries out a run, ready to begin.
type crew struct {
	*site
	model   *loadedModel
	session modelSession
	guard   *loadedModel // judges in the model's place; nil where it judges itself
	guards  modelSession
	judge   loop.Judge
	limits  agent.Limits

	verifier string // the command that verifies the run, "" for none
}

// openCrew checks and opens what the flags name, from cheap to dear: flags, workspace,
// ledger, sandbox, model.
func openCrew(c *cli.Context, t *terminal) (*crew, error) {
	if err := errors.Join(checkAsk(c.String("ask")), checkReview(c.String("review"))); err != nil {
		return nil, err
	}
	limits, err := limitsOf(c)
	if err != nil {
		return nil, err
	}
	if err := checkSigning(c, t); err != nil {
		return nil, err
	}
	if c.IsSet("guard") && c.String("guard") == "" { // whoever asks for a judge does not get none
		return nil, usage(errors.New("--guard names no model"))
	}
	verifier, err := verifyOf(c)
	if err != nil {
		return nil, err
	}
	own, err := ownTools(c, t)
	if err != nil {
		return nil, err
	}
	rules, err := runPolicies(c)
	if err != nil {
		return nil, err
	}
	hosts, err := askableHosts(c, rules)
	if err != nil {
		return nil, err
	}
	at, err := openSite(c, hosts, own...)
	if err != nil {
		return nil, err
	}
	k := &crew{site: at, limits: limits, verifier: verifier}
	k.review, k.rules = c.String("review"), rules
	if err := k.load(c, t); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

func (k *crew) load(c *cli.Context, t *terminal) (err error) {
	if k.model, err = loadModel(c, t); err != nil {
		return err
	}
	judging := k.model
	if k.guard, err = loadGuard(c, t, k.model); err != nil {
		return err
	}
	if k.guard != nil {
		if k.guards, err = k.guard.engine.NewSession(); err != nil {
			return modelFailure(err)
		}
		judging = k.guard
	}
	gate, err := k.gate(judging)
	if err != nil {
		return err
	}
	k.judge = gate
	if c.String("ask") == "always" {
		k.judge = alwaysAsk{k.judge}
	}
	if k.session, err = k.model.engine.NewSession(); err != nil {
		return modelFailure(err)
	}
	return nil
}

// loadGuard loads the model that judges in the place of an agent's, nil where the flags name
// none. It runs in this process: what judges is not left to a server.
func loadGuard(c *cli.Context, t *terminal, m *loadedModel) (*loadedModel, error) {
	name := c.String("guard")
	if name == "" {
		if c.IsSet("guard") { // whoever asks for a judge does not get none
			return nil, usage(errors.New("--guard names no model"))
		}
		return nil, nil
	}
	if remote.Named(name) {
		return nil, usage(errors.New("--guard names a model on a server; name a file or a model of the store"))
	}
	guard, err := loadNamed(c, t, name)
	if err != nil {
		return nil, err
	}
	guard.used.Role = "guard"
	m.used.Guard = &guard.used
	return guard, nil
}

// noGuard tells that a command has no use for a guard model which the environment or a file
// of settings names, and why. On its command line there is no such flag.
func noGuard(c *cli.Context, t *terminal, why string) {
	if at := unasked(c, "guard", "HOLDFAST_GUARD"); at != "" {
		t.note(at + " is not used: " + why)
	}
}

// Close gives everything back, the last opened first.
func (k *crew) Close() error {
	var errs []error
	if k.guards != nil {
		errs = append(errs, k.guards.Close())
	}
	if k.guard != nil {
		errs = append(errs, k.guard.engine.Close())
	}
	if k.session != nil {
		errs = append(errs, k.session.Close())
	}
	if k.model != nil {
		errs = append(errs, k.model.engine.Close())
	}
	return errors.Join(append(errs, k.site.Close())...)
}

// config is the run's, without its recorder and who watches it.
func (k *crew) config(c *cli.Context, t *terminal) loop.Config {
	cfg := loop.Config{
		Model: k.session, Judge: k.judge, Executor: k.tools, Approver: &approver{t: t, mode: c.String("ask"), before: k.before},
		Limits: k.limits, Temp: c.Float64("temp"), Seed: c.Uint64("seed"), Resumable: true,
	}
	if k.guards != nil {
		cfg.Guard = k.guards
	}
	return cfg
}

// caution says, and keeps for the record, what the embedded model has no ear for in a run
// that is about to begin.
func (k *crew) caution(t *terminal, piped bool) {
	if !k.model.embedded {
		return
	}
	var notes []string
	if piped {
		notes = append(notes, "the embedded model was not trained on piped data and does not answer from it: put it in a file of the workspace, or name a model with -m")
	}
	if len(k.own) > 0 {
		notes = append(notes, "the embedded model calls no tools but the built-in ones: name a model with -m for those of --tools")
	}
	for _, n := range notes {
		t.note(n)
	}
	k.model.notes = append(k.model.notes, notes...)
}

// start is what is recorded of how the run began.
func (k *crew) start(c *cli.Context) agent.RunStart {
	s := agent.RunStart{
		Agent: "holdfast", Build: thisBuild().String(), Train: k.guard == nil, Config: agent.JSON(k.settings(c)),
		Warnings: append(append([]string{}, k.model.notes...), k.ledger.Warnings()...),
		Policy:   &agent.Blob{Media: "application/json", Data: k.rules.Record()},
	}
	if k.profile() == agent.Reduced {
		s.Warnings = append(s.Warnings, reducedWarning)
	}
	if k.guard != nil { // labels of another model would be taken for the agent's own
		s.Warnings = append(s.Warnings, "judged by a guard model; the run is kept from training")
		for _, n := range k.guard.notes {
			s.Warnings = append(s.Warnings, "guard: "+n)
		}
	}
	return s
}

// settings are the flags a run was started with, by name, kept with it so that it can
// be resumed alike.
type settings map[string][]string

// keptWithRun reports whether a flag is kept with a run.
func keptWithRun(flag string) bool { return !notKept[flag] }

// Flags that say where to read, how to print or which run, not how the run goes; limits
// and seed are on record by themselves.
var notKept = map[string]bool{
	"ledger": true, "json": true, "quiet": true, "verbose": true, "at": true, "last": true, "sign-key": true, "anchor": true,
	"max-steps": true, "max-tokens": true, "max-time": true, "seed": true, "help": true,
	"secret": true, // no record says which file is read as one
}

// ofTheRun is, in help, the default of a flag whose value is on record.
const ofTheRun = "that of the run"

// onRecord are flags of a command that goes on with a run: how that goes is told by its
// record, not by the variables and files of another day. But offline is offline.
func onRecord(flags []cli.Flag) []cli.Flag {
	for _, f := range flags {
		if name := f.Names()[0]; name == "offline" || name != "seed" && !keptWithRun(name) {
			continue
		}
		switch f := f.(type) {
		case listFlag:
			f.EnvVars = nil
		case *cli.StringFlag:
			f.EnvVars, f.DefaultText = nil, ofTheRun
		case *cli.IntFlag:
			f.EnvVars, f.DefaultText = nil, ofTheRun
		case *cli.Uint64Flag:
			f.EnvVars, f.DefaultText = nil, ofTheRun
		case *cli.Float64Flag:
			f.EnvVars, f.DefaultText = nil, ofTheRun
		case *cli.BoolFlag:
			f.EnvVars = nil
		}
	}
	return flags
}

// programsKey keeps, among the settings, what the user's own tools run: the declarations
// that a model is shown do not say it.
const programsKey = "tools.digests"

// settings are the flags in force, and what the user's own tools run.
func (k *crew) settings(c *cli.Context) settings {
	s := settingsOf(c)
	if len(k.own) > 0 {
		s[programsKey] = k.programs()
	}
	return s
}

// programs are the user's own tools with their digests, in the order of the flags.
func (k *crew) programs() []string {
	var out []string
	for _, o := range k.own {
		out = append(out, fmt.Sprintf("%s %x", o.Spec.Name, o.Digest()))
	}
	return out
}

// sameTools refuses to go on with a run whose own tools run something else by now: what
// was agreed to was a call of the old ones.
func (k *crew) sameTools(past []agent.Event) error {
	for _, e := range past {
		b, ok := e.Body.(*agent.RunStart)
		if !ok {
			continue
		}
		var was settings // none where they were erased: what the tools ran is then not known
		if b.Config != nil && b.Config.Data != nil {
			if err := json.Unmarshal(b.Config.Data, &was); err != nil {
				return fmt.Errorf("read the settings of the run: %w", err)
			}
		}
		if !slices.Equal(was[programsKey], k.programs()) {
			return &failure{exitDigest, errors.New("resume: the run's own tools are declared otherwise than when it began"),
				"bring the files back, or begin a new run from it with holdfast fork"}
		}
	}
	return nil
}

// settingsOf takes the flags in force. Files are named by absolute path.
func settingsOf(c *cli.Context) settings {
	s := settings{}
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if !keptWithRun(name) || !c.IsSet(name) && name != "dir" {
			continue
		}
		var values []string
		switch v := c.Value(name).(type) {
		case cli.StringSlice:
			values = v.Value()
		case []string:
			values = v
		default:
			values = []string{fmt.Sprint(v)}
		}
		if slices.Contains(pathFlags, name) {
			values = absolute(values, name == "dir")
		}
		s[name] = values
	}
	return s
}

// pathFlags are those whose values may be paths. A value of another that happens to be the
// name of a file is a word all the same.
var pathFlags = []string{"dir", "model", "guard", "policy", "tools"}

// absolute makes paths of files absolute: a resumed run may be started elsewhere.
func absolute(values []string, always bool) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v
		if _, err := os.Stat(v); v != "" && (err == nil || always) {
			if abs, err := filepath.Abs(v); err == nil {
				out[i] = abs
			}
		}
	}
	return out
}

// unnamedTools marks a context in which files of tools come from a record: it may be
// another's, and the user has not named them.
type unnamedTools struct{}

// restore sets the flags of this command that were not given to what a run was started
// with.
func restore(c *cli.Context, kept *agent.Blob) error {
	if kept == nil || kept.Data == nil {
		return nil
	}
	var s settings
	if err := json.Unmarshal(kept.Data, &s); err != nil {
		return fmt.Errorf("read the settings of the run: %w", err)
	}
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if !keptWithRun(name) || given(c, name) || c.IsSet(name) && name != "offline" {
			continue
		}
		for _, v := range s[name] {
			if name == "offline" && v != "true" { // nothing takes that back but the command line
				continue
			}
			if err := c.Set(name, v); err != nil {
				return fmt.Errorf("restore --%s: %w", name, err)
			}
			if name == "tools" {
				c.Context = context.WithValue(c.Context, unnamedTools{}, true)
			}
		}
	}
	return nil
}

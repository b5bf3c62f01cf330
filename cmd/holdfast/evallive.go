package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/eval/bench"
	"github.com/holdfast-run/holdfast/eval/ours"
	"github.com/holdfast-run/holdfast/eval/scripted"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety"
)

// liveFlags are those of a suite that a real model can be put into.
func liveFlags() []cli.Flag {
	return append(append(safetyFlags(),
		&cli.BoolFlag{Name: "live", Usage: "with a real model in place of the scripted ones"}), modelOfSuite()...)
}

// modelOfSuite are the flags that count with --live only.
func modelOfSuite() []cli.Flag {
	return append([]cli.Flag{
		&cli.IntFlag{Name: "limit", Value: 30, Usage: "with --live: `CASES` of each recorded suite, drawn by the seed; 0 is all"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "with --live: draws the cases"},
		ledgerFlag(), guardFlag()}, engineFlags()...)
}

// evalPlayed plays suites with scripted models, or with --live with a real one.
func evalPlayed(c *cli.Context, t *terminal, dir, only string) error {
	if c.Bool("live") {
		if err := goesWithout(c, "live", "every"); err != nil {
			return err
		}
		return evalLive(c, t, dir, only)
	}
	if err := goesWith(c, "live", flagNames(modelOfSuite())...); err != nil {
		return err
	}
	return evalSafety(c, t, dir, only)
}

// liveHelp says what --live does.
const liveHelp = "With --live a real model takes the place of the scripted ones. Our own suite is run with the guard on: how well\n" +
	"requests and responses are labelled, how well the probabilities are calibrated, what was carried out. Of each recorded\n" +
	"suite --limit cases are drawn by the seed and run with the guard and without it; the calls up to the injected\n" +
	"text are made in the model's place. What an attacker achieved with the guard on is an error with --strict.\n\n"

// liveReport is what eval --live prints as JSON.
type liveReport struct {
	Model   string             `json:"model"`
	GGUF    string             `json:"gguf"`
	Build   string             `json:"build"`
	Notes   []string           `json:"notes,omitempty"`
	Seed    uint64             `json:"seed"`
	Splits  []eval.SplitReport `json:"splits"`
	Suites  *eval.LiveReport   `json:"recorded"`
	Attacks int                `json:"attacks_executed"`
}

// evalLive puts a real model into our own suite, and into those below dir or the one of
// them that only names.
func evalLive(c *cli.Context, t *terminal, dir, only string) error {
	if c.Int("limit") < 0 {
		return usage(errors.New("--limit cannot be negative"))
	}
	suites, err := readSuites(dir, only)
	if err != nil {
		return usage(err)
	}
	b, err := openEvalBench(c, t)
	if err != nil {
		return err
	}
	defer b.Close()
	rep := liveReport{Model: b.m.used.Name, GGUF: b.m.used.GGUF, Build: thisBuild().String(), Notes: b.notes(), Seed: c.Uint64("seed")}
	if only == "" {
		if rep.Splits, err = b.ownSuite(c, t); err != nil {
			return err
		}
	}
	p := newProgress(t, "running "+b.m.used.Name)
	rep.Suites, err = eval.Live(c.Context, liveSuites(suites, c.Int("limit"), c.Uint64("seed")), b.live,
		func(done, of int) { p.set(float32(done) / float32(of)) })
	p.done()
	if err != nil {
		return err
	}
	rep.Attacks = rep.Suites.Executed()
	for _, s := range rep.Splits {
		rep.Attacks += s.Harmed()
	}
	if err := rep.write(c, t); err != nil {
		return err
	}
	if rep.Attacks > 0 && c.Bool("strict") {
		return &failure{exitInternal, fmt.Errorf("safety: %d attacks executed", rep.Attacks), "see their runs with holdfast log show"}
	}
	return nil
}

// write prints the report and writes its page.
func (r liveReport) write(c *cli.Context, t *terminal) error {
	page := eval.Page(r.Model, r.Build, r.Splits)
	page.Lead += fmt.Sprintf(" Attacks executed with the guard on: %d.", r.Attacks)
	for _, n := range r.Notes {
		page.Text("Note: " + n + ".")
	}
	if len(r.Suites.Rows) > 0 {
		r.Suites.Add(page)
	}
	if err := writePage(c.String("html"), page); err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(t.out).Encode(r)
	}
	out := foldedTo(t, reportWidth)
	fmt.Fprintf(out, "model %s, SHA-256 %.12s, seed %d\n", inertLine(r.Model, 60), r.GGUF, r.Seed)
	for _, n := range r.Notes {
		fmt.Fprintf(out, "note: %s\n", n)
	}
	if len(r.Splits) > 0 {
		printModelReport(out, r.Splits, c.Int("failures"))
		fmt.Fprintf(out, "\nreliability of the labels\n%s", eval.ReliabilityText(r.Splits))
	}
	if len(r.Suites.Rows) > 0 {
		fmt.Fprintf(out, "\n%s", r.Suites)
	}
	fmt.Fprintf(out, "\nattacks executed with the guard on: %d\n", r.Attacks)
	return nil
}

// ownSuite measures the model on our own suite: with real tools and files where the
// built-in tools are enough, with recorded tools otherwise.
func (b *evalBench) ownSuite(c *cli.Context, t *terminal) ([]eval.SplitReport, error) {
	list, err := ours.Tasks(builtinTools)
	if err != nil {
		return nil, err
	}
	rest, err := ours.Rest(builtinTools)
	if err != nil {
		return nil, err
	}
	p, ran := newProgress(t, "measuring "+b.m.used.Name), 0
	defer p.done()
	splits := []eval.Split{{Name: "own suite, real tools", Tasks: list, Goals: eval.OwnGoals}}
	out, err := eval.Model(c.Context, splits, eval.ModelOptions{Seed: c.Uint64("seed"), Scratch: b.scratch,
		Done: func(_ eval.ModelRow, left int) {
			ran++
			p.set(float32(ran) / float32(ran+left+len(rest)))
		}}, b.run)
	if err != nil {
		return nil, err
	}
	var live []eval.LiveTask
	for _, r := range rest {
		live = append(live, eval.LiveTask{Task: r.Task, Case: r.Case, Lead: r.Lead})
	}
	other, err := eval.LiveSplit(c.Context, "own suite, recorded tools", live, eval.OwnGoals, c.Uint64("seed"), b.live)
	return append(out, other), err
}

// liveSuites draws the cases of each recorded suite.
func liveSuites(s scripted.Suites, limit int, seed uint64) []eval.LiveSuite {
	var out []eval.LiveSuite
	add := func(name string, guessed bool, cases []bench.Case) {
		if cases = drawn(cases, limit, seed); len(cases) > 0 {
			out = append(out, eval.LiveSuite{Name: name, Cases: cases, Guessed: guessed})
		}
	}
	if s.Injec != nil {
		add("InjecAgent base", !s.Injec.Annotated, s.Injec.Base)
		add("InjecAgent enhanced", !s.Injec.Annotated, s.Injec.Enhanced)
	}
	for _, d := range s.Dojo {
		add("AgentDojo "+d.Name+", attacked", !d.Annotated, d.Pairs)
		add("AgentDojo "+d.Name+", benign", !d.Annotated, d.Tasks)
	}
	return out
}

// drawn keeps so many cases, drawn by the seed, in their order.
func drawn(cases []bench.Case, limit int, seed uint64) []bench.Case {
	if limit == 0 || limit >= len(cases) {
		return cases
	}
	at := rand.New(rand.NewPCG(seed, 3)).Perm(len(cases))[:limit]
	slices.Sort(at)
	out := make([]bench.Case, len(at))
	for i, j := range at {
		out[i] = cases[j]
	}
	return out
}

// live makes one run with recorded tools.
func (b *evalBench) live(ctx context.Context, r *eval.Recording, guarded bool) (eval.Result, error) {
	gate, err := safety.New(safety.Options{Thresholds: b.judging().cuts, Adds: everyTool, Undoable: everyTool,
		Exists: func(p string) bool { return slices.Contains(r.Case.Files, p) }})
	if err != nil {
		return eval.Result{}, err
	}
	cfg := loop.Config{Judge: gate, Executor: r, Approver: r, Observe: r.See}
	name := "eval, tools are recordings"
	if !guarded {
		name, cfg.Judge = "eval without guard, tools are recordings", unguarded{}
	}
	return b.pretend(ctx, r.Case.ID, r.Case.Prompt, name, cfg, r.Model)
}

// pretend makes one run of which no tool does anything: cfg lacks its model and recorder.
// wrap puts something around the model.
func (b *evalBench) pretend(ctx context.Context, task, prompt, name string, cfg loop.Config, wrap func(agent.Generator) agent.Generator) (res eval.Result, err error) {
	done, err := b.sessions(&cfg)
	if err != nil {
		return res, err
	}
	defer done()
	rec, err := b.l.Begin(ctx, ledger.RunInfo{Task: task})
	if err != nil {
		return res, ledgerFailure(err)
	}
	defer rec.Close()
	seen, see := &witness{}, cfg.Observe
	cfg.Model, cfg.Recorder = wrap(cfg.Model), rec
	cfg.Observe = func(e agent.Event) {
		seen.see(e)
		if see != nil {
			see(e)
		}
	}
	out, err := loop.Run(ctx, cfg, loop.Task{Prompt: prompt, Model: b.m.used, Start: agent.RunStart{
		Agent: name, Build: thisBuild().String(), Warnings: b.m.notes}})
	if errors.Is(err, loop.ErrRecord) || ctx.Err() != nil {
		return res, err
	}
	res.Status, res.Answer, res.RunID = out.Status, out.Answer, rec.ID()
	res.Proposed, res.Request, res.Responses = seen.proposed, seen.request, seen.responses
	if err := errors.Join(err, seen.err); err != nil {
		res.Failure = err.Error()
	}
	return res, nil
}

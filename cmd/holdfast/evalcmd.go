package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

func evalCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "run suites of tasks and score them",
		Subcommands: []*cli.Command{{
			Name:  "examples",
			Usage: "run example tasks, expected against got",
			Description: "Each task runs in a scratch workspace, judged, sandboxed and recorded as any run. Beside it stands\n" +
				"what the model does without the guard: then every verdict allows, reads happen in the sandbox, and\n" +
				"calls with an effect are noted but not carried out.\n\n" +
				"Example:\n  holdfast eval examples --tasks examples/tasks.jsonl --seed 1",
			CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitSandbox, exitLedger, exitDigest, exitInterrupted),
			Flags: append(engineFlags(), ledgerFlag(), guardFlag(),
				&cli.StringFlag{Name: "tasks", Value: "examples/tasks.jsonl", Usage: "the task `FILE`"},
				&cli.IntFlag{Name: "need", Value: -1, Usage: "fail below this many right `TASKS`; -1 is all but three"},
				&cli.Uint64Flag{Name: "seed", Usage: "draws the same values again; 0 draws fresh ones"}),
			Action: func(c *cli.Context) error { return evalExamples(c, t) },
		}, evalModelCommand(t), evalSafetyCommand(t), evalSuiteCommand(t, "injecagent", "InjecAgent", true),
			evalSuiteCommand(t, "agentdojo", "AgentDojo", true), evalSuiteCommand(t, "bfcl", "BFCL", false), evalAgentSafetyCommand(t),
			evalCalibrateCommand(t)},
	}
}

func evalExamples(c *cli.Context, t *terminal) error {
	list, err := readTasks(c.String("tasks"), "the example tasks come with the source: name its file examples/tasks.jsonl, or one of your own, with --tasks FILE")
	if err != nil {
		return err
	}
	b, err := openEvalBench(c, t)
	if err != nil {
		return err
	}
	defer b.Close()

	seed := c.Uint64("seed")
	if seed == 0 {
		seed = 1 + rand.Uint64N(1<<31)
	}
	rep, err := eval.Examples(c.Context, list, seed, b.scratch, b.run, t.out)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, rep.Summary())
	need := c.Int("need")
	if need < 0 {
		need = max(1, len(list)-3)
	}
	if rep.Harm() > 0 || rep.Right() < need {
		return &failure{exitInternal, fmt.Errorf("examples: %d right, need %d; %d harmful effects", rep.Right(), need, rep.Harm()),
			fmt.Sprintf("repeat with --seed %d; the runs are in %s", seed, b.l.Path())}
	}
	return nil
}

// evalBench makes the runs of a suite on one loaded model, in workspaces below a scratch
// folder, recorded in one ledger.
type evalBench struct {
	l       *ledger.Ledger
	m       *loadedModel
	guard   *loadedModel // judges in the model's place; nil where it judges itself
	scratch string
}

// openEvalBench opens what the flags name, from cheap to dear.
func openEvalBench(c *cli.Context, t *terminal) (b *evalBench, err error) {
	b = &evalBench{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.scratch, err = os.MkdirTemp("", "holdfast-eval-"); err != nil {
		return b, fmt.Errorf("make scratch folder: %w", err)
	}
	if b.l, err = openLedger(c, c.String("ledger")); err != nil {
		return b, err
	}
	if b.m, err = loadModel(c, t); err != nil {
		return b, err
	}
	b.guard, err = loadGuard(c, t, b.m)
	return b, err
}

// judging is the model whose labels count.
func (b *evalBench) judging() *loadedModel {
	if b.guard != nil {
		return b.guard
	}
	return b.m
}

// judgedBy says whose labels count where they are not the model's own, "" where they are.
func (b *evalBench) judgedBy() string {
	if b.guard == nil {
		return ""
	}
	return fmt.Sprintf("judged by %s, SHA-256 %.12s", inertLine(b.guard.used.Name, 60), b.guard.used.GGUF)
}

// notes are what is to be known of a report: what the model's own labels are worth, and
// whose labels count instead.
func (b *evalBench) notes() []string {
	notes := slices.Clone(b.m.notes)
	if by := b.judgedBy(); by != "" {
		notes = append(notes, by)
	}
	return notes
}

// sessions puts the model of a run into its configuration, and the one that judges. What it
// opened is given back by done.
func (b *evalBench) sessions(cfg *loop.Config) (done func(), err error) {
	session, err := b.m.engine.NewSession()
	if err != nil {
		return nil, err
	}
	cfg.Model = session
	if b.guard == nil {
		return func() { session.Close() }, nil
	}
	guards, err := b.guard.engine.NewSession()
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	cfg.Guard = guards
	return func() { guards.Close(); session.Close() }, nil
}

// Close gives back what was opened.
func (b *evalBench) Close() error {
	var errs []error
	for _, m := range []*loadedModel{b.guard, b.m} {
		if m != nil {
			errs = append(errs, m.engine.Close())
		}
	}
	if b.l != nil {
		errs = append(errs, b.l.Close())
	}
	if b.scratch != "" {
		errs = append(errs, os.RemoveAll(b.scratch))
	}
	return errors.Join(errs...)
}

func (b *evalBench) run(ctx context.Context, c eval.Case) (res eval.Result, err error) {
	w, err := openWorkplace(ctx, c.Dir)
	if err != nil {
		return res, err
	}
	defer w.Close()
	gate, err := w.gate(b.judging())
	if err != nil {
		return res, err
	}
	rec, err := b.l.Begin(ctx, ledger.RunInfo{Task: c.Name})
	if err != nil {
		return res, ledgerFailure(err)
	}
	defer rec.Close()

	seen := &witness{}
	cfg := loop.Config{Judge: gate, Recorder: rec, Approver: fixed(c.Reply), Observe: seen.see,
		Executor: &noting{Executor: w.tools, calls: &res.Calls, dry: !c.Guarded}}
	done, err := b.sessions(&cfg)
	if err != nil {
		return res, err
	}
	defer done()
	name := "eval"
	if !c.Guarded {
		name, cfg.Judge = "eval without guard, effects noted only", unguarded{}
	}
	out, err := loop.Run(ctx, cfg, loop.Task{Prompt: c.Prompt, Model: b.m.used, Start: agent.RunStart{
		Agent: name, Build: thisBuild().String(), Warnings: b.m.notes,
	}})
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

// fixed answers every question the same way.
type fixed bool

// Ask implements loop.Approver.
func (s fixed) Ask(_ context.Context, q agent.Question) (agent.Answer, error) {
	a := agent.Answer{Who: "script", Via: "script", Shown: question(q)}
	if s {
		a.Choice = agent.ChoiceOnce
	}
	return a, nil
}

// noting notes the calls that run. When dry, calls with an effect do not: they are noted
// and the model is told that they are done.
type noting struct {
	loop.Executor
	calls *[]agent.ToolCall
	dry   bool
}

// Execute implements loop.Executor.
func (n *noting) Execute(ctx context.Context, p agent.Permit, c agent.ToolCall, j agent.Journal) (agent.Observation, error) {
	*n.calls = append(*n.calls, c)
	if !n.dry || !effectful(n.Specs(), c.Tool) {
		return n.Executor.Execute(ctx, p, c, j)
	}
	if err := p.Spend(c.Digest()); err != nil {
		return agent.Observation{}, err
	}
	if err := j.Start(ctx, agent.CallStart{}); err != nil {
		return agent.Observation{}, err
	}
	return agent.Observation{Status: agent.CallOK, Text: "(no output)"}, nil
}

func effectful(specs []agent.ToolSpec, tool string) bool {
	for _, s := range specs {
		if s.Name == tool {
			return s.Effect.Rank() > agent.Read.Rank()
		}
	}
	return true
}

// unguarded allows everything and grants nothing. It judges dry runs only.
type unguarded struct{}

var unguardedVerdict = agent.Verdict{Outcome: agent.Allow, Reason: "no guard"}

// Prompt implements loop.Judge.
func (unguarded) Prompt(context.Context, agent.Generator, agent.Conversation) (agent.Assessment, error) {
	return agent.Assessment{Verdict: unguardedVerdict}, nil
}

// Call implements loop.Judge.
func (unguarded) Call(context.Context, agent.Generator, agent.Conversation, agent.Proposal) (agent.Verdict, error) {
	return unguardedVerdict, nil
}

// Response implements loop.Judge.
func (unguarded) Response(_ context.Context, _ agent.Generator, _ agent.Conversation, o agent.Observation) (agent.Screening, error) {
	return agent.Screening{Verdict: unguardedVerdict, Text: o.Text}, nil
}

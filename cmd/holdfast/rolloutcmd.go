package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/dataset"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

func rolloutCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "rollout",
		Usage:     "run every task of a file many times, with rewards",
		ArgsUsage: "TASKS.jsonl",
		Description: "Each attempt is a run of its own: judged, sandboxed, recorded, in a fresh workspace that is dropped\n" +
			"after it. What the task file says of a task becomes labels and a score of the run, never seen by it.\n" +
			"Attempts at one task form a group with advantages; with -o the group is written as token rows.\n" +
			"The same command again goes on where it was cut short, and makes again what an error of the program or\n" +
			"of the model's server ended. Shards have ledgers of their own, which merge.\n\n" +
			"Examples:\n" +
			"  holdfast rollout -n 8 examples/tasks.jsonl\n" +
			"  holdfast rollout -n 16 --temp 0.8 --seed 3 -o batch examples/tasks.jsonl\n" +
			"  holdfast rollout -n 16 --shard 1/2 --ledger shard1/ledger.db examples/tasks.jsonl",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitSandbox, exitLedger, exitDigest, exitInterrupted),
		Flags: append(engineFlags(), ledgerFlag(), policyFlag(), reviewFlag(),
			&cli.IntFlag{Name: "samples", Aliases: []string{"n"}, Value: 4, Usage: "`ATTEMPTS` at each task"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draws the tasks' values and seeds every run"},
			&cli.Float64Flag{Name: "temp", Value: 1, Usage: "temperature of sampling"},
			&cli.IntFlag{Name: "parallel", Value: 1, Usage: "`RUNS` at a time"},
			&cli.StringFlag{Name: "shard", Usage: "only part `I/N` of the tasks"},
			&cli.IntFlag{Name: "max-steps", Usage: "turns of the model in a run", DefaultText: fmt.Sprint(loop.DefaultLimits.Steps)},
			&cli.IntFlag{Name: "max-tokens", Usage: "generated tokens of a run, reviews included", DefaultText: fmt.Sprint(loop.DefaultLimits.Tokens)},
			&cli.DurationFlag{Name: "max-time", Usage: "wall clock of a run", DefaultText: loop.DefaultLimits.Time.String()},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "also write the token rows of all groups to `DIR`"},
			&cli.StringFlag{Name: "logprobs", Value: dataset.LogprobsRaw, Usage: "of the rows: raw or sampled"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "no progress"}),
		Action: func(c *cli.Context) error { return rollout(c, t) },
	}
}

// rollout plans, runs what is left, and prints the rewards.
func rollout(c *cli.Context, t *terminal) error {
	list, o, limits, err := rolloutAsked(c)
	if err != nil {
		return err
	}
	rules, err := loadPolicies(placesOf(c, ""))
	if err != nil {
		return err
	}
	l, err := openLedger(c, c.String("ledger"))
	if err != nil {
		return err
	}
	defer l.Close()
	noGuard(c, t, "a model learns from labels of its own")
	m, err := loadModel(c, t)
	if err != nil {
		return err
	}
	defer m.engine.Close()

	o.Of = []string{m.used.GGUF, fmt.Sprintf("temp %g, %+v, rules %x", c.Float64("temp"), limits, rules.Digest())}
	if mode := c.String("review"); mode != "" && mode != reviewModes[0] {
		o.Of = append(o.Of, "review "+mode)
	}
	plan, err := eval.PlanRollout(list, o)
	if err != nil {
		return usage(err)
	}
	if len(plan.Jobs) == 0 {
		return usage(errors.New("--shard leaves no task to run"))
	}
	if err := checkVerifiers(plan); err != nil {
		return err
	}
	past, err := attemptsOf(c.Context, l, plan)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "holdfast-rollout-")
	if err != nil {
		return fmt.Errorf("make scratch folder: %w", err)
	}
	defer os.RemoveAll(scratch)
	if !c.Bool("quiet") {
		t.printf("%s: %s, %s\n", plan.Name, count(len(plan.Jobs), "run"), past)
	}
	b := &rolloutBench{l: l, m: m, rules: rules, limits: limits, temp: c.Float64("temp"), review: c.String("review"), again: past.again}
	if err := plan.Run(c.Context, past.done, c.Int("parallel"), scratch, b.run, rolloutProgress(c, t)); err != nil {
		return rolloutFailure(err)
	}
	return rewards(c, t, l, plan)
}

// rolloutAsked reads what the flags and the file of tasks ask for, before anything is opened.
func rolloutAsked(c *cli.Context) (list []tasks.Template, o eval.RolloutOptions, limits agent.Limits, err error) {
	if c.String("output") == "" {
		if err = goesWith(c, "output", "logprobs"); err != nil {
			return
		}
	}
	if limits, err = limitsOf(c); err != nil {
		return
	}
	if err = checkReview(c.String("review")); err != nil {
		return
	}
	if c.Args().Len() != 1 || c.Int("parallel") < 1 {
		err = usage(errors.New("name one file of tasks, and at least one run at a time"))
		return
	}
	if list, err = readTasks(c.Args().First(), usageHint); err != nil {
		return
	}
	o = eval.RolloutOptions{Samples: c.Int("samples"), Seed: c.Uint64("seed")}
	if o.Shard, o.Shards, err = shardOf(c.String("shard")); err == nil {
		err = o.Validate()
	}
	if err != nil {
		err = usage(err)
	}
	return
}

// rolloutFailure gives an error of a run its exit code.
func rolloutFailure(err error) error {
	var l *ledger.Error
	if errors.As(err, &l) {
		return ledgerFailure(err)
	}
	return err
}

func shardOf(s string) (i, n int, err error) {
	if s == "" {
		return 0, 0, nil
	}
	if k, err := fmt.Sscanf(s, "%d/%d", &i, &n); k != 2 || err != nil || s != fmt.Sprintf("%d/%d", i, n) || n < 1 {
		return 0, 0, fmt.Errorf("--shard %q is not I/N, such as 1/2", s)
	}
	return i, n, nil
}

// rolloutProgress shows how far the rollout is: on one line of a terminal, elsewhere now
// and then.
func rolloutProgress(c *cli.Context, t *terminal) func(eval.Progress) {
	if c.Bool("quiet") {
		return nil
	}
	var said time.Time
	return func(p eval.Progress) {
		line := fmt.Sprintf("%d of %d runs, %.1f a minute, %s left", p.Done, p.Total, p.Rate, p.Left.Round(time.Second))
		switch {
		case t.color:
			t.line(line)
			if p.Done == p.Total {
				t.printf("\n")
			}
		case p.Done == p.Total || time.Since(said) >= 10*time.Second:
			said = time.Now()
			t.printf("%s\n", line)
		}
	}
}

// rewards prints the table of the reward's parts and writes the rows, if asked to.
func rewards(c *cli.Context, t *terminal, l *ledger.Ledger, plan eval.Rollout) error {
	all, err := l.Runs(c.Context)
	if err != nil {
		return ledgerFailure(err)
	}
	counts := map[string]bool{}
	broke := 0
	for _, s := range newestAttempts(all, plan) {
		b, err := brokeDown(c.Context, l, s)
		if err != nil {
			return err
		}
		if b {
			broke++
		}
		counts[s.ID] = !b
	}
	var runs []dataset.Run
	var list []*dataset.Trajectory
	for _, s := range all {
		if !counts[s.ID] {
			continue
		}
		tr, err := dataset.Read(c.Context, l, runOf(s))
		if err != nil {
			return ledgerFailure(err)
		}
		runs, list = append(runs, runOf(s)), append(list, tr)
	}
	if len(list)+broke != len(plan.Jobs) {
		return fmt.Errorf("internal error: %d runs of %d are there", len(list)+broke, len(plan.Jobs))
	}
	if broke > 0 { // no attempts of the model: a batch with them would teach it something else
		return &failure{exitInternal, fmt.Errorf("%s of %d ended since something else than the model failed", count(broke, "run"), len(plan.Jobs)),
			"mend it, and run the same command again: it makes these again"}
	}
	o := dataset.RewardOptions{}
	fmt.Fprintf(t.out, "%s: %s, %s\n\n%s", plan.Name, count(len(list), "run"), o.Name(), dataset.Table(list, o))
	if c.String("output") == "" {
		return nil
	}
	return writeBatch(c, t, l, runs)
}

// writeBatch writes the groups as token rows, as JSON lines and as Parquet.
func writeBatch(c *cli.Context, t *terminal, l *ledger.Ledger, runs []dataset.Run) error {
	answers, err := verified(c.Context, l)
	if err != nil {
		return err
	}
	about := dataset.About{Command: "holdfast " + strings.Join(os.Args[1:], " "), Build: thisBuild().String(),
		Ledger: l.ID(), Verify: answers, At: runs[len(runs)-1].At}
	for _, sub := range []struct {
		dir     string
		parquet bool
	}{{"jsonl", false}, {"parquet", true}} {
		red, err := dataset.NewRedactor(nil)
		if err != nil {
			return err
		}
		dir := c.String("output") + "/" + sub.dir
		o := dataset.Options{Format: "tokens", Logprobs: c.String("logprobs"), Parquet: sub.parquet}
		card, left, err := dataset.Export(c.Context, l, runs, o, red, about, dir)
		if err != nil {
			return usage(err)
		}
		if err := noteExport(c.Context, l, left, o.Format, card); err != nil {
			return err
		}
		if err := printSet(t, card, dir); err != nil {
			return err
		}
	}
	return nil
}

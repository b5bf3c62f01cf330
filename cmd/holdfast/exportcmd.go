package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/dataset"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func exportCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "write recorded runs as training data",
		ArgsUsage: "[RUN...]",
		Description: "Writes the runs named, or all, with a card.json and a README.md that say what was left out and why.\n" +
			"The ledger is verified first. Runs recorded with train false never leave, nor do runs that did not end.\n" +
			"Secrets of known shapes are replaced; token rows that hold one are dropped.\n\n" +
			"Examples:\n" +
			"  holdfast export --format atif -o out 0192f3\n" +
			"  holdfast export --format tokens --logprobs raw --parquet --group rollout-1 -o batch\n" +
			"  holdfast export --format trl-dpo --margin 0.25 -o pairs\n" +
			"  holdfast export --format trl-sft --where 'has(reward.total) && reward.total == 1.0' -o good\n" +
			"  holdfast export --check batch\n\n" + aboutWhere,
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitLedger, exitDigest),
		Flags: []cli.Flag{
			ledgerFlag(),
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: "the `FORMAT`: " + strings.Join(dataset.Formats, ", ")},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the `DIR` to write to"},
			&cli.BoolFlag{Name: "pairs", Usage: "openai: preference pairs"},
			&cli.StringFlag{Name: "shape", Usage: "trl-sft: turns for one row a turn"},
			&cli.StringFlag{Name: "role", Usage: "tokens: review for the judge's own generations"},
			&cli.StringFlag{Name: "layout", Usage: "tokens: verl or prime"},
			&cli.StringFlag{Name: "logprobs", Usage: "tokens: raw (temperature 1, whole vocabulary) or sampled (as drawn)"},
			&cli.BoolFlag{Name: "sft", Usage: "tokens: for supervised training"},
			&cli.IntFlag{Name: "realign", Value: dataset.DefaultRealign, Usage: "tokens: cut back fewer than `TOKENS` to continue a row"},
			&cli.BoolFlag{Name: "parquet", Usage: "tokens: as Parquet"},
			&cli.BoolFlag{Name: "thoughts", Usage: "chat formats: write thoughts as reasoning_content"},
			&cli.BoolFlag{Name: "tools-string", Usage: "trl formats: write tools as JSON text, for readers that give a column one type"},
			&cli.BoolFlag{Name: "bare", Usage: "without the x_ members"},
			&cli.Float64Flag{Name: "lambda", Value: 1, Usage: "weight of the verifier within the reward"},
			&cli.BoolFlag{Name: "continue", Usage: "the reward asa-continue/1: going on past a malicious response is right too"},
			&cli.StringFlag{Name: "verifier", Value: "task", Usage: "the `NAME` of the verifier's score"},
			&cli.Float64Flag{Name: "margin", Value: 0.5, Usage: "pairs: least gap of the reward"},
			&cli.IntFlag{Name: "per-prompt", Value: 4, Usage: "pairs: most of one prompt"},
			&cli.BoolFlag{Name: "cross-model", Usage: "pairs: also between models"},
			&cli.StringFlag{Name: "split", Value: "90,5,5", Usage: "train, validation and test in hundredths"},
			&cli.Uint64Flag{Name: "split-seed", Usage: "divides the tasks otherwise"},
			&cli.StringFlag{Name: "redact", Usage: "further patterns: a `FILE` of lines KIND EXPRESSION"},
			&cli.StringFlag{Name: "group", Usage: "only runs whose group begins with `NAME`"},
			&cli.StringFlag{Name: "task", Usage: "only runs of the task `ID`"},
			&cli.StringFlag{Name: "status", Usage: "only runs that ended `SO`, with commas between"},
			whereFlag(),
			&cli.StringFlag{Name: "check", Usage: "write nothing: read the set in `DIR` and hold it to its card and its format"},
		},
		Action: func(c *cli.Context) error { return exportRuns(c, t) },
	}
}

func exportRuns(c *cli.Context, t *terminal) error {
	if dir := c.String("check"); dir != "" {
		if c.Args().Present() {
			return usage(errors.New("name runs to export, or a set to --check"))
		}
		others := slices.DeleteFunc(flagNames(c.Command.Flags), func(n string) bool { return n == "check" })
		if err := goesWithout(c, "check", others...); err != nil {
			return err
		}
		return checkSet(t, dir)
	}
	o, err := exportOptions(c)
	if err != nil {
		return usage(err)
	}
	red, err := redactorOf(c.String("redact"))
	if err != nil {
		return usage(err)
	}
	l, err := writeLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	answers, err := verified(c.Context, l)
	if err != nil {
		return err
	}
	runs, newest, err := chosenRuns(c, l, o.Reward)
	if err != nil {
		return err
	}
	about := dataset.About{Command: "holdfast " + strings.Join(os.Args[1:], " "), Build: thisBuild().String(),
		Ledger: l.ID(), Verify: answers, At: newest}
	card, left, err := dataset.Export(c.Context, l, runs, o, red, about, c.String("output"))
	if err != nil {
		var e *dataset.Error
		if errors.As(err, &e) && e.Hint != "" {
			return &failure{exitUsage, err, e.Hint}
		}
		return err
	}
	if err := noteExport(c.Context, l, left, o.Format, card); err != nil {
		return err
	}
	return printSet(t, card, c.String("output"))
}

// printSet says what was written where, and what was left out and why.
func printSet(t *terminal, card *dataset.Card, dir string) error {
	fmt.Fprintf(t.out, "%s of %d of %s in %s\n", count(card.Rows, "row"), card.RunsOut, count(card.Runs, "run"), dir)
	for _, why := range slices.Sorted(maps.Keys(card.Lost)) {
		fmt.Fprintf(t.out, "left out: %d: %s\n", card.Lost[why], why)
	}
	return t.out.err
}

// checkSet reads a set that was exported, with decoders that know nothing of its writer.
func checkSet(t *terminal, dir string) error {
	c, err := dataset.Check(dir)
	if errors.Is(err, dataset.ErrContract) {
		return &failure{exitDigest, err, "export it again"}
	}
	if err != nil {
		return &failure{exitUsage, err, "name the folder that holdfast export -o wrote"}
	}
	fmt.Fprintf(t.out, "%s: %s in %s", c.Format, count(c.Rows, "row"), count(c.Files, "file"))
	if c.Tokens > 0 {
		fmt.Fprintf(t.out, ", %s to train on, arrays of one length", count(c.Tokens, "token"))
	}
	fmt.Fprintln(t.out, ": as the card and the format say")
	return nil
}

func exportOptions(c *cli.Context) (dataset.Options, error) {
	o := dataset.Options{
		Format: c.String("format"), Pairs: c.Bool("pairs"), Shape: c.String("shape"), Role: c.String("role"),
		Layout: c.String("layout"), Logprobs: c.String("logprobs"), Imitate: c.Bool("sft"), Realign: c.Int("realign"),
		Thoughts: c.Bool("thoughts"), Bare: c.Bool("bare"), ToolsText: c.Bool("tools-string"), Parquet: c.Bool("parquet"),
		Reward: dataset.RewardOptions{Lambda: c.Float64("lambda"), Verifier: c.String("verifier"), Continue: c.Bool("continue")},
		Pair:   dataset.PairOptions{Margin: c.Float64("margin"), PerPrompt: c.Int("per-prompt"), CrossModel: c.Bool("cross-model")},
		Splits: dataset.Splits{Seed: c.Uint64("split-seed")},
	}
	for _, name := range []string{"lambda", "margin"} { // whose zero stands for the usual one
		if v := c.Float64(name); !(v > 0) || math.IsInf(v, 1) {
			return o, fmt.Errorf("--%s is a number above 0", name)
		}
	}
	for _, name := range []string{"per-prompt", "realign"} {
		if c.Int(name) < 1 {
			return o, fmt.Errorf("--%s is at least 1", name)
		}
	}
	s := &o.Splits
	n, err := fmt.Sscanf(c.String("split"), "%d,%d,%d", &s.Train, &s.Validation, &s.Test)
	if n != 3 || err != nil || fmt.Sprintf("%d,%d,%d", s.Train, s.Validation, s.Test) != c.String("split") {
		return o, fmt.Errorf("--split %q is not three numbers with commas between", c.String("split"))
	}
	if c.String("format") == "" {
		return o, fmt.Errorf("no --format; one of %s", strings.Join(dataset.Formats, ", "))
	}
	if c.String("output") == "" {
		return o, errors.New("no folder to write to; give -o DIR")
	}
	return o, o.Validate()
}

func redactorOf(path string) (*dataset.Redactor, error) {
	if path == "" {
		return dataset.NewRedactor(nil)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open patterns: %w", err)
	}
	defer f.Close()
	return dataset.NewRedactor(f)
}

// verified checks the ledger and returns its three answers.
func verified(ctx context.Context, l *ledger.Ledger) ([]string, error) {
	r, err := l.Verify(ctx)
	if err != nil {
		return nil, ledgerFailure(err)
	}
	answers := strings.Split(strings.TrimSpace(r.String()), "\n")
	if !r.OK() {
		return nil, &failure{exitLedger, fmt.Errorf("verify ledger: %s", strings.Join(answers[:min(2, len(answers))], "; ")), "nothing is exported from a ledger that is damaged; see holdfast log verify"}
	}
	return answers, nil
}

// chosenRuns lists the runs to be exported, oldest first, and when the newest began.
func chosenRuns(c *cli.Context, l *ledger.Ledger, r dataset.RewardOptions) ([]dataset.Run, time.Time, error) {
	var newest time.Time
	where, err := whereOf(c, r)
	if err != nil {
		return nil, newest, err
	}
	all, err := l.Runs(c.Context)
	if err != nil {
		return nil, newest, ledgerFailure(err)
	}
	named, err := findRuns(c, l, c.Args().Slice())
	if err != nil {
		return nil, newest, err
	}
	var out []dataset.Run
	replaced := replacedRuns(all)
	for _, s := range all {
		switch {
		case named != nil && !slices.Contains(named, s.ID),
			!strings.HasPrefix(s.Info.Group, c.String("group")),
			c.String("task") != "" && s.Info.Task != c.String("task"),
			c.String("status") != "" && !slices.Contains(strings.Split(c.String("status"), ","), string(s.Status)):
			continue
		}
		run := runOf(s)
		run.Replaced = named == nil && replaced[s.ID] // who names a run means it
		out = append(out, run)
	}
	if out, err = chosen(c, l, where, out); err != nil {
		return nil, newest, err
	}
	for _, r := range out {
		if r.At.After(newest) {
			newest = r.At
		}
	}
	if len(out) == 0 {
		return nil, newest, &failure{exitUsage, errors.New("no run to export"), "see holdfast log ls"}
	}
	return out, newest, nil
}

// replacedRuns are the runs of a ledger in whose place others were made, also where only the
// ones replaced are asked for, such as those that ended in an error.
func replacedRuns(all []ledger.Summary) map[string]bool {
	var runs []dataset.Run
	counts := map[string]bool{}
	for _, s := range all {
		runs = append(runs, runOf(s))
		counts[s.ID] = s.Status != "" && s.Status != agent.StatusStopped
	}
	return dataset.Replaced(runs, func(id string) bool { return counts[id] })
}

// runOf describes a run of the ledger to the dataset.
func runOf(s ledger.Summary) dataset.Run {
	return dataset.Run{ID: s.ID, Parent: s.Info.Parent, ParentSeq: s.Info.ParentSeq, Relation: string(s.Info.Relation),
		Thread: s.Info.Thread, Task: s.Info.Task, Group: s.Info.Group, Sample: s.Info.Sample, At: s.At}
}

// noteExport records on every run that left that it did. A run merged from another
// ledger goes on only there, so it gets no note.
func noteExport(ctx context.Context, l *ledger.Ledger, runs []string, format string, card *dataset.Card) error {
	digest := card.Digest()
	for _, id := range runs {
		r, err := l.Amend(ctx, id)
		if errors.Is(err, ledger.ErrRefused) { // it has ended, so it is another ledger's
			continue
		}
		if err != nil {
			return ledgerFailure(err)
		}
		_, err = r.Append(ctx, agent.Event{Body: &agent.Exported{Name: "sha256:" + digest, Format: format}})
		if err = errors.Join(err, r.Close()); err != nil {
			return ledgerFailure(err)
		}
	}
	return nil
}

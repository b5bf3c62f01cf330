package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/eval/ours"
	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/tools"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// modelSplits are the splits of the model suite.
var modelSplits = []struct {
	flag, name, file string
	goals            map[string]eval.Goal
}{
	{"slots", "new values", "eval/slots.jsonl", eval.SlotGoals},
	{"phr", "new phrasing", "eval/phr.jsonl", eval.PhraseGoals},
	{"hand", "hand-written", "hand/requests.jsonl", eval.HandGoals},
	{"own", "own safety suite", "", eval.OwnGoals},
}

// builtinTools are the tools that a model is measured with.
var builtinTools = []string{toolbox.CalculatorTool, toolbox.ListFiles, toolbox.ReadFile, tools.RunCommand, toolbox.SearchText, toolbox.WriteFile}

func evalModelCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "model",
		Usage: "measure a model in the loop, against the goals of the reference model",
		Description: "Each task is a run of its own: greedy, under the grammar, judged, sandboxed and recorded. The splits are\n" +
			"slots (values never trained), phr (values and phrasing never trained), hand (written by hand) and own (the\n" +
			"safety suite that comes with holdfast). Beside each value stand its counts and the goal. A goal missed is not an error of the command.\n\n" +
			"The calibration error is the expected one over 15 bins of equal width, of the likeliest label of each\n" +
			"request and screened response; its counts are the labels that are right.\n\n" +
			"Examples:\n  holdfast eval model\n  holdfast eval model --limit 20 --failures 5\n" +
			"  holdfast eval model -m model.gguf --split hand --json\n  holdfast eval model --split own --html report.html",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitSandbox, exitLedger, exitDigest, exitInterrupted),
		Flags: append(engineFlags(), ledgerFlag(), guardFlag(),
			&cli.StringFlag{Name: "recipe", Value: "models/recipe", Usage: "the `DIR` with the tasks of the splits"},
			&cli.StringFlag{Name: "split", Value: "slots,phr,hand", Usage: "the `SPLITS` to run, with commas between"},
			&cli.IntFlag{Name: "limit", Usage: "run `TASKS` of each split, drawn by the seed; 0 is all"},
			&cli.IntFlag{Name: "failures", Usage: "print so many `TASKS` of each split that failed"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draws the values of tasks that have slots"},
			&cli.StringFlag{Name: "html", Usage: "write a report with a reliability plot to `FILE`"},
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object, with every failed task"}),
		Action: func(c *cli.Context) error { return evalModel(c, t) },
	}
}

func evalModel(c *cli.Context, t *terminal) error {
	splits, err := readSplits(c.String("recipe"), c.String("split"))
	if err != nil {
		return err
	}
	if c.Int("limit") < 0 || c.Int("failures") < 0 {
		return usage(errors.New("--limit and --failures cannot be negative"))
	}
	b, err := openEvalBench(c, t)
	if err != nil {
		return err
	}
	defer b.Close()

	m, began := b.m, time.Now()
	reports, err := b.measure(c, t, splits, "measuring ")
	if err != nil {
		return err
	}
	ran := 0
	for _, r := range reports {
		ran += len(r.Rows)
	}
	page := eval.Page(m.used.Name, thisBuild().String(), reports)
	for _, n := range b.notes() {
		page.Text("Note: " + n + ".")
	}
	if err := writePage(c.String("html"), page); err != nil {
		return err
	}
	if c.Bool("json") {
		return printModelJSON(t, b, c.Uint64("seed"), reports)
	}
	fmt.Fprintf(t.out, "model %s, SHA-256 %.12s, seed %d, %s in %s\n", inertLine(m.used.Name, 60), m.used.GGUF, c.Uint64("seed"), count(ran, "task"),
		time.Since(began).Round(time.Second))
	for _, n := range b.notes() {
		fmt.Fprintf(t.out, "note: %s\n", n)
	}
	printModelReport(foldedTo(t, reportWidth), reports, c.Int("failures"))
	return nil
}

// measure runs the tasks of splits with the flags seed and limit, showing how far it is.
func (b *evalBench) measure(c *cli.Context, t *terminal, splits []eval.Split, doing string) ([]eval.SplitReport, error) {
	p, ran := newProgress(t, doing+b.m.used.Name), 0
	defer p.done()
	return eval.Model(c.Context, splits, eval.ModelOptions{Seed: c.Uint64("seed"), Limit: c.Int("limit"), Scratch: b.scratch,
		Done: func(_ eval.ModelRow, left int) {
			ran++
			p.set(float32(ran) / float32(ran+left))
		}}, b.run)
}

// readSplits reads the task files of the splits that a list names.
func readSplits(dir, list string) ([]eval.Split, error) {
	var names []string
	for _, s := range modelSplits {
		names = append(names, s.flag)
	}
	asked := strings.Split(list, ",")
	for _, a := range asked {
		if !slices.Contains(names, a) {
			return nil, usage(fmt.Errorf("--split %q is not one of %s", a, strings.Join(names, ", ")))
		}
	}
	var splits []eval.Split
	for _, s := range modelSplits {
		if !slices.Contains(asked, s.flag) {
			continue
		}
		var list []tasks.Template
		var err error
		if s.file == "" {
			list, err = ours.Tasks(builtinTools)
		} else {
			list, err = readTasks(filepath.Join(dir, s.file), "the tasks come with the source: name its folder models/recipe with --recipe DIR, or --split own, which is built in")
		}
		if err != nil {
			return nil, err
		}
		splits = append(splits, eval.Split{Name: s.name, Tasks: list, Goals: s.goals})
	}
	return splits, nil
}

// readTasks reads a file of tasks that a flag or an argument names.
func readTasks(path, hint string) ([]tasks.Template, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("open tasks: %w", err), hint}
	}
	defer f.Close()
	list, err := tasks.Read(f)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", inertLine(path, 200), err))
	}
	return list, nil
}

// worstKinds is how many failing kinds of a split are printed.
const worstKinds = 8

func printModelReport(out *output, reports []eval.SplitReport, failures int) {
	fmt.Fprintln(out)
	fmt.Fprint(out, eval.Table(reports))
	for _, r := range reports {
		failed := r.Failed()
		fmt.Fprintf(out, "\n%s: %d of %s with a fault\n", r.Name, len(failed), count(len(r.Rows), "task"))
		worst := r.Worst()
		for _, k := range worst[:min(len(worst), worstKinds)] {
			fmt.Fprintln(out, "  "+k.String())
		}
		for _, row := range failed[:min(len(failed), failures)] {
			fmt.Fprintln(out, "- "+inert(row.String()))
		}
	}
}

func printModelJSON(t *terminal, b *evalBench, seed uint64, reports []eval.SplitReport) error {
	return json.NewEncoder(t.out).Encode(struct {
		Model  string             `json:"model"`
		GGUF   string             `json:"gguf"`
		Build  string             `json:"build"`
		Notes  []string           `json:"notes,omitempty"`
		Seed   uint64             `json:"seed"`
		Splits []eval.SplitReport `json:"splits"`
	}{b.m.used.Name, b.m.used.GGUF, thisBuild().String(), b.notes(), seed, reports})
}

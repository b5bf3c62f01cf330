package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/eval/chart"
)

func evalCalibrateCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "calibrate",
		Usage: "find the thresholds at which a model's labels cost least",
		Description: "The tasks of a split are run as eval model runs them. From the probabilities of the labels of requests and\n" +
			"responses, and what they should be, the temperature is found at which the labels are likeliest, then the\n" +
			"thresholds that cost least: letting harm through costs more than asking. What that is worth is measured on\n" +
			"texts that a fit has not seen: five times, fitted to four fifths of the tasks. Nothing is changed, unless\n" +
			"--save keeps it for this very model on this machine.\n\n" +
			"Examples:\n  holdfast eval calibrate\n  holdfast eval calibrate -m model.gguf --split own,hand --html report.html\n  holdfast eval calibrate -m model.gguf --save",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitSandbox, exitLedger, exitDigest, exitInterrupted),
		Flags: append(engineFlags(), ledgerFlag(),
			&cli.StringFlag{Name: "recipe", Value: "models/recipe", Usage: "the `DIR` with the tasks of the splits"},
			&cli.StringFlag{Name: "split", Value: "own", Usage: "the `SPLITS` to run, with commas between"},
			&cli.IntFlag{Name: "limit", Usage: "run `TASKS` of each split, drawn by the seed; 0 is all"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draws the values of tasks that have slots"},
			&cli.StringFlag{Name: "html", Usage: "write a report with a reliability plot to `FILE`"},
			&cli.BoolFlag{Name: "save", Usage: "use what was found in runs with this model"},
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object"}),
		Action: func(c *cli.Context) error { return evalCalibrate(c, t) },
	}
}

func evalCalibrate(c *cli.Context, t *terminal) error {
	splits, err := readSplits(c.String("recipe"), c.String("split"))
	if err != nil {
		return err
	}
	if c.Int("limit") < 0 {
		return usage(errors.New("--limit cannot be negative"))
	}
	noGuard(c, t, "it is the model's own labels that are calibrated")
	b, err := openEvalBench(c, t)
	if err != nil {
		return err
	}
	defer b.Close()
	now := eval.Fitted{Temp: max(b.m.cuts.Temp, 0), Thresholds: eval.Thresholds{Refuse: b.m.cuts.Prompt.Refuse, Ask: b.m.cuts.Prompt.Ask}}
	b.m.cuts.Temp = 0 // the probabilities as the model gives them
	reports, err := b.measure(c, t, splits, "calibrating ")
	if err != nil {
		return err
	}
	groups := eval.Groups(reports)
	var all []eval.Labelled
	for _, g := range groups {
		all = append(all, g...)
	}
	best, ok := eval.Fit(all)
	held, enough := eval.HeldOut(groups, calibrationFolds)
	if !ok || !enough {
		return &failure{exitInternal, errors.New("calibrate: a label has too few texts with known probabilities"), "run more tasks"}
	}
	rep := calibrationReport{Model: b.m.used.Name, GGUF: b.m.used.GGUF, Folds: calibrationFolds, Now: now, NowQuality: now.Quality(all),
		Fitted: best, FittedQuality: best.Quality(all), HeldOut: held}
	if err := writePage(c.String("html"), rep.page(thisBuild().String())); err != nil {
		return err
	}
	if c.Bool("save") {
		if err := saveCalibration(b.m.used.GGUF, best, rep.HeldOut.Texts); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return json.NewEncoder(t.out).Encode(rep)
	}
	fmt.Fprint(t.out, rep.text())
	if c.Bool("save") {
		fmt.Fprintf(t.out, "saved in %s: runs with this very model use it\n", calibrations())
	}
	return nil
}

// calibrationFolds is how many parts the texts are cut into for the held-out measurement.
const calibrationFolds = 5

// calibrationReport is what eval calibrate found.
type calibrationReport struct {
	Model         string       `json:"model"`
	GGUF          string       `json:"gguf"`
	Now           eval.Fitted  `json:"now"`
	NowQuality    eval.Quality `json:"now_quality"`
	Fitted        eval.Fitted  `json:"fitted"`
	FittedQuality eval.Quality `json:"fitted_quality"` // on the texts that it was fitted to
	HeldOut       eval.Quality `json:"held_out"`       // on texts that a fit had not seen
	Folds         int          `json:"folds"`
}

func (r calibrationReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "model %s, SHA-256 %.12s, %d labelled texts, %d of them labelled right\n\n", inertLine(r.Model, 60), r.GGUF, r.NowQuality.Texts, r.NowQuality.Right)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ttemperature\trefuse\task\tcalibration error\tlog loss\tmean cost")
	line := func(name, temp, refuse, ask string, q eval.Quality) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.3f\t%.3f\t%.3f\n", name, temp, refuse, ask, q.Error, q.LogLoss, q.Cost)
	}
	digits := func(v float64) string { return fmt.Sprintf("%.2f", v) }
	line("now", digits(cmp.Or(r.Now.Temp, 1)), digits(r.Now.Thresholds.Refuse), digits(r.Now.Thresholds.Ask), r.NowQuality)
	line("fitted", digits(r.Fitted.Temp), digits(r.Fitted.Thresholds.Refuse), digits(r.Fitted.Thresholds.Ask), r.FittedQuality)
	line(fmt.Sprintf("held out, %d folds", r.Folds), "of each fold", "", "", r.HeldOut)
	w.Flush()
	fmt.Fprintf(&b, "\nfor a model's file: holdfast.thresholds %q\n", encodeThresholds(r.Fitted))
	return b.String()
}

// page is the report with a reliability plot of what is and of what a fit makes of texts
// that it has not seen.
func (r calibrationReport) page(build string) *chart.Page {
	p := &chart.Page{Title: "Calibration of the labels", Lead: fmt.Sprintf("Model %s, build %s.", r.Model, build)}
	p.Pre("Found", r.text())
	for _, x := range []struct {
		title string
		q     eval.Quality
	}{{"As it is now", r.NowQuality}, {"Held out: texts that the fit had not seen", r.HeldOut}} {
		var bins []chart.Bin
		for _, b := range x.q.Bins {
			bins = append(bins, chart.Bin{Sure: b.Sure, Right: b.Right, N: b.N})
		}
		p.Reliability(x.title, bins)
	}
	return p
}

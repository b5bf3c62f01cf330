package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/dataset"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func logCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "log",
		Usage: "read, verify, sign, merge, rotate and redact the ledger",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the runs, oldest first",
				Description: "Examples:\n  holdfast log ls\n  holdfast log ls --where 'status == \"denied\" || human'\n" +
					"  holdfast log ls --where '\"run_command\" in tools && started > now - duration(\"24h\")'\n\n" + aboutWhere,
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
				Flags:              []cli.Flag{ledgerFlag(), jsonFlag(), whereFlag()},
				Action:             func(c *cli.Context) error { return logList(c, t) },
			},
			{
				Name: "show", Usage: "show what happened in a run", ArgsUsage: "[RUN]",
				Description: "RUN is a run's identifier or a unique prefix of it; the newest run if not given.\n\n" +
					"--html writes one page with everything: the timeline, tokens with their probabilities, verdicts, where\n" +
					"arguments came from. It holds no script and loads nothing. Tokens are spelled by the model of the run,\n" +
					"if it is at hand.\n\n" +
					"Examples:\n  holdfast log show\n  holdfast log show --json 0192f3\n  holdfast log show --html run.html 0192f3",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
				Flags: []cli.Flag{ledgerFlag(), jsonFlag(), modelFlag(),
					&cli.StringFlag{Name: "html", Usage: "write a page to `FILE`, - for standard output"}},
				Action: func(c *cli.Context) error { return logShow(c, t) },
			},
			logTailCommand(t), logGrepCommand(t), logVerifyCommand(t), logSignCommand(t), logMergeCommand(t), logRotateCommand(t), logRedactCommand(t),
		},
	}
}

func logList(c *cli.Context, t *terminal) error {
	where, err := whereOf(c, dataset.RewardOptions{})
	if err != nil {
		return err
	}
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	runs, err := l.Runs(c.Context)
	if err != nil {
		return ledgerFailure(err)
	}
	if runs, err = summariesWhere(c, l, where, runs); err != nil {
		return err
	}
	if c.Bool("json") {
		enc := json.NewEncoder(t.out)
		for _, r := range runs {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	digits, task := listColumns(widthOf(t.out.w))
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "RUN\tBEGAN\tEVENTS\tSTATE\tTASK\n")
	for _, r := range runs {
		state, err := stateOf(c.Context, l, r)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%.*s\t%s\t%d\t%s\t%s\n", digits, r.ID, r.At.Local().Format(time.DateTime), r.Events, state, task(r.Prompt))
	}
	return w.Flush()
}

// listColumns is how many digits of a run's identifier a list shows, and how it shows the
// task. On a narrow terminal that is the beginning of both: a beginning names a run too.
func listColumns(width int) (digits int, task func(string) string) {
	const whole, others = 32, len("2006-01-02 15:04:05  EVENTS  suspended  ") + 2
	if width == 0 || width >= whole+others+60 {
		return whole, func(s string) string { return inertLine(s, 60) }
	}
	digits = whole / 2
	room := max(width-digits-others, 10)
	return digits, func(s string) string {
		r := []rune(inertLine(s, 400))
		if len(r) > room {
			r = append(r[:room-1], '…')
		}
		return string(r)
	}
}

// stateOf is the word for how a run stands: how it ended, or why it does not go on. One
// whose question was answered waits to be resumed, which is not to have crashed.
func stateOf(ctx context.Context, l *ledger.Ledger, r ledger.Summary) (string, error) {
	if r.Status != "" {
		return inertLine(string(r.Status), 20), nil // the file may be another's
	}
	if r.State != ledger.Crashed || r.Events == 0 {
		return string(r.State), nil
	}
	for e, err := range l.EventsAfter(ctx, r.ID, r.Events-1) {
		if err != nil {
			return "", ledgerFailure(err)
		}
		if e.Body.Kind() == "answer" {
			return "answered", nil
		}
	}
	return string(r.State), nil
}

// summariesWhere lists the runs for which an expression holds, all without one.
func summariesWhere(c *cli.Context, l *ledger.Ledger, w *dataset.Where, all []ledger.Summary) ([]ledger.Summary, error) {
	if w == nil {
		return all, nil
	}
	list := make([]dataset.Run, len(all))
	for i, s := range all {
		list[i] = runOf(s)
	}
	some, err := chosen(c, l, w, list)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s ledger.Summary) bool {
		return !slices.ContainsFunc(some, func(r dataset.Run) bool { return r.ID == s.ID })
	}), nil
}

func logShow(c *cli.Context, t *terminal) error {
	if c.String("html") != "" {
		if err := goesWithout(c, "html", "json"); err != nil {
			return err
		}
	} else if err := goesWith(c, "html", "model"); err != nil {
		return err
	}
	l, id, err := readRun(c)
	if err != nil {
		return err
	}
	defer l.Close()
	if c.String("html") != "" {
		return showHTML(c, t, l, id)
	}
	show := eventPrinter(c, t, id)
	if !c.Bool("json") {
		fmt.Fprintf(t.out, "run %s\n", id)
	}
	for e, err := range l.Events(c.Context, id) {
		if err != nil {
			return ledgerFailure(err)
		}
		if err := show(e); err != nil {
			return err
		}
	}
	return nil
}

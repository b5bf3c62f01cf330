package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func logCommand(t *terminal) *cli.Command {
	asJSON := &cli.BoolFlag{Name: "json", Usage: "as JSON lines"}
	return &cli.Command{
		Name:  "log",
		Usage: "read and verify the ledger",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the runs, oldest first",
				Description:        "Example:\n  holdfast log ls",
				CustomHelpTemplate: helpWithExits(exitDone, exitLedger),
				Flags:              []cli.Flag{ledgerFlag(), asJSON},
				Action:             func(c *cli.Context) error { return logList(c, t) },
			},
			{
				Name: "show", Usage: "show what happened in a run", ArgsUsage: "[RUN]",
				Description: "RUN is a run's identifier or a unique prefix of it; the newest run if not given.\n\n" +
					"Examples:\n  holdfast log show\n  holdfast log show --json 0192f3",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
				Flags:              []cli.Flag{ledgerFlag(), asJSON},
				Action:             func(c *cli.Context) error { return logShow(c, t) },
			},
			{
				Name: "verify", Usage: "check that nothing in the ledger was changed or lost",
				Description: "Integrity: every hash, link and blob. Completeness: every run up to where the chain of heads\n" +
					"says it reached. Anchored: whether a copy of a head is kept elsewhere.\n\n" +
					"Example:\n  holdfast log verify",
				CustomHelpTemplate: helpWithExits(exitDone, exitLedger),
				Flags:              []cli.Flag{ledgerFlag()},
				Action:             func(c *cli.Context) error { return logVerify(c, t) },
			},
		},
	}
}

// readLedger opens the ledger for reading only.
func readLedger(c *cli.Context) (*ledger.Ledger, error) {
	path := c.String("ledger")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, &failure{exitLedger, fmt.Errorf("open ledger: %s does not exist", path), "nothing has been recorded yet, or give it with --ledger FILE"}
	}
	l, err := ledger.Open(c.Context, path, ledger.Options{ReadOnly: true})
	if err != nil {
		return nil, ledgerFailure(err)
	}
	return l, nil
}

func logList(c *cli.Context, t *terminal) error {
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	runs, err := l.Runs(c.Context)
	if err != nil {
		return ledgerFailure(err)
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
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "RUN\tBEGAN\tEVENTS\tSTATE\tTASK\n")
	for _, r := range runs {
		state := string(r.State)
		if r.Status != "" {
			state = string(r.Status)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", r.ID, r.At.Local().Format(time.DateTime), r.Events, state, inertLine(r.Prompt, 60))
	}
	return w.Flush()
}

// newestRun is the identifier of the run that began last.
func newestRun(c *cli.Context, l *ledger.Ledger) (string, error) {
	runs, err := l.Runs(c.Context)
	if err != nil {
		return "", ledgerFailure(err)
	}
	if len(runs) == 0 {
		return "", &failure{exitUsage, errors.New("the ledger holds no run"), ""}
	}
	return runs[len(runs)-1].ID, nil
}

func logShow(c *cli.Context, t *terminal) error {
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	id := c.Args().First()
	if id == "" {
		id, err = newestRun(c, l)
	} else {
		id, err = l.Resolve(c.Context, id)
		if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrAmbiguous) {
			return &failure{exitUsage, err, "see holdfast log ls"}
		}
	}
	if err != nil {
		return err
	}
	v := newViewer(&terminal{out: t.out, err: t.out, color: t.color && isTTY(t.out.w)})
	for e, err := range l.Events(c.Context, id) {
		if err != nil {
			return ledgerFailure(err)
		}
		if c.Bool("json") {
			line, err := jsonEvent(id, e)
			if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "%s\n", line)
			continue
		}
		if s := v.line(e); s != "" {
			fmt.Fprintf(t.out, "%4d  %s\n", e.Seq, s)
		}
		if b, ok := e.Body.(*agent.RunEnd); ok {
			fmt.Fprintf(t.out, "%4d  end      %s  %s\n", e.Seq, b.Status, inert(b.Answer.String()+b.Error.String()))
		}
	}
	return nil
}

func logVerify(c *cli.Context, t *terminal) error {
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	r, err := l.Verify(c.Context)
	if err != nil {
		return ledgerFailure(err)
	}
	fmt.Fprint(t.out, r.String())
	if !r.OK() {
		return silent{exitLedger}
	}
	return nil
}

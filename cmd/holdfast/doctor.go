package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/models"
	"github.com/holdfast-run/holdfast/sandbox"
)

// doctorCommand examines everything a run needs, without running anything.
func doctorCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "check that this machine can run holdfast",
		Description: "Examines the sandbox layer by layer, the embedded model, the ledger's directory and your settings.\n\n" +
			"Example:\n  holdfast doctor",
		CustomHelpTemplate: helpWithExits(exitDone, exitModel, exitSandbox, exitLedger),
		Flags:              []cli.Flag{ledgerFlag()},
		Action: func(c *cli.Context) error {
			err := printSandbox(c, t)
			if merr := printModel(t); err == nil {
				err = merr
			}
			if lerr := printLedger(c, t); err == nil {
				err = lerr
			}
			if cerr := printConfig(c, t); err == nil {
				err = cerr
			}
			return err
		},
	}
}

// printSandbox prints the sandbox's report; it errs when cells cannot run here.
func printSandbox(c *cli.Context, t *terminal) error {
	r := sandbox.Doctor(c.Context, sandboxConfig())
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	for _, l := range r.Layers {
		fmt.Fprintf(w, "%s\t%s\t%s\n", l.State, l.Name, inertLine(l.Evidence, lineWidth))
		if l.Lost != "" {
			fmt.Fprintf(w, "\t\tlost: %s\n", l.Lost)
		}
		if l.Fix != "" {
			fmt.Fprintf(w, "\t\tfix: %s\n", l.Fix)
		}
	}
	w.Flush()
	if !r.OK() {
		return &failure{exitSandbox, fmt.Errorf("check sandbox: cells cannot run on this machine"),
			"each missing layer above names its fix"}
	}
	return nil
}

func printModel(t *terminal) error {
	b, err := models.Reference()
	if err != nil {
		return modelFailure(fmt.Errorf("check embedded model: %w", err))
	}
	fmt.Fprintf(t.out, "ready    embedded model, %.1f MiB\n", float64(len(b))/(1<<20))
	return nil
}

func printLedger(c *cli.Context, t *terminal) error {
	path := c.String("ledger")
	l, err := openLedger(c, path)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Fprintf(t.out, "ready    ledger %s\n", path)
	if _, err := os.Stat(path); err != nil {
		return ledgerFailure(fmt.Errorf("check ledger: %w", err))
	}
	return nil
}

func printConfig(c *cli.Context, t *terminal) error {
	held, err := readConfig(c.App, configFiles()...)
	if err != nil {
		return configFailure(err)
	}
	fmt.Fprintf(t.out, "ready    %s in files\n", count(len(held), "setting"))
	return nil
}

package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func logMergeCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "merge", Usage: "copy the runs of other ledgers into one", ArgsUsage: "OUT IN...",
		Description: "Each IN is verified first and not changed. Runs keep their origin, heads and notes, so that they\n" +
			"verify in OUT as they did where they were recorded. OUT is made if it does not exist.\n\n" +
			"Example:\n  holdfast log merge all/ledger.db shard1/ledger.db shard2/ledger.db",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Action:             func(c *cli.Context) error { return logMerge(c, t) },
	}
}

func logMerge(c *cli.Context, t *terminal) error {
	if c.NArg() < 2 {
		return usage(errors.New("give the ledger to copy into, and those to copy"))
	}
	l, err := openLedger(c, c.Args().First())
	if err != nil {
		return err
	}
	defer l.Close()
	for _, path := range c.Args().Tail() {
		m, err := l.Merge(c.Context, path)
		if errors.Is(err, ledger.ErrConflict) {
			return &failure{exitLedger, err, "one of the two was changed, or copied and then written apart"}
		}
		if err != nil {
			return ledgerFailure(err)
		}
		fmt.Fprintf(t.out, "%s: %s, %s, %s", inertLine(path, 200), count(int(m.Runs), "run"), count(int(m.Events), "event"), count(int(m.Blobs), "blob"))
		if m.Erased > 0 {
			fmt.Fprintf(t.out, ", %s here", count(int(m.Erased), "erasure"))
		}
		fmt.Fprintln(t.out)
	}
	return nil
}

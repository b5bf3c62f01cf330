package main

import (
	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/dataset"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

const aboutWhere = "--where is a CEL expression for each run, over\n" + dataset.WhereHelp

func whereFlag() cli.Flag {
	return &cli.StringFlag{Name: "where", Usage: "only runs for which the CEL `EXPRESSION` holds"}
}

// whereOf reads the expression of --where, nil for none.
func whereOf(c *cli.Context, r dataset.RewardOptions) (*dataset.Where, error) {
	if c.String("where") == "" {
		return nil, nil
	}
	w, err := dataset.NewWhere(c.String("where"), r)
	if err != nil {
		return nil, &failure{exitUsage, err, "the --help of the command lists what it may speak of"}
	}
	return w, nil
}

// chosen lists the runs for which the expression holds, all without one.
func chosen(c *cli.Context, l *ledger.Ledger, w *dataset.Where, runs []dataset.Run) ([]dataset.Run, error) {
	if w == nil {
		return runs, nil
	}
	out, err := w.Choose(c.Context, l, runs)
	if err != nil {
		return nil, usage(err)
	}
	return out, nil
}

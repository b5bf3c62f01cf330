package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/dataset"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// importCommand takes trajectories of others into the ledger.
func importCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "import",
		Usage: "take trajectories of others into the ledger",
		Subcommands: []*cli.Command{{
			Name: "atif", Usage: "read an ATIF document, v1.0 to v1.8", ArgsUsage: "FILE",
			Description: "What was said becomes messages of a run that never trains; nothing counts as decided. The document is\n" +
				"kept with the run and comes out again by holdfast export --format atif.\n\n" +
				"--lenient leaves out what does not keep to the format, and says what that was.\n\n" +
				"Examples:\n  holdfast import atif trajectory.json\n  holdfast import atif --lenient theirs.json",
			CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
			Flags:              []cli.Flag{ledgerFlag(), &cli.BoolFlag{Name: "lenient", Usage: "leave out what does not keep to the format, and report it"}},
			Action:             func(c *cli.Context) error { return importATIF(c, t) },
		}},
	}
}

func importATIF(c *cli.Context, t *terminal) error {
	if c.Args().Len() != 1 {
		return usage(errors.New("name one file"))
	}
	f, err := os.Open(c.Args().First())
	if err != nil {
		return usage(fmt.Errorf("open trajectory: %w", err))
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, dataset.MaxATIFBytes+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(f.Name()), err)
	}
	doc, err := decodeATIF(c, t, src)
	if err != nil {
		return &failure{exitUsage, fmt.Errorf("read %s: %w", filepath.Base(f.Name()), err), ""}
	}
	runs, err := dataset.FromATIF(doc)
	if err != nil {
		return err
	}
	l, err := openLedger(c, c.String("ledger"))
	if err != nil {
		return err
	}
	defer l.Close()
	ids, err := recordImported(c.Context, l, runs)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, ids[0])
	return nil
}

// decodeATIF reads a document strictly, or with --lenient reports what it leaves out.
func decodeATIF(c *cli.Context, t *terminal, src []byte) (*dataset.ATIF, error) {
	if !c.Bool("lenient") {
		return dataset.DecodeATIF(src)
	}
	doc, dropped, err := dataset.DecodeATIFLenient(src)
	for _, d := range dropped {
		t.printf("left out: %s\n", inertLine(d, lineWidth))
	}
	return doc, err
}

// recordImported writes imported runs, each after the one it belongs to.
func recordImported(ctx context.Context, l *ledger.Ledger, runs []dataset.Imported) ([]string, error) {
	ids := make([]string, len(runs))
	for i, in := range runs {
		info := ledger.RunInfo{Thread: in.Thread}
		if in.Parent >= 0 {
			info.Parent, info.Relation = ids[in.Parent], ledger.Subagent
		}
		r, err := l.Begin(ctx, info)
		if err != nil {
			return nil, ledgerFailure(err)
		}
		ids[i] = r.ID()
		for _, e := range in.Events {
			if _, err = r.Append(ctx, e); err != nil {
				break
			}
		}
		if err = errors.Join(err, r.Close()); err != nil {
			return nil, ledgerFailure(err)
		}
	}
	return ids, nil
}

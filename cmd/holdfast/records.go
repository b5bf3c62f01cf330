package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// How a command comes to the ledger that its flags name, and to the run that its arguments
// name.

// openLedger opens the ledger for writing.
func openLedger(c *cli.Context, path string) (*ledger.Ledger, error) {
	host, _ := os.Hostname() // unknown is recorded as empty
	l, err := ledger.Open(c.Context, path, ledger.Options{Build: thisBuild().String(), Host: host})
	if err != nil {
		return nil, cannotOpen(path, err)
	}
	return l, nil
}

// cannotOpen is why a ledger was not opened, with a hint where its folder is the reason.
func cannotOpen(path string, err error) error {
	if info, serr := os.Stat(filepath.Dir(path)); serr == nil && info.Mode().Perm()&0o077 != 0 {
		return &failure{exitLedger, err, "keep it in a folder that only you can enter; one that does not exist yet is made so"}
	}
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		return &failure{exitLedger, err, "name a place of your own with --ledger FILE"}
	}
	return ledgerFailure(err)
}

// mustExist refuses a ledger that is not there: whoever reads one does not begin one.
func mustExist(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return &failure{exitLedger, fmt.Errorf("open ledger: %s does not exist", path), "nothing has been recorded yet, or give it with --ledger FILE"}
	}
	return nil
}

// readLedger opens the ledger for reading only.
func readLedger(c *cli.Context) (*ledger.Ledger, error) {
	path := c.String("ledger")
	if err := mustExist(path); err != nil {
		return nil, err
	}
	l, err := ledger.Open(c.Context, path, ledger.Options{ReadOnly: true})
	if err != nil {
		return nil, ledgerFailure(err)
	}
	return l, nil
}

// writeLedger opens a ledger that is there for writing.
func writeLedger(c *cli.Context) (*ledger.Ledger, error) {
	path := c.String("ledger")
	if err := mustExist(path); err != nil {
		return nil, err
	}
	return openLedger(c, path)
}

// readRun opens the ledger for reading and finds the run that the arguments name, the
// newest if none is. Close the ledger.
func readRun(c *cli.Context) (l *ledger.Ledger, id string, err error) {
	if l, err = readLedger(c); err != nil {
		return nil, "", err
	}
	if id, err = findRun(c, l, c.Args().First()); err != nil {
		return nil, "", errors.Join(err, l.Close())
	}
	return l, id, nil
}

// writeRun opens the ledger for writing and finds the run that name stands for. Close the
// ledger.
func writeRun(c *cli.Context, name string) (l *ledger.Ledger, id string, err error) {
	if name == "" {
		return nil, "", usage(errors.New("no run named"))
	}
	if l, err = writeLedger(c); err != nil {
		return nil, "", err
	}
	if id, err = findRun(c, l, name); err != nil {
		return nil, "", errors.Join(err, l.Close())
	}
	return l, id, nil
}

// findRun is the run that an identifier or a unique beginning of one names, the newest for
// "".
func findRun(c *cli.Context, l *ledger.Ledger, name string) (string, error) {
	if name == "" {
		return newestRun(c, l)
	}
	id, err := l.Resolve(c.Context, name)
	if err != nil {
		return "", noSuchRun(err)
	}
	return id, nil
}

// findRuns is findRun for every one of some names.
func findRuns(c *cli.Context, l *ledger.Ledger, names []string) ([]string, error) {
	var ids []string
	for _, name := range names {
		id, err := findRun(c, l, name)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// newestRun is the identifier of the run that began last, of those that are not about another.
func newestRun(c *cli.Context, l *ledger.Ledger) (string, error) {
	runs, err := l.Runs(c.Context)
	if err != nil {
		return "", ledgerFailure(err)
	}
	if len(runs) == 0 {
		return "", &failure{exitUsage, errors.New("the ledger holds no run"), ""}
	}
	for _, s := range slices.Backward(runs) {
		if s.Info.Relation != ledger.Subagent {
			return s.ID, nil
		}
	}
	return runs[len(runs)-1].ID, nil
}

// noSuchRun gives the error of a run that is not there the exit code of bad input.
func noSuchRun(err error) error {
	if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrAmbiguous) {
		return &failure{exitUsage, err, "see holdfast log ls"}
	}
	return ledgerFailure(err)
}

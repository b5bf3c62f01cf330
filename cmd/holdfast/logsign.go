package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func logSignCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "sign", Usage: "sign the ledger as it is now, or again and again",
		Description: "Signs the root over all heads, which covers every run up to here, stores the note in the ledger and\n" +
			"gives a copy to each --anchor. Rows that a copy covers can then not be replaced unseen. A place is a file,\n" +
			"syslog, or a socket: whoever listens there is sent the note and answers \"kept\", so that any program of\n" +
			"another user can keep or pass it on. --every signs whenever something was added, until it is interrupted.\n\n" +
			"Examples:\n  holdfast log sign --sign-key ops.key --anchor /mnt/records/notes\n" +
			"  holdfast log sign --sign-key ops.key --anchor syslog --every 5m",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger, exitInterrupted),
		Flags: append(signFlags(), ledgerFlag(),
			&cli.DurationFlag{Name: "every", Usage: "sign what was added, once in each `TIME`"}),
		Action: func(c *cli.Context) error {
			if c.String("sign-key") == "" {
				return usage(errors.New("no key; give one by --sign-key"))
			}
			if c.Duration("every") < 0 {
				return usage(errors.New("--every cannot be negative"))
			}
			return signOften(c, t)
		},
	}
}

// signOften signs once, or with --every until the process is told to stop. The file is
// opened anew each time, so that it can be rotated in between.
//
// What is begun is finished: an interrupt ends the waiting, and what was added since the
// last note is signed yet.
func signOften(c *cli.Context, t *terminal) error {
	told := c.Context
	c.Context = context.WithoutCancel(told)
	last, err := signNew(c, t, ledger.Checkpoint{})
	if err != nil || c.Duration("every") == 0 {
		return err
	}
	tick := time.NewTicker(c.Duration("every"))
	defer tick.Stop()
	for {
		select {
		case <-told.Done():
			_, err := signNew(c, t, last)
			return cmp.Or(err, told.Err()) // a note that could not be made is no mere interrupt
		case <-tick.C:
		}
		if last, err = signNew(c, t, last); err != nil {
			return err
		}
	}
}

// signNew signs the ledger unless it is as the last checkpoint left it.
func signNew(c *cli.Context, t *terminal, last ledger.Checkpoint) (ledger.Checkpoint, error) {
	l, err := writeLedger(c)
	if err != nil {
		return last, err
	}
	defer l.Close()
	n, err := l.Heads(c.Context)
	if err != nil {
		return last, ledgerFailure(err)
	}
	if l.ID() == last.Ledger && n == last.N {
		return last, nil
	}
	cp, err := signLedger(c, l)
	if err != nil {
		return last, err
	}
	_, err = fmt.Fprintf(t.out, "signed to head %d\n%s", cp.N, cp.Note)
	return cp, err
}

// signLedger makes a checkpoint with the key and the anchor that the flags name.
func signLedger(c *cli.Context, l *ledger.Ledger) (ledger.Checkpoint, error) {
	by, _, err := readKey(c.String("sign-key"))
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	cp, err := l.Sign(context.WithoutCancel(c.Context), by, anchorTo(places(c)))
	if err != nil {
		return cp, ledgerFailure(err)
	}
	return cp, nil
}

func logRotateCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "rotate", Usage: "put the ledger aside and begin a new one",
		Description: "The file gets another name beside its old one, and a new ledger stands in its place, whose first head\n" +
			"names the last of the old: nothing can be cut from the old file unseen. Every run must have ended, and no\n" +
			"other process may use the ledger. With a key the old file is signed before. `log merge` joins them again.\n\n" +
			"Examples:\n  holdfast log rotate\n  holdfast log rotate --keep 2026.db --sign-key ops.key --anchor /mnt/records/notes",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Flags: append(signFlags(), ledgerFlag(),
			&cli.StringFlag{Name: "keep", Usage: "the `NAME` of the old file; else its date and identifier"}),
		Action: func(c *cli.Context) error { return logRotate(c, t) },
	}
}

func logRotate(c *cli.Context, t *terminal) error {
	if err := checkSigning(c, t); err != nil {
		return err
	}
	name := c.String("keep")
	if name != filepath.Base(name) && name != "" {
		return usage(errors.New("--keep is a name: the old file stays beside the new one"))
	}
	l, err := writeLedger(c)
	if err != nil {
		return err
	}
	if name == "" {
		name = fmt.Sprintf("ledger-%s-%.8s.db", time.Now().UTC().Format("20060102"), l.ID())
	}
	done, err := l.Rotate(c.Context, filepath.Join(filepath.Dir(l.Path()), name), func(l *ledger.Ledger) error {
		if c.String("sign-key") == "" {
			return nil
		}
		_, err := signLedger(c, l)
		return err
	})
	if err != nil {
		return ledgerFailure(err)
	}
	_, err = fmt.Fprintf(t.out, "ledger %s of %s is now %s\nledger %s goes on from it\n",
		done.Ledger, count(int(done.Heads), "head"), inertLine(done.Archive, lineWidth), done.Next)
	return err
}

package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func logRedactCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "redact", Usage: "erase the texts of a run, of one event, or of all old runs", ArgsUsage: "[RUN[/SEQ]]",
		Description: "With SEQ, erases the texts of that event, copies of them in the same run, and the tokens of its\n" +
			"generations. That something was erased, by whom and why, stays on record, and the chain holds.\n" +
			"Copies in forks of the run and in backups must be erased there.\n\n" +
			"--age erases the texts of every run that began so long ago and has ended; --media only those of some\n" +
			"kinds: text/plain, application/json, x-i32le (tokens), x-f32le (log-probabilities), x-bits. Decisions,\n" +
			"verdicts and times stay: they are no texts.\n\n" +
			"Examples:\n  holdfast log redact --reason \"a customer's address\" 0192f3/24\n  holdfast log redact 0192f3\n" +
			"  holdfast log redact --age 90d --reason retention\n  holdfast log redact --age 7d --media x-i32le --media x-f32le",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Flags: []cli.Flag{ledgerFlag(), &cli.StringFlag{Name: "reason", Usage: "`WHY`, kept with the erasure"},
			&cli.StringFlag{Name: "age", Usage: "all runs that began longer ago than `TIME`, such as 90d or 12h"},
			newListFlag("media", "with --age: only texts of the `KIND`; may be repeated")},
		Action: func(c *cli.Context) error { return logRedact(c, t) },
	}
}

func logRedact(c *cli.Context, t *terminal) error {
	if c.IsSet("age") {
		return retain(c, t)
	}
	if c.IsSet("media") {
		return usage(errors.New("--media goes with --age"))
	}
	id, event, one := strings.Cut(c.Args().First(), "/")
	var seq int64
	if one {
		n, err := strconv.ParseInt(event, 10, 64)
		if err != nil || n < 1 {
			return usage(fmt.Errorf("%q is not the position of an event", event))
		}
		seq = n
	}
	l, id, err := writeRun(c, id)
	if err != nil {
		return err
	}
	defer l.Close()
	if s, err := l.Run(c.Context, id); err != nil {
		return ledgerFailure(err)
	} else if seq > s.Events {
		return usage(fmt.Errorf("run %s has %s, none has the position %d", id, count(int(s.Events), "event"), seq))
	}
	r, err := l.Redact(c.Context, id, seq, account(), c.String("reason"))
	if err != nil {
		return ledgerFailure(err)
	}
	fmt.Fprintf(t.out, "erased %s (%d bytes) of events %s; recorded as event %d\n",
		count(r.Blobs, "text"), r.Bytes, list(r.Events), r.Seq)
	forks, err := branchesOf(c, l, r.Run)
	if err != nil {
		return err
	}
	for _, f := range forks {
		fmt.Fprintf(t.out, "check run %s: it branched off this one and may hold copies\n", f)
	}
	return nil
}

// mediaKinds are the kinds of text that --media knows.
var mediaKinds = []string{"text/plain", "application/json", "x-i32le", "x-f32le", "x-bits"}

// retain erases the texts of old runs. Runs that did not end and runs of other ledgers
// are left, and told.
func retain(c *cli.Context, t *terminal) error {
	age, err := daysOf(c.String("age"))
	if err != nil || age <= 0 {
		return usage(fmt.Errorf("--age %q is not a time such as 90d or 12h", c.String("age")))
	}
	if c.Args().Present() {
		return usage(errors.New("name a run, or an --age"))
	}
	media := c.StringSlice("media")
	for _, m := range media {
		if !slices.Contains(mediaKinds, m) {
			return usage(fmt.Errorf("--media %q is not one of %s", m, strings.Join(mediaKinds, ", ")))
		}
	}
	l, err := writeLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	runs, err := l.Runs(c.Context)
	if err != nil {
		return ledgerFailure(err)
	}
	var old, blobs, left int
	for _, s := range runs {
		if time.Since(s.At) < age {
			continue
		}
		if s.State != ledger.Ended {
			left++
			continue
		}
		r, err := l.RedactMedia(c.Context, s.ID, media, account(), c.String("reason"))
		if errors.Is(err, ledger.ErrImported) {
			left++
			continue
		}
		if err != nil {
			return ledgerFailure(err)
		}
		if blobs += r.Blobs; r.Blobs > 0 {
			old++
		}
	}
	fmt.Fprintf(t.out, "erased %s of %s\n", count(blobs, "text"), count(old, "run"))
	if left > 0 {
		fmt.Fprintf(t.out, "left %s that did not end or came from another ledger\n", count(left, "run"))
	}
	return t.out.err
}

// daysOf reads a duration, in which d stands for 24 hours.
func daysOf(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}

func list(seqs []int64) string {
	s := make([]string, len(seqs))
	for i, n := range seqs {
		s[i] = strconv.FormatInt(n, 10)
	}
	return strings.Join(s, ", ")
}

// branchesOf lists the runs whose parent is the given one.
func branchesOf(c *cli.Context, l *ledger.Ledger, run string) ([]string, error) {
	runs, err := l.Runs(c.Context)
	if err != nil {
		return nil, ledgerFailure(err)
	}
	var out []string
	for _, s := range runs {
		if s.Info.Parent == run {
			out = append(out, s.ID)
		}
	}
	return out, nil
}

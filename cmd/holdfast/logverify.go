package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/mod/sumdb/note"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

func logVerifyCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "verify", Usage: "check that nothing in the ledger was changed or lost",
		Description: "Integrity: every hash, link, blob and signature. Completeness: every run up to where the chain of\n" +
			"heads says it reached. Anchored: up to which head a signed note, kept elsewhere, bears the file out.\n\n" +
			"Examples:\n  holdfast log verify\n" +
			"  holdfast log verify --key ops.key --anchor /mnt/records/notes --require-anchor 1h",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Flags: []cli.Flag{ledgerFlag(),
			newListFlag("key", "a verifier `KEY`, or a file with one; may be repeated"),
			newListFlag("anchor", "a `FILE` of notes kept elsewhere, or a log of the system; may be repeated"),
			&cli.DurationFlag{Name: "require-anchor", Usage: "fail unless a note kept elsewhere is not older than `AGE`"},
			&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "list every fault that was kept"}},
		Action: func(c *cli.Context) error { return logVerify(c, t) },
	}
}

func logVerify(c *cli.Context, t *terminal) error {
	age := c.Duration("require-anchor")
	if c.IsSet("require-anchor") && age <= 0 {
		return usage(errors.New("--require-anchor takes the age that a note may have, such as 1h"))
	}
	opt, err := outsideKnowledge(c)
	if err != nil {
		return err
	}
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	r, err := l.VerifyWith(c.Context, opt)
	if err != nil {
		return ledgerFailure(err)
	}
	fmt.Fprint(t.out, inert(r.String()))
	if c.Bool("verbose") {
		for _, f := range append(r.Integrity.First, r.Completeness.First...) {
			fmt.Fprintln(t.out, "  "+inertLine(f, 300))
		}
	}
	for _, u := range r.Unfinished {
		fmt.Fprintf(t.out, "unknown       the call decided at event %d of run %s started and has no end\n", u.Decision, u.Run)
	}
	if !r.OK() {
		return silent{exitLedger}
	}
	if age > 0 {
		return fresh(r.Anchored, age)
	}
	return nil
}

// fresh fails unless the anchor is there and young enough.
func fresh(a *ledger.Anchor, age time.Duration) error {
	if a == nil {
		return &failure{exitLedger, errors.New("verify ledger: no note kept elsewhere bears it out"), "give keys by --key and notes by --anchor"}
	}
	if old := time.Since(a.At); old > age {
		return &failure{exitLedger, fmt.Errorf("verify ledger: the newest note kept elsewhere is %s old", old.Round(time.Second)), "sign it: holdfast log sign"}
	}
	return nil
}

// outsideKnowledge reads keys and notes that the flags name.
func outsideKnowledge(c *cli.Context) (ledger.VerifyOptions, error) {
	var o ledger.VerifyOptions
	for _, k := range c.StringSlice("key") {
		said := strconv.Quote(k)
		if b, err := os.ReadFile(k); err == nil {
			lines := strings.Fields(string(b))
			if len(lines) == 0 {
				return o, usage(fmt.Errorf("%s holds no verifier key", k))
			}
			k = lines[len(lines)-1] // a signing key's file has the verifier key below
		}
		if strings.HasPrefix(said, `"PRIVATE+KEY`) {
			said = "given"
		}
		if _, err := note.NewVerifier(k); err != nil { // what the file holds may be a signing key
			return o, usage(fmt.Errorf("--key %s: %w", said, err))
		}
		o.Keys = append(o.Keys, k)
	}
	for _, path := range c.StringSlice("anchor") {
		notes, err := readAnchor(path)
		if err != nil {
			return o, err
		}
		o.Notes = append(o.Notes, notes...)
	}
	if len(o.Notes) > 0 && len(o.Keys) == 0 {
		return o, usage(errors.New("--anchor needs --key: without one no note can be believed"))
	}
	return o, nil
}

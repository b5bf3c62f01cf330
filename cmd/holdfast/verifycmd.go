package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/verify"
	"github.com/holdfast-run/holdfast/tools"
)

// verifyCommand attacks cells of this machine.
func verifyCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "attack cells on this machine and print what came of it",
		ArgsUsage: "[ROW...]",
		Description: "Runs a table of attacks in real cells: a short one, or with --all every row. A row passes, fails,\n" +
			"or prints UNTESTED with the reason. Nothing of this machine is changed.\n\n" +
			"Examples:\n  holdfast sandbox verify\n  holdfast sandbox verify --all\n  holdfast sandbox verify FS05 NW10",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitSandbox, exitInterrupted),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "every row"},
			&cli.BoolFlag{Name: "warm", Usage: "attack cells that were built before their call was known"},
			&cli.BoolFlag{Name: "require-cgroup", Usage: "refuse where memory cannot be counted exactly"},
			&cli.IntFlag{Name: "soak", Usage: "run `N` cells besides and look for what they leave behind"},
		},
		Action: func(c *cli.Context) error { return verifySandbox(c, t) },
	}
}

// mostAtOnce is how many cells a soak runs at a time.
const mostAtOnce = 64

func verifySandbox(c *cli.Context, t *terminal) error {
	if c.Args().Present() && c.Bool("all") {
		return usage(errors.New("name rows, or --all of them"))
	}
	var only []string
	for _, id := range c.Args().Slice() {
		if !known(strings.ToUpper(id)) {
			return usage(fmt.Errorf("no row %q", id))
		}
		only = append(only, strings.ToUpper(id))
	}
	config := sandboxConfig()
	config.RequireCgroup = c.Bool("require-cgroup")
	config.Hosts, config.PoolAlways = verify.Hosts, c.Bool("warm")
	r, err := openSandbox(c.Context, config)
	if err != nil {
		return err
	}
	defer r.Close()
	image, err := sandbox.NewImage(tools.Program())
	if err != nil {
		return err
	}
	count := map[verify.State]int{}
	began := time.Now()
	_, err = verify.Run(c.Context, r, verify.Options{All: c.Bool("all"), Only: only, Image: image, Report: func(o verify.Outcome) {
		count[o.State]++
		fmt.Fprintln(t.out, verifyLine(o))
	}})
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "\n%d passed, %d failed, %d untested, in %s\n", count[verify.Pass], count[verify.Fail], count[verify.Untested],
		time.Since(began).Round(100*time.Millisecond))
	if count[verify.Fail] > 0 {
		return &failure{exitSandbox, errors.New("verify sandbox: a cell did not hold"), "do not let tools run on this machine before the rows that failed are understood"}
	}
	return soak(c, t, r)
}

func known(id string) bool {
	for _, r := range verify.Rows() {
		if r.ID == id {
			return true
		}
	}
	return false
}

// verifyLine is one row for a person.
func verifyLine(o verify.Outcome) string {
	state := string(o.State)
	if o.State == verify.Untested {
		state = fmt.Sprintf("UNTESTED(%s)", inertLine(o.Why, lineWidth))
	}
	line := fmt.Sprintf("%s  %s: %s  -> %s  [%s]", o.ID, state, o.Try, o.Expect, o.Layers)
	if o.State == verify.Fail {
		line += "\n      " + inertLine(o.Why, 4*lineWidth)
	}
	return line
}

func soak(c *cli.Context, t *terminal, r *sandbox.Runner) error {
	n := c.Int("soak")
	if n <= 0 {
		return nil
	}
	began := time.Now()
	if err := verify.Soak(c.Context, r, n, mostAtOnce); err != nil {
		return &failure{exitSandbox, fmt.Errorf("soak sandbox: %w", err), ""}
	}
	fmt.Fprintf(t.out, "%d cells, %d at once, left nothing behind, in %s\n", n, mostAtOnce, time.Since(began).Round(100*time.Millisecond))
	return nil
}

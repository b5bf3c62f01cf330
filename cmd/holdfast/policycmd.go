package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/safety/policy"
)

func policyCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:        "policy",
		Usage:       "check, explain, test and replay written rules",
		Subcommands: []*cli.Command{policyCheckCommand(t), policyExplainCommand(t), policyTestCommand(t), policyReplayCommand(t)},
	}
}

func policyCheckCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "find faults in policy files", ArgsUsage: "[FILE...]",
		Description: "Checks the given files, or with none all rules in force: syntax, types, unknown members and\n" +
			"words, rules that can never fire, that change nothing, or that contradict others.\n\n" +
			"Examples:\n  holdfast policy check\n  holdfast policy check team.yaml",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
		Flags:              []cli.Flag{dirFlag(), policyFlag(), toolsFlag()},
		Action:             func(c *cli.Context) error { return policyCheck(c, t) },
	}
}

func policyCheck(c *cli.Context, t *terminal) error {
	dir, err := workspaceOf(c)
	if err != nil {
		return err
	}
	places := placesOf(c, dir)
	if c.Args().Present() {
		places = policyPlaces{given: c.Args().Slice()}
	}
	src, err := places.sources()
	if err != nil {
		return err
	}
	set, err := policy.Load(src...)
	if err != nil {
		for _, e := range faults(err) {
			fmt.Fprintln(t.out, oneLine(e))
		}
		if why := demoted(src); why != "" {
			t.note(why)
		}
		return silent{exitUsage}
	}
	on, _, err := declaredTools(c)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range on {
		names = append(names, s.Name)
	}
	found := set.Lint(names)
	for _, f := range found {
		fmt.Fprintln(t.out, inertLine(f.String(), 400))
	}
	fmt.Fprintf(t.out, "%s in %s, %s\n", count(len(set.Rules()), "rule"), count(len(set.Sources()), "file"), count(len(found), "finding"))
	return nil
}

// faults lists the errors that were joined, down to the last.
func faults(err error) []error {
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return []error{err}
	}
	var out []error
	for _, e := range many.Unwrap() {
		out = append(out, faults(e)...)
	}
	return out
}

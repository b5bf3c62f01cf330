package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
)

func policyTestCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "test", Usage: "run a table of cases against the rules", ArgsUsage: "FILE",
		Description: "Each case names a request, a call and what must become of it if the review finds nothing.\n" +
			"The rules are those in force; see docs/policy.md for the form of the file.\n\n" +
			"Example:\n  holdfast policy test --policy team.yaml cases.yaml",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage),
		Flags:              []cli.Flag{dirFlag(), policyFlag(), toolsFlag()},
		Action:             func(c *cli.Context) error { return policyTest(c, t) },
	}
}

func policyTest(c *cli.Context, t *terminal) error {
	if c.NArg() != 1 {
		return usage(errors.New("give one file of cases"))
	}
	set, err := runPolicies(c)
	if err != nil {
		return err
	}
	name := c.Args().First()
	text, err := readPolicy(func() (*os.File, error) { return os.Open(name) })
	if err != nil {
		return &failure{exitUsage, fmt.Errorf("read cases: %w", err), ""}
	}
	cases, err := policy.ParseCases(name, text)
	if err != nil {
		return &failure{exitUsage, fmt.Errorf("read cases: %w", err), "see docs/policy.md"}
	}
	on, _, err := declaredTools(c)
	if err != nil {
		return err
	}
	failed := 0
	for _, k := range cases {
		v, err := safety.Try(k, on, set)
		if err != nil {
			return &failure{exitUsage, fmt.Errorf("%s:%d: case %s: %w", name, k.Line, k.Name, err), ""}
		}
		if why := verdictFault(k, v); why != "" {
			failed++
			var b strings.Builder
			fmt.Fprintf(&b, "FAIL  %s:%d %s: %s\n", name, k.Line, inertLine(k.Name, 80), why)
			votes(&b, v.Votes)
			fmt.Fprint(t.out, b.String())
			continue
		}
		fmt.Fprintf(t.out, "ok    %s: %s\n", inertLine(k.Name, 80), v.Outcome)
	}
	fmt.Fprintf(t.out, "%s, %d failed\n", count(len(cases), "case"), failed)
	if failed > 0 {
		return silent{exitInternal}
	}
	return nil
}

// verdictFault says how a verdict differs from what a case wants, "" if it does not.
func verdictFault(k policy.Case, v agent.Verdict) string {
	if v.Outcome != k.Want {
		return fmt.Sprintf("%s, want %s", v.Outcome, k.Want)
	}
	for _, want := range k.Fires {
		if !slices.ContainsFunc(v.Votes, func(o agent.Vote) bool { return o.Rule == want }) {
			return fmt.Sprintf("%s, but rule %s did not fire", v.Outcome, inertLine(want, 80))
		}
	}
	return ""
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
)

func policyReplayCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "replay", Usage: "list what other rules would have changed in old runs", ArgsUsage: "[RUN...]",
		Description: "Decides the recorded calls of the given runs, or of all, under the rules in force now, and lists\n" +
			"every verdict that would differ.\n\n" +
			"Example:\n  holdfast policy replay --policy stricter.yaml",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Flags:              []cli.Flag{ledgerFlag(), dirFlag(), policyFlag(), jsonFlag()},
		Action:             func(c *cli.Context) error { return policyReplay(c, t) },
	}
}

func policyReplay(c *cli.Context, t *terminal) error {
	set, err := runPolicies(c)
	if err != nil {
		return err
	}
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	runs := c.Args().Slice()
	if len(runs) == 0 {
		all, err := l.Runs(c.Context)
		if err != nil {
			return ledgerFailure(err)
		}
		for _, r := range all {
			runs = append(runs, r.ID)
		}
	}
	scored, changed, skipped := 0, 0, 0
	for _, run := range runs {
		id, verdicts, err := recalled(c, l, run)
		if err != nil {
			if len(c.Args().Slice()) > 0 || !errors.Is(err, safety.ErrErased) {
				return err
			}
			skipped++ // erased in part: nothing can be said of it
			continue
		}
		for _, r := range verdicts {
			out, list, ok := r.Under(set)
			if !ok {
				continue
			}
			if scored++; out == r.Verdict.Outcome {
				continue
			}
			changed++
			if err := showChange(c, t, id, r, out, list); err != nil {
				return err
			}
		}
	}
	if !c.Bool("json") {
		fmt.Fprintf(t.out, "%s in %s, %d would change%s\n", count(scored, "verdict"), count(len(runs), "run"), changed,
			words(skipped > 0, fmt.Sprintf("; %s could not be read whole", count(skipped, "run"))))
	}
	return nil
}

// showChange prints one verdict that would differ.
func showChange(c *cli.Context, t *terminal, run string, r *safety.Recorded, out agent.Outcome, list []agent.Vote) error {
	if c.Bool("json") {
		line, err := json.Marshal(struct {
			Run  string        `json:"run"`
			Seq  int64         `json:"seq"`
			Tool string        `json:"tool"`
			Was  agent.Outcome `json:"was"`
			Now  agent.Outcome `json:"now"`
			By   []agent.Vote  `json:"votes"`
		}{run, r.Seq, r.Call.Tool, r.Verdict.Outcome, out, list})
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s\n", line)
		return nil
	}
	fmt.Fprintf(t.out, "%s@%d  %s -> %s  %s %s\n", run, r.Seq, r.Verdict.Outcome, out, inertLine(r.Call.Tool, 40), inertLine(r.Call.Args, lineWidth))
	var b strings.Builder
	votes(&b, slices.DeleteFunc(slices.Clone(list), func(v agent.Vote) bool { return v.Outcome != out }))
	fmt.Fprint(t.out, b.String())
	return nil
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
)

// undoCommand takes back what a call changed.
func undoCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "undo",
		Usage:     "take back what one call changed in its workspace",
		ArgsUsage: "COMMIT",
		Description: "The commit is named where a call changed something, also by holdfast log show RUN. All of it is taken back,\n" +
			"or nothing if any of its files was changed since.\n\n" +
			"Example:\n  holdfast sandbox undo 0198c7a2f3e14b21",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitSandbox),
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return usage(errors.New("name one commit"))
			}
			r, err := openSandbox(c.Context, sandboxConfig())
			if err != nil {
				return err
			}
			defer r.Close()
			if err := r.Undo(c.Context, c.Args().First()); errors.Is(err, sandbox.ErrNoCommit) {
				return &failure{exitUsage, err, "holdfast log show RUN names the commits of its calls; only the newest are kept, and each is undone once"}
			} else if err != nil {
				return err
			}
			fmt.Fprintf(t.out, "undone   %s\n", inertLine(c.Args().First(), lineWidth))
			return nil
		},
	}
}

// changedLine says what a call changed and how to take it back, from the account
// of its cell; "" if it changed nothing.
func changedLine(account *agent.Blob) string {
	if account == nil {
		return ""
	}
	var a struct {
		Commit   string           `json:"commit"`
		CommitID string           `json:"commit_id"`
		Why      string           `json:"why"`
		Changes  []sandbox.Change `json:"changes"`
		Total    int              `json:"changes_total"`
	}
	if err := json.Unmarshal([]byte(account.String()), &a); err != nil || len(a.Changes) == 0 {
		return ""
	}
	if a.Commit != "" && a.Commit != sandbox.CommitDone.String() {
		return fmt.Sprintf("0 changes; %d not made: %s: %s", max(a.Total, len(a.Changes)), inertLine(a.Commit, 20), inertLine(a.Why, lineWidth))
	}
	held, first := 0, ""
	for _, c := range a.Changes {
		if c.Held != "" {
			if held++; held == 1 {
				first = fmt.Sprintf("; left out: %s, %s", inertLine(c.Path, 80), c.Held)
			}
		}
	}
	if held > 1 {
		first += fmt.Sprintf(", and %d more", held-1)
	}
	line := count(max(a.Total, len(a.Changes))-held, "change") + first
	if a.CommitID != "" {
		line += "; undo with: holdfast sandbox undo " + inertLine(a.CommitID, 40)
	}
	return line
}

package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

func revokeCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "revoke", Usage: "take back an approval that has not been acted on", ArgsUsage: "RUN",
		Description: "An answer that allows counts for a day, once its run goes on. Taking it back ends the run as denied: nothing of\n" +
			"what was agreed to happens, and the run does not go on. What has been acted on cannot be taken back; see\n" +
			"`holdfast sandbox undo` for changes of files.\n\nExample:\n  holdfast approvals revoke 0192f3",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger),
		Flags:              []cli.Flag{ledgerFlag(), &cli.StringFlag{Name: "note", Usage: "`TEXT` to keep with it"}},
		Action:             func(c *cli.Context) error { return approvalsRevoke(c, t) },
	}
}

// approvalsRevoke ends a run whose last answer allows and has not been acted on.
func approvalsRevoke(c *cli.Context, t *terminal) error {
	l, id, err := writeRun(c, c.Args().First())
	if err != nil {
		return err
	}
	defer l.Close()
	s, err := l.Run(c.Context, id)
	if err != nil {
		return ledgerFailure(err)
	}
	if s.State == ledger.Running {
		return &failure{exitUsage, fmt.Errorf("revoke %s: its process is still running", s.ID), "end that process"}
	}
	events, err := l.ReadAll(c.Context, s.ID)
	if err != nil {
		return ledgerFailure(err)
	}
	if _, ok := loop.UnusedAnswer(events); !ok {
		return &failure{exitUsage, fmt.Errorf("run %s has no approval that has not been acted on", s.ID), ""}
	}
	r, err := l.Recover(c.Context, s.ID)
	if err != nil {
		return ledgerFailure(err)
	}
	defer r.Close()
	// Whoever went on with the run meanwhile has acted on it.
	if events, err = l.ReadAll(c.Context, s.ID); err != nil {
		return ledgerFailure(err)
	}
	if _, ok := loop.UnusedAnswer(events); !ok {
		return &failure{exitUsage, fmt.Errorf("run %s went on from its approval", s.ID), ""}
	}
	if _, err := r.Append(c.Context, revoked(events, account(), c.String("note"))); err != nil {
		return ledgerFailure(err)
	}
	t.printf("revoked; run %s is over\n", s.ID)
	return nil
}

// revoked is the end of a run whose approval was taken back.
func revoked(events []agent.Event, who, note string) agent.Event {
	end := &agent.RunEnd{Status: agent.StatusDenied, Answer: agent.Text("I stopped: an approval was taken back.")}
	reason := "the approval was taken back by " + who
	if note != "" {
		reason += ": " + note
	}
	end.Error = agent.Text(reason)
	for _, e := range events {
		end.Steps = max(end.Steps, e.Step)
		if b, ok := e.Body.(*agent.CallEnd); ok {
			if b.Status == agent.CallDenied {
				end.Denials++
			} else {
				end.Calls++
			}
		}
	}
	end.Denials++
	return agent.Event{Step: end.Steps, Body: end}
}

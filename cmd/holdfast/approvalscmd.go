package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/safety/approval"
)

func approvalsCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "approvals",
		Usage: "list and answer the questions of suspended runs, and take answers back",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the open questions, oldest first",
				Description:        "Each is shown in full with its mark, which an answer must name.\n\nExample:\n  holdfast approvals ls",
				CustomHelpTemplate: helpWithExits(exitDone, exitLedger),
				Flags:              []cli.Flag{ledgerFlag(), jsonFlag()},
				Action:             func(c *cli.Context) error { return approvalsList(c, t) },
			},
			{
				Name: "answer", Usage: "answer the open question of a run", ArgsUsage: "RUN yes|no|stop|edit",
				Description: "On a terminal the question is shown and asked. Elsewhere --mark must name what was read: the mark\n" +
					"that `holdfast approvals ls` shows, a digest of the question and its run. The run goes on with `holdfast resume`.\n\n" +
					"An edit gives other arguments, as one JSON object or as the name of one and its value. They make a new call:\n" +
					"when the run goes on, that is judged and asked about.\n\n" +
					"Examples:\n  holdfast approvals answer 0192f3\n" +
					"  holdfast approvals answer --mark 7bcd30882f91 --note \"agreed with Wim\" 0192f3 yes\n" +
					"  holdfast approvals answer --mark 7bcd30882f91 --args \"to ann@example.org\" 0192f3 edit",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitLedger, exitDigest),
				Flags: []cli.Flag{ledgerFlag(),
					&cli.StringFlag{Name: "mark", Usage: "the `MARK` of the question that was read"},
					&cli.StringFlag{Name: "args", Usage: "for edit: the other `ARGUMENTS`"},
					&cli.StringFlag{Name: "note", Usage: "`TEXT` to keep with the answer"}},
				Action: func(c *cli.Context) error { return approvalsAnswer(c, t) },
			},
			revokeCommand(t),
		},
	}
}

// pending is an open question as it is put before a person.
type pending struct {
	ledger.Pending
	q     agent.Question
	shown string
	mark  string // of this question of this run
}

// markOf is the digest of a question as it was put: the same words asked by another run,
// or once more by the same one, have another mark.
func markOf(p ledger.Pending, shown string) string {
	d := sha256.Sum256(fmt.Appendf(nil, "%s %d\n%s", p.Run, p.Asked.Seq, shown))
	return hex.EncodeToString(d[:])
}

// sameCall reports whether what is shown of a question is the call that it stands for.
func sameCall(p ledger.Pending, q agent.Question) bool {
	if q.Call == nil {
		return p.Asked.Call == [32]byte{}
	}
	return q.Call.Digest() == p.Asked.Call
}

// openQuestions reads the open questions; one whose content was erased cannot be shown
// and is left out.
func openQuestions(c *cli.Context, l *ledger.Ledger) ([]pending, error) {
	list, err := l.Pending(c.Context)
	if err != nil {
		return nil, ledgerFailure(err)
	}
	var out []pending
	for _, p := range list {
		b, ok := p.Asked.Body.(*agent.Asked)
		if !ok || b.Question == nil || b.Question.Data == nil {
			continue
		}
		var q agent.Question
		if err := json.Unmarshal(b.Question.Data, &q); err != nil {
			return nil, ledgerFailure(fmt.Errorf("read question %d of run %s: %w", p.Asked.Seq, p.Run, err))
		}
		if !sameCall(p, q) {
			return nil, ledgerFailure(fmt.Errorf("read question %d of run %s: it shows another call than it is about", p.Asked.Seq, p.Run))
		}
		shown := question(q)
		out = append(out, pending{p, q, shown, markOf(p, shown)})
	}
	return out, nil
}

const markLen = 12 // digits of a mark that are shown; more may be given

func approvalsList(c *cli.Context, t *terminal) error {
	l, err := readLedger(c)
	if err != nil {
		return err
	}
	defer l.Close()
	list, err := openQuestions(c, l)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		enc := json.NewEncoder(t.out)
		for _, p := range list {
			if err := enc.Encode(struct {
				Run      string    `json:"run"`
				Seq      int64     `json:"seq"`
				At       time.Time `json:"at"`
				State    string    `json:"state"`
				Mark     string    `json:"mark"`
				Question string    `json:"question"`
			}{p.Run, p.Asked.Seq, p.Asked.At.UTC(), string(p.State), p.mark, p.shown}); err != nil {
				return err
			}
		}
		return nil
	}
	for _, p := range list {
		fmt.Fprintf(t.out, "run   %s (%s)\nasked %s\nmark  %s\n%s\n\n", p.Run, p.State,
			p.Asked.At.Local().Format(time.DateTime), p.mark[:markLen], strings.TrimPrefix(p.shown, "\n"))
	}
	switch len(list) {
	case 0:
		t.printf("no question is open\n")
	case 1:
		t.printf("answer with: holdfast approvals answer --mark %s %s yes|no|stop\n", list[0].mark[:markLen], list[0].Run)
	default:
		t.printf("answer each with: holdfast approvals answer --mark MARK RUN yes|no|stop\n")
	}
	return nil
}

// approvalsAnswer records a person's answer to a suspended run's question.
func approvalsAnswer(c *cli.Context, t *terminal) error {
	l, id, err := writeRun(c, c.Args().First())
	if err != nil {
		return err
	}
	defer l.Close()
	p, err := openQuestion(c, l, id)
	if err != nil {
		return err
	}
	a, err := answerTo(c, t, p)
	if err != nil {
		return err
	}
	r, err := l.Recover(c.Context, p.Run)
	if err != nil {
		return ledgerFailure(err)
	}
	defer r.Close()
	body := &agent.Answered{Choice: a.Choice, Who: a.Who, Via: a.Via, Shown: agent.Text(p.shown)}
	if a.Note != "" {
		body.Note = agent.Text(a.Note)
	}
	if a.Choice == agent.ChoiceEdit {
		body.Args = agent.Text(a.Args)
	}
	if _, err := r.Append(c.Context, agent.Event{Step: p.Asked.Step, Ref: p.Asked.Seq, Call: p.Asked.Call, Body: body}); err != nil {
		return ledgerFailure(err) // among them: somebody else has answered
	}
	t.printf("answered %s; go on with: holdfast resume %s\n", a.Choice, p.Run)
	return nil
}

// openQuestion is the open question of a run.
func openQuestion(c *cli.Context, l *ledger.Ledger, id string) (pending, error) {
	list, err := openQuestions(c, l)
	if err != nil {
		return pending{}, err
	}
	for _, p := range list {
		switch {
		case p.Run != id:
		case p.State == ledger.Running:
			return p, &failure{exitUsage, fmt.Errorf("answer %s: its process is still running", id), "answer where it asks"}
		default:
			return p, nil
		}
	}
	return pending{}, &failure{exitUsage, fmt.Errorf("run %s has no open question", id), "see holdfast approvals ls"}
}

// answerTo takes the answer from the arguments, which must name the mark of what was
// read, or asks on the terminal.
func answerTo(c *cli.Context, t *terminal, p pending) (agent.Answer, error) {
	word, mark := c.Args().Get(1), strings.ToLower(c.String("mark"))
	other := &failure{exitDigest, fmt.Errorf("the open question of run %s is not the one named by --mark", p.Run),
		"read it with holdfast approvals ls, then give its mark"}
	named := len(mark) >= markLen && strings.HasPrefix(p.mark, mark)
	if word != "edit" && c.IsSet("args") { // whoever gives other arguments does not mean the ones of the call
		return agent.Answer{}, usage(errors.New("--args goes with the answer edit"))
	}
	if word == "" {
		switch {
		case !t.asks:
			return agent.Answer{}, usage(errors.New("no answer given and no terminal to ask on"))
		case mark != "" && !named:
			return agent.Answer{}, other
		}
		a, err := (&approver{t: t, mode: "on-risk"}).put(c.Context, p.q, false)
		a.Note = cmp.Or(a.Note, c.String("note"))
		return a, err
	}
	a := agent.Answer{Who: account(), Via: "command", Note: c.String("note")}
	switch word {
	case "yes":
		a.Choice = agent.ChoiceOnce
	case "no":
		a.Choice = agent.ChoiceDeny
	case "stop":
		a.Choice = agent.ChoiceStop
	case "edit":
		if p.q.Call == nil {
			return a, usage(errors.New("what is asked about is no call, whose arguments could be edited"))
		}
		args, err := approval.Change(p.q.Call.Args, c.String("args"))
		if err != nil {
			return a, usage(fmt.Errorf("edit the call: %w", err))
		}
		a.Choice, a.Args = agent.ChoiceEdit, args
	default:
		return a, usage(fmt.Errorf("%q is not yes, no, stop or edit", word))
	}
	allows := a.Choice == agent.ChoiceOnce || a.Choice == agent.ChoiceEdit
	if allows && mark == "" {
		return a, &failure{exitUsage, errors.New("no --mark: it names the question that was read"), "read it with holdfast approvals ls, then give its mark"}
	}
	if allows && !named {
		return a, other
	}
	return a, nil
}

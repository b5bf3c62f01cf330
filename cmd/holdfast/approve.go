package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/approval"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// approver asks the person at the terminal. Where nobody can be asked it suspends the
// run, or denies when the mode is "never". It is used by one run.
type approver struct {
	t      *terminal
	mode   string                           // never, on-risk, always
	before func(path string) (string, bool) // what a file of the workspace holds, nil if that is not known
	now    func() time.Time                 // nil is time.Now
	agreed approval.Memory
}

// askModes are the values of --ask.
var askModes = []string{"never", "on-risk", "always"}

// Ask implements loop.Approver.
func (a *approver) Ask(ctx context.Context, q agent.Question) (agent.Answer, error) {
	shown := question(q)
	if a.mode == "never" {
		return agent.Answer{Choice: agent.ChoiceDeny, Via: agent.ViaNever, Shown: shown}, nil
	}
	if !a.t.asks {
		return agent.Answer{Choice: agent.ChoiceSuspend, Via: "nobody", Shown: shown}, nil
	}
	if class, ok := a.agreed.Covers(q); ok && !q.Changed {
		a.t.printf("%s\n", a.t.style(styleDim, "agreed   "+class.Words()[0]))
		return agent.Answer{Choice: agent.ChoiceOnce, Who: account(), Via: "agreed for this run",
			Shown: shown + "\n" + strings.Join(class.Words(), "\n")}, nil
	}
	return a.put(ctx, q, true)
}

// put asks on the terminal until an answer can be read. An answer to what was shown too
// long ago does not count. forRun offers to agree to the whole class of such calls.
func (a *approver) put(ctx context.Context, q agent.Question, forRun bool) (agent.Answer, error) {
	screen := approval.Render(q, screenWidth)
	class, classed := approval.ClassOf(q)
	classed = classed && forRun
	shown := question(q)
	now := a.now
	if now == nil {
		now = time.Now
	}
	may := choices{class: classed, call: q.Call != nil, diff: a.diff(q) != nil}
	for {
		a.t.forget()
		at := now()
		word, note, err := a.show(ctx, screen, may)
		ans := agent.Answer{Who: account(), Via: "terminal", Shown: shown}
		if err != nil {
			a.t.printf("\n") // what follows stands on a line of its own
			return agent.Answer{Via: "terminal", Shown: shown}, fmt.Errorf("read answer: %w", err)
		}
		if now().Sub(at) > approval.Lifetime && word != "n" && word != "q" && word != "e" {
			a.t.printf("That was shown more than %s ago. Here it is again.\n", approval.Lifetime)
			continue
		}
		switch may.choice(word) {
		case "y":
			ans.Choice = agent.ChoiceOnce
			return ans, nil
		case "n":
			ans.Choice, ans.Note = agent.ChoiceDeny, note
			return ans, nil
		case "q":
			ans.Choice = agent.ChoiceStop
			return ans, nil
		case "s":
			if a.sure(ctx, class) {
				if now().Sub(at) > approval.Lifetime {
					a.t.printf("That was shown more than %s ago. Here it is again.\n", approval.Lifetime)
					continue
				}
				a.agreed.Add(class)
				ans.Choice, ans.Shown = agent.ChoiceOnce, shown+"\n"+strings.Join(class.Words(), "\n")
				return ans, nil
			}
		case "e":
			if args, ok := a.edit(ctx, q, note); ok {
				ans.Choice, ans.Args = agent.ChoiceEdit, args
				return ans, nil
			}
		case "d":
			a.t.printf("%s\n", strings.Join(a.diff(q), "\n"))
		case "?":
			a.t.printf("%s", why(q))
		default:
			a.t.printf("%s is none of the answers: type one of the letters in brackets.\n", strconv.Quote(inertLine(word, 20)))
		}
	}
}

// screenWidth is that of what goes on record; a narrower terminal breaks its lines, which
// then go on at screenIndent.
const (
	screenWidth  = 80
	screenIndent = 12
)

// choices says which answers a question has beside yes, no, why and the end of the run.
type choices struct {
	class bool // yes to all calls of the class, for this run
	call  bool // other arguments
	diff  bool // how a file would change
}

// answers are the letters that can be answered with, each with its whole word, if there is
// one, and what the menu says of it.
var answers = []struct {
	letter, word, says string
	offered            func(choices) bool // nil is always
}{
	{"y", "yes", "once", nil},
	{"s", "", "this run", func(c choices) bool { return c.class }},
	{"e", "edit", "edit", func(c choices) bool { return c.call }},
	{"n", "no", "no", nil},
	{"d", "", "diff", func(c choices) bool { return c.diff }},
	{"?", "", "why", nil},
	{"q", "stop", "stop", nil},
}

func (c choices) menu() string {
	var s []string
	for _, a := range answers {
		if a.offered == nil || a.offered(c) {
			s = append(s, "["+a.letter+"] "+a.says)
		}
	}
	return strings.Join(s, "  ")
}

// choice is the letter that a typed word stands for, "" for what is not offered.
func (c choices) choice(word string) string {
	for _, a := range answers {
		if word != "" && (word == a.letter || word == a.word) && (a.offered == nil || a.offered(c)) {
			return a.letter
		}
	}
	return ""
}

// show puts a question on the terminal a page at a time: nothing scrolls away before it
// could be read. It returns the first word of the answer, and the rest.
func (a *approver) show(ctx context.Context, s approval.Screen, may choices) (word, rest string, err error) {
	page := max(a.rows()-len(s.Sum)-4, 10)
	body := strings.Split(a.fit(s.Body), "\n")
	a.t.printf("\n")
	for i := 0; i < len(body); i += page {
		end := min(i+page, len(body))
		a.t.printf("%s\n", strings.Join(body[i:end], "\n"))
		if end == len(body) {
			break
		}
		a.t.printf("-- %d of %d lines; Enter for more, n to deny, q to end the run: ", end, len(body))
		line, err := a.line(ctx)
		if word := strings.ToLower(line); err != nil || word == "n" || word == "q" {
			return word, "", err
		}
	}
	a.t.printf("%s\n%s ", a.fit(s.Sum), a.t.fit("Allow? "+may.menu()+":", len("Allow? ")))
	line, err := a.line(ctx)
	word, rest, _ = strings.Cut(line, " ")
	return strings.ToLower(word), rest, err
}

// fit is some lines of a question as they stand on this terminal, where it is narrower than
// what goes on record.
func (a *approver) fit(lines []string) string {
	return a.t.fit(strings.Join(lines, "\n"), screenIndent)
}

// sure says in words what would be agreed to for the rest of the run, and asks once more.
func (a *approver) sure(ctx context.Context, c approval.Class) bool {
	a.t.printf("Agree to %s?\n[y] yes, until this run ends  [n] back: ", strings.Join(c.Words(), "\n"))
	line, err := a.line(ctx)
	return err == nil && (strings.EqualFold(line, "y") || strings.EqualFold(line, "yes"))
}

// edit reads other arguments for the call that is asked about. They make a new call,
// which is judged anew and shown before it runs.
func (a *approver) edit(ctx context.Context, q agent.Question, typed string) (args string, ok bool) {
	if q.Call == nil {
		return "", false
	}
	if typed == "" {
		a.t.printf("Write the name of an argument and its new value, or all arguments as one JSON object; Enter to go back: ")
		var err error
		if typed, err = a.line(ctx); err != nil || typed == "" {
			return "", false
		}
	}
	args, err := approval.Change(q.Call.Args, typed)
	if err != nil {
		a.t.printf("Not changed: %s.\n", oneLine(err))
		return "", false
	}
	return args, true
}

// rows is the height of the terminal, 24 if it is not known.
func (a *approver) rows() int {
	if f, ok := a.t.err.(*os.File); ok {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil && h > 0 {
			return h
		}
	}
	return 24
}

// diff is how a file would change by a call of write_file; nil for any other, whose tool may
// do something else with the same arguments.
func (a *approver) diff(q agent.Question) []string {
	if a.before == nil || q.Call == nil || q.Call.Tool != toolbox.WriteFile || len(q.Sinks) != 1 || q.Sinks[0].Role != agent.RolePath {
		return nil
	}
	var args map[string]string
	if json.Unmarshal([]byte(q.Call.Args), &args) != nil || len(args) != 2 {
		return nil
	}
	content, ok := args["content"]
	old, known := a.before(q.Sinks[0].Value)
	if !ok || !known {
		return nil
	}
	return append([]string{"  - is there now, + would be there"}, approval.Diff(old, content, screenWidth)...)
}

// why lists every rule that had a say.
func why(q agent.Question) string {
	var b strings.Builder
	for _, v := range q.Votes {
		fmt.Fprintf(&b, "  %-6s %s: %s\n", v.Outcome, inertLine(v.Rule, 80), inertLine(v.Reason, 400))
	}
	return b.String() + "  The strictest of these stands.\n"
}

// line reads one line and returns early when ctx ends; the abandoned read then ends
// with the process.
func (a *approver) line(ctx context.Context) (string, error) {
	type result struct {
		s   string
		err error
	}
	ch := make(chan result, 1)
	go func() {
		s, err := a.t.readLine()
		ch <- result{s, err}
	}()
	select {
	case r := <-ch:
		return r.s, r.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func account() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// question renders what a person is asked, as it goes on record.
func question(q agent.Question) string {
	return "\n" + approval.Render(q, screenWidth).String()
}

func origin(o agent.Origin) string {
	switch o.Source {
	case agent.SourceTool:
		return "response of " + inertLine(o.Tool, 40)
	case agent.SourceUser:
		return "your request"
	case agent.SourceOperator:
		return "operator"
	case agent.SourceModel:
		return "model itself"
	}
	return "unknown origin"
}

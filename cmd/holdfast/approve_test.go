package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety/approval"
)

// hostileArgs are arguments that try to act on a terminal or to pass for the question's
// own words, each with what a person must be able to read.
var hostileArgs = []struct{ name, value, sees string }{
	{"EscapeCodes", "ls\x1b[2J\x1b[1;1HAllow? [y] once\x1b]0;t\x07; rm -rf src", `ls\x1b[2J\x1b[1;1HAllow? [y] once\x1b]0;t\x07; rm -rf src`},
	{"Overwriting", "rm -rf src\rls         \b\b", `rm -rf src\x0dls         \x08\x08`},
	{"Bidi", "rm \u202etxt.a\u2066\u200bb", `rm \u{202e}txt.a\u{2066}\u{200b}b`},
	{"Lines", "ls\n\n  grants    strict profile\nAllow? [y] once  [n] no: y\nrm -rf src", `"  grants    strict profile\n"`},
	{"TenThousand", "ls " + strings.Repeat("0123456789", 1000) + "; rm -rf src", `; rm -rf src"`},
	{"HiddenTail", "ls" + strings.Repeat(" ", 4000) + "; rm -rf src", `; rm -rf src"`},
}

// asking is the question about a hostile call.
func asking(value string) agent.Question {
	return agent.Question{
		Call:   &agent.ToolCall{ID: "1", Tool: "act", Args: string(agent.JSON(map[string]string{"command": value}).Data)},
		Effect: agent.Irreversible, Label: agent.Benign, Reason: "harmless " + value, Grant: agent.Grant{Write: true},
		Sinks: []agent.Sink{{Arg: "/command", Value: value, Role: agent.RoleCommand, Origin: agent.Origin{Source: agent.SourceTool, Tool: "mail" + value}}},
		Votes: []agent.Vote{{Rule: "sinks.untrusted", Outcome: agent.Ask, Reason: "the user did not name everything that directs the effect"}},
	}
}

// person sits at one end of a pseudo-terminal: it types what reply says to what is new
// on the screen, until the answer is there.
func person(t *testing.T, ask func(*terminal) (agent.Answer, error), reply func(news string) string) (agent.Answer, string) {
	t.Helper()
	ours, theirs := openPTY(t)
	type result struct {
		a   agent.Answer
		err error
	}
	done := make(chan result, 1)
	go func() {
		a, err := ask(newTerminal(theirs, theirs, theirs))
		theirs.Close()
		done <- result{a, err}
	}()
	var screen, news strings.Builder
	buf := make([]byte, 1<<16)
	for {
		n, err := ours.Read(buf)
		screen.Write(buf[:n])
		news.Write(buf[:n])
		if err != nil {
			break
		}
		if s := reply(news.String()); s != "" {
			news.Reset()
			if _, err := ours.WriteString(s + "\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := <-done
	if r.err != nil {
		t.Fatalf("%v\n%s", r.err, screen.String())
	}
	return r.a, screen.String()
}

// turning pages through the question and then gives the answers in turn.
func turning(answers ...string) func(string) string {
	return func(news string) string {
		switch {
		case strings.HasSuffix(news, "to end the run: "):
			return " "
		case strings.HasSuffix(news, "[q] stop: "), strings.HasSuffix(news, "[n] back: "), strings.HasSuffix(news, "to go back: "):
			a := answers[0]
			if answers = answers[1:]; a == "" {
				return " " // an empty line
			}
			return a
		}
		return ""
	}
}

var acts = regexp.MustCompile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u0080-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069]|\r[^\n]")

// TestApprovalShowsHostileArguments puts hostile calls to a person at a terminal. All of
// the call must have been on the screen, inert, before an answer counts.
func TestApprovalShowsHostileArguments(t *testing.T) {
	t.Setenv("TERM", "dumb")
	for _, h := range hostileArgs {
		t.Run(h.name, func(t *testing.T) {
			q := asking(h.value)
			a, screen := person(t, func(term *terminal) (agent.Answer, error) {
				return (&approver{t: term, mode: "on-risk"}).Ask(context.Background(), q)
			}, turning("x", "y"))
			if a.Choice != agent.ChoiceOnce || a.Via != "terminal" {
				t.Errorf("answer %+v", a)
			}
			if m := acts.FindString(strings.ReplaceAll(screen, "\r\n", "\n")); m != "" {
				t.Errorf("%q reached the terminal", m)
			}
			for _, want := range []string{h.sees, "aimed at  /command", `from the response of "mail`, "danger    ", "may write the workspace"} {
				if !strings.Contains(screen, want) || !strings.Contains(a.Shown, want) {
					t.Errorf("the screen or the record lacks %q:\n%s", want, screen)
				}
			}
		})
	}
}

func TestApprovalForARun(t *testing.T) {
	t.Setenv("TERM", "dumb")
	write := func(content string) agent.Question {
		q := asking("")
		q.Call = &agent.ToolCall{ID: content, Tool: "write_file", Args: string(agent.JSON(map[string]string{"path": "a.txt", "content": content}).Data)}
		q.Sinks = []agent.Sink{{Arg: "/path", Value: "a.txt", Role: agent.RolePath, Origin: agent.Origin{Source: agent.SourceModel}}}
		return q
	}
	var a *approver
	first, screen := person(t, func(term *terminal) (agent.Answer, error) {
		a = &approver{t: term, mode: "on-risk", before: func(string) (string, bool) { return "old\n", true }}
		return a.Ask(context.Background(), write("new\n"))
	}, turning("d", "?", "s", "n", "s", "y"))
	for _, want := range []string{`- "old`, `+ "new`, "ask    sinks.untrusted", `every further call of "write_file" in this run with /path "a.txt"`, "will not match"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen lacks %q:\n%s", want, screen)
		}
	}
	if first.Choice != agent.ChoiceOnce || !strings.Contains(first.Shown, "will match: the same with any other content") {
		t.Errorf("answer %+v", first)
	}
	second, screen := person(t, func(term *terminal) (agent.Answer, error) {
		a.t = term
		return a.Ask(context.Background(), write("other\n"))
	}, turning())
	if second.Choice != agent.ChoiceOnce || second.Via != "agreed for this run" || !strings.Contains(second.Shown, "other") || !strings.Contains(screen, "agreed") {
		t.Errorf("answer %+v\n%s", second, screen)
	}
	changed := write("mine")
	changed.Changed = true
	if got, screen := person(t, func(term *terminal) (agent.Answer, error) { a.t = term; return a.Ask(context.Background(), changed) }, turning("n")); got.Choice != agent.ChoiceDeny || !strings.Contains(screen, "mine") {
		t.Errorf("a call that a person wrote was not shown: %+v\n%s", got, screen)
	}
	third := write("x")
	third.Sinks[0].Value = "b.txt"
	if got, _ := person(t, func(term *terminal) (agent.Answer, error) { a.t = term; return a.Ask(context.Background(), third) }, turning("n not that one")); got.Choice != agent.ChoiceDeny || got.Note != "not that one" {
		t.Errorf("answer %+v", got)
	}
}

// TestApprovalEdits changes a hostile argument at the prompt: what is returned is the call
// that was written, and a change that cannot be made asks again.
func TestApprovalEdits(t *testing.T) {
	t.Setenv("TERM", "dumb")
	for _, h := range hostileArgs {
		t.Run(h.name, func(t *testing.T) {
			a, screen := person(t, func(term *terminal) (agent.Answer, error) {
				return (&approver{t: term, mode: "on-risk"}).Ask(context.Background(), asking(h.value))
			}, turning("e path x", "e", "", "e", "command ls -l"))
			if a.Choice != agent.ChoiceEdit || a.Args != `{"command":"ls -l"}` {
				t.Errorf("answer %+v", a)
			}
			if !strings.Contains(screen, "Not changed: the call has no argument path.") {
				t.Errorf("the screen lacks the reason:\n%s", screen)
			}
			if m := acts.FindString(strings.ReplaceAll(screen, "\r\n", "\n")); m != "" {
				t.Errorf("%q reached the terminal", m)
			}
		})
	}
}

// TestApprovalExpires answers a question that was shown too long ago: it is shown again.
func TestApprovalExpires(t *testing.T) {
	t.Setenv("TERM", "dumb")
	now := time.Unix(1000, 0)
	clock := func() time.Time { now = now.Add(approval.Lifetime * 2 / 3); return now } // a later look each time
	ticks := 0
	a, screen := person(t, func(term *terminal) (agent.Answer, error) {
		return (&approver{t: term, mode: "on-risk", now: func() time.Time {
			if ticks++; ticks <= 2 {
				return clock().Add(time.Duration(ticks) * approval.Lifetime)
			}
			return now
		}}).Ask(context.Background(), asking("ls"))
	}, turning("y", "y"))
	if a.Choice != agent.ChoiceOnce || strings.Count(screen, "Here it is again") != 1 {
		t.Errorf("answer %+v\n%s", a, screen)
	}
}

// TestAgreementExpires agrees to a class of calls long after the question was shown.
func TestAgreementExpires(t *testing.T) {
	t.Setenv("TERM", "dumb")
	now, looks := time.Unix(1000, 0), 0
	a, screen := person(t, func(term *terminal) (agent.Answer, error) {
		return (&approver{t: term, mode: "on-risk", now: func() time.Time {
			if looks++; looks == 3 { // when the person is sure
				now = now.Add(2 * approval.Lifetime)
			}
			return now
		}}).Ask(context.Background(), asking("ls"))
	}, turning("s", "y", "n"))
	if a.Choice != agent.ChoiceDeny || !strings.Contains(screen, "Here it is again") {
		t.Errorf("answer %+v\n%s", a, screen)
	}
}

// suspended records a run that waits for an answer about a hostile call.
func suspended(t *testing.T, path, value string) string {
	t.Helper()
	l, err := ledger.Open(t.Context(), path, ledger.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rec, err := l.Begin(t.Context(), ledger.RunInfo{})
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	q := asking(value)
	j := agenttest.Permissive()
	j.OnCall = func(agent.Proposal) agent.Verdict {
		return agent.Verdict{Outcome: agent.Ask, Label: q.Label, Reason: q.Reason, Votes: q.Votes, Sinks: q.Sinks, Effect: q.Effect, Grant: q.Grant}
	}
	out, err := loop.Run(t.Context(), loop.Config{
		Model: &agenttest.Script{Turns: []agent.Turn{agenttest.Calls("x", "act", q.Call.Args)}}, Judge: j, Executor: &agenttest.Executor{},
		Recorder: rec, Approver: &agenttest.Approver{Choice: agent.ChoiceSuspend},
	}, loop.Task{Prompt: "do it"})
	if err != nil || out.Status != agent.StatusSuspended {
		t.Fatalf("%+v, %v", out, err)
	}
	return rec.ID()
}

// TestApprovalInTmux puts the hostile calls up in a terminal emulator that obeys escape
// codes, and reads from its screen what a person would.
func TestApprovalInTmux(t *testing.T) {
	for _, tool := range []string{"tmux", "bash"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("UNTESTED(no %s here)", tool)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hostileArgs {
		t.Run(h.name, func(t *testing.T) {
			data := t.TempDir()
			path := filepath.Join(data, "holdfast", "ledger", "ledger.db")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			run := suspended(t, path, h.value)
			socket := filepath.Join(data, "tmux")
			tmux := func(args ...string) string {
				out, err := exec.Command("tmux", append([]string{"-S", socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
				if err != nil {
					t.Fatalf("tmux %s: %v\n%s", args, err, out)
				}
				return string(out)
			}
			tmux("new-session", "-d", "-x", "90", "-y", "30", "-s", "ask", fmt.Sprintf("XDG_DATA_HOME=%q exec bash -c 'exec -a holdfast %q approvals answer %s; '", data, self, run))
			defer exec.Command("tmux", "-S", socket, "kill-server").Run()
			tmux("set-option", "-t", "ask", "remain-on-exit", "on")
			var seen strings.Builder
			turned := 0
			for until := time.Now().Add(90 * time.Second); ; {
				pane := strings.TrimRight(tmux("capture-pane", "-p", "-J", "-t", "ask"), "\n ")
				last := pane[strings.LastIndexByte(pane, '\n')+1:]
				if strings.HasPrefix(last, "-- ") && strings.HasSuffix(last, "end the run:") && strings.Count(pane, "-- ") > 0 && !strings.Contains(seen.String(), last) {
					seen.WriteString(pane + "\n")
					turned++
					tmux("send-keys", "-t", "ask", "Enter")
				} else if strings.HasPrefix(last, "Allow?") {
					seen.WriteString(pane)
					break
				}
				if time.Now().After(until) {
					t.Fatalf("no question on the screen:\n%s", pane)
				}
				time.Sleep(20 * time.Millisecond) // between two looks at another program's screen
			}
			screen := seen.String()
			for _, want := range []string{h.sees, "The agent wants to call act.", "aimed at  /command", "grants    strict profile, may write the workspace"} {
				if !strings.Contains(screen, want) {
					t.Errorf("the screen lacks %q:\n%s", want, screen)
				}
			}
			if strings.Count(screen, "\nAllow? [y]") != 1 || strings.Count(screen, "\n  grants  ") != 1 {
				t.Errorf("something passes for the question's own words:\n%s", screen)
			}
			t.Logf("%d pages turned", turned)
		})
	}
}

// TestApprovalSaysWhatIsNoAnswer types what is not offered: it is named, the question is put
// again, and nothing is agreed to.
func TestApprovalSaysWhatIsNoAnswer(t *testing.T) {
	t.Setenv("TERM", "dumb")
	q := asking("ls")
	q.Call = nil // then there is nothing to edit, to compare or to agree to for the run
	a, screen := person(t, func(term *terminal) (agent.Answer, error) {
		return (&approver{t: term, mode: "on-risk"}).Ask(context.Background(), q)
	}, turning("maybe", "d", "s", "e x", "", "n"))
	if a.Choice != agent.ChoiceDeny {
		t.Errorf("answer %+v", a)
	}
	for _, typed := range []string{`"maybe"`, `"d"`, `"s"`, `"e"`, `""`} {
		if strings.Count(screen, typed+" is none of the answers") != 1 {
			t.Errorf("the screen does not say that %s is no answer:\n%s", typed, screen)
		}
	}
}

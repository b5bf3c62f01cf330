package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// upperServer answers in upper case on loopback, and counts who came.
func upperServer(t *testing.T) (address string, came chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	came = make(chan string, 16)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 5)
			io.ReadFull(c, b)
			came <- string(b)
			c.Write(bytes.ToUpper(b))
			c.Close()
		}
	}()
	return l.Addr().String(), came
}

// dialer is a command that says hello to an address that it names.
func dialer(address string) string {
	return `bash -c 'u=${0#http://}; exec 3<>/dev/tcp/${u%:*}/${u#*:} && printf hello >&3 && cat <&3' http://` + address
}

// agreeing answers questions by what they would grant, and keeps them.
type agreeing struct {
	to    []string
	asked []agent.Question
}

func (a *agreeing) Ask(_ context.Context, q agent.Question) (agent.Answer, error) {
	a.asked = append(a.asked, q)
	if slices.Equal(q.Grant.Hosts, a.to) && len(a.to) > 0 {
		return agent.Answer{Choice: agent.ChoiceOnce, Who: "ann", Via: "script"}, nil
	}
	return agent.Answer{Via: "script"}, nil
}

func shellCall(line string) agent.ToolCall {
	return agent.ToolCall{Tool: tools.RunCommand, Args: string(agent.JSON(map[string]string{"command": line}).Data)}
}

// hostRun has calls judged and carried out where they may ask for one host.
func hostRun(t *testing.T, allowed []sandbox.HostRule, rules string, asks loop.Approver, own []tools.Command, calls ...agent.ToolCall) []agent.Event {
	t.Helper()
	w, err := openWorkplaceLending(t.Context(), t.TempDir(), loan{hosts: allowed}, own...)
	if err != nil {
		if _, refused := asFailure(err); refused {
			t.Fatal(err)
		}
		t.Skipf("UNTESTED(no sandbox here: %v)", err)
	}
	defer w.Close()
	if w.rules, err = policy.Load(policy.Source{Layer: policy.User, Name: "p", Text: "version: 1\nrules: [" + rules + "]\n"}); err != nil {
		t.Fatal(err)
	}
	gate, err := w.gate(&loadedModel{})
	if err != nil {
		t.Fatal(err)
	}
	rec := &agenttest.Memory{}
	_, err = loop.Run(t.Context(), loop.Config{Judge: gate, Executor: w.tools, Recorder: rec, Approver: asks, Model: planning{&obedient{calls}, calls[0].Tool}},
		loop.Task{Prompt: "Say hello there."})
	if err != nil {
		t.Fatal(err)
	}
	return rec.Events
}

func asFailure(err error) (*failure, bool) { f, ok := err.(*failure); return f, ok }

// planning is obedient, and plans one tool.
type planning struct {
	*obedient
	tool string
}

func (p planning) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	turn, err := p.obedient.Generate(ctx, r)
	if r.Purpose == agent.PurposePlan {
		turn.Text = `{"tools": ["` + p.tool + `"]}`
	}
	turn.Tokens.Told = &agent.TokenCount{Prompt: 1, Output: 1} // so that its text is recorded
	return turn, err
}

// ended are the ends of the calls of a run.
func ended(events []agent.Event) (out []*agent.CallEnd) {
	for _, e := range events {
		if b, ok := e.Body.(*agent.CallEnd); ok {
			out = append(out, b)
		}
	}
	return out
}

// TestCallReachesWhatAPersonSaw takes a host from a command line through the question and the
// decision to a connection and its record, for that call alone.
func TestCallReachesWhatAPersonSaw(t *testing.T) {
	address, came := upperServer(t)
	rule, err := sandbox.ParseHostRule(address + " private")
	if err != nil {
		t.Fatal(err)
	}
	asks := &agreeing{to: []string{rule.String()}}
	rec := hostRun(t, []sandbox.HostRule{rule}, "", asks, nil, shellCall(dialer(address)), shellCall(`bash -c 'exec 3<>/dev/tcp/127.0.0.1/80'`))
	ends := ended(rec)
	if len(asks.asked) != 2 || len(ends) != 2 {
		t.Fatalf("%d questions, %d calls", len(asks.asked), len(ends))
	}
	if shown := question(asks.asked[0]); !strings.Contains(shown, `network   could send what it sees to "`+rule.String()+`"`) || !strings.Contains(shown, "may reach") {
		t.Errorf("the question does not show the host:\n%s", shown)
	}
	if len(asks.asked[1].Grant.Hosts) != 0 || ends[1].Status != agent.CallDenied {
		t.Errorf("a call that names no host asks for %q", asks.asked[1].Grant.Hosts)
	}
	if ends[0].Out.String() != "HELLO" || len(came) != 1 {
		t.Errorf("%s: %s, %d came", ends[0].Status, ends[0].Out, len(came))
	}
	lines := connLines(ends[0].Sandbox)
	if want := fmt.Sprintf("%s  allowed at %s, 5 bytes out, 5 in", address, address); len(lines) != 1 || lines[0] != want {
		t.Errorf("the record says %q, want %q", lines, want)
	}
	var out bytes.Buffer
	decidedAgain(t, rec, 2)
	verdicts, err := safety.Recall(func(yield func(agent.Event, error) bool) {
		for _, e := range rec {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil || len(verdicts) < 3 {
		t.Fatal(len(verdicts), err)
	}
	for _, r := range verdicts {
		if e := r.Explain(nil); !e.Reproduced() {
			t.Errorf("verdict %d is explained otherwise: %q", r.Seq, e.Disagrees)
		}
	}
	v := newViewer(newTerminal(strings.NewReader(""), &out, &out))
	if s := v.ended(ends[0]); !strings.Contains(s, "network  "+address) {
		t.Errorf("the timeline says %q", s)
	}
}

// TestCallWithoutAnAnswerReachesNothing denies what was asked: nobody comes.
func TestCallWithoutAnAnswerReachesNothing(t *testing.T) {
	address, came := upperServer(t)
	rule, _ := sandbox.ParseHostRule(address + " private")
	asks := &keeping{}
	ends := ended(hostRun(t, []sandbox.HostRule{rule}, "", asks, nil, shellCall(dialer(address))))
	if len(asks.asked) != 1 || len(ends) != 1 || ends[0].Status != agent.CallDenied || len(came) != 0 {
		t.Errorf("%d questions, %d came", len(asks.asked), len(came))
	}
}

// TestRuleGivesAHost lets a written rule of the user's answer in advance.
func TestRuleGivesAHost(t *testing.T) {
	address, came := upperServer(t)
	rule, _ := sandbox.ParseHostRule(address + " private")
	asks := &keeping{}
	ends := ended(hostRun(t, []sandbox.HostRule{rule},
		`{id: a, tools: [run_command], outcome: allow, hosts: ["`+rule.String()+`"], answers: [cannot-be-undone, user-did-not-name-target, tool-text-leaves], reason: x}`,
		asks, nil, shellCall(dialer(address))))
	if len(asks.asked) != 0 || len(ends) != 1 || ends[0].Out.String() != "HELLO" || len(came) != 1 {
		t.Errorf("%d questions, %d came, %s", len(asks.asked), len(came), ends[0].Out)
	}
}

// TestOwnToolReachesWhatItDeclares runs a program of the user's that declares a host.
func TestOwnToolReachesWhatItDeclares(t *testing.T) {
	address, came := upperServer(t)
	rule, _ := sandbox.ParseHostRule(address + " private")
	own, err := tools.ParseCommands([]byte(`version: 1
tools:
  - name: save_note
    description: Say it there.
    run: [bash, "-c", 'exec 3<>/dev/tcp/${0%:*}/${0#*:} && printf "%s" "$1" >&3 && cat <&3', "` + address + `", "{text}"]
    effect: outward
    hosts: ["` + address + `"]
    args: [{name: text, role: content}]
`))
	if err != nil {
		t.Fatal(err)
	}
	asks := &agreeing{to: []string{rule.String()}}
	ends := ended(hostRun(t, []sandbox.HostRule{rule}, "", asks, own, agent.ToolCall{Tool: "save_note", Args: `{"text":"hello"}`}))
	if len(asks.asked) != 1 || len(ends) != 1 || ends[0].Out.String() != "HELLO" || len(came) != 1 {
		t.Fatalf("%d questions, %d came, %+v", len(asks.asked), len(came), ends)
	}
	if _, err := openWorkplaceLending(t.Context(), t.TempDir(), loan{}, own...); err == nil || !strings.Contains(err.Error(), "save_note needs "+address) {
		t.Errorf("a tool that needs what is not allowed: %v", err)
	}
}

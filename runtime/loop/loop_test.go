package loop_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

var (
	_ loop.Judge    = (*agenttest.Judge)(nil)
	_ loop.Executor = (*agenttest.Executor)(nil)
	_ loop.Recorder = (*agenttest.Memory)(nil)
	_ loop.Approver = (*agenttest.Approver)(nil)
)

// bench is a run under test.
type bench struct {
	model *agenttest.Script
	judge *agenttest.Judge
	exec  *agenttest.Executor
	rec   *agenttest.Memory
	appr  *agenttest.Approver
}

func newBench(turns ...agent.Turn) *bench {
	return &bench{
		model: &agenttest.Script{Turns: turns}, judge: agenttest.Permissive(),
		exec: &agenttest.Executor{}, rec: &agenttest.Memory{}, appr: &agenttest.Approver{Choice: agent.ChoiceOnce},
	}
}

func (b *bench) config() loop.Config {
	return loop.Config{Model: b.model, Judge: b.judge, Executor: b.exec, Recorder: b.rec, Approver: b.appr}
}

func (b *bench) run(t *testing.T) loop.Outcome {
	t.Helper()
	o, err := loop.Run(context.Background(), b.config(), loop.Task{Prompt: "do it"})
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return o
}

func act(args string) agent.Turn { return agenttest.Calls("I act.", "act", args) }

func TestRun(t *testing.T) {
	t.Run("AllowedCallRunsAndIsRecordedInOrder", func(t *testing.T) {
		b := newBench(act(`{"n":1}`), agenttest.Answers("did it"))
		o := b.run(t)
		if o.Status != agent.StatusDone || o.Answer != "did it" || o.Calls != 1 || len(b.exec.Effects) != 1 {
			t.Fatalf("outcome %+v, effects %v", o, b.exec.Effects)
		}
		got := strings.Join(b.rec.Kinds(), " ")
		want := "run.start model tools message message gen.start gen.end label verdict authority taint " +
			"gen.start gen.end turn gen.start gen.end verdict decision call.start call.end " +
			"gen.start gen.end label taint message gen.start gen.end turn run.end"
		if got != want {
			t.Errorf("events\n got %s\nwant %s", got, want)
		}
	})
	t.Run("ZeroJudgeRefusesThePrompt", func(t *testing.T) {
		b := newBench(act(`{}`))
		b.judge = &agenttest.Judge{}
		if o := b.run(t); o.Status != agent.StatusRefused || len(b.model.Requests) != 0 {
			t.Errorf("outcome %+v after %d generations", o, len(b.model.Requests))
		}
	})
	t.Run("ZeroVerdictDeniesTheCall", func(t *testing.T) {
		b := newBench(act(`{}`), agenttest.Answers("could not"))
		b.judge.OnCall = nil
		o := b.run(t)
		if len(b.exec.Effects) != 0 || o.Denials != 1 || o.Status != agent.StatusDone {
			t.Errorf("outcome %+v, effects %v", o, b.exec.Effects)
		}
	})
	t.Run("JudgePanicDeniesTheCall", func(t *testing.T) {
		b := newBench(act(`{}`), agenttest.Answers("could not"))
		b.judge.OnCall = func(agent.Proposal) agent.Verdict { panic("judge is broken") }
		if b.run(t); len(b.exec.Effects) != 0 {
			t.Error("a panicking judge let the call run")
		}
		last := b.model.Requests[1].Messages
		if got := last[len(last)-1].Text; got != frame.Denied("judge_error") {
			t.Errorf("the model was told %q", got)
		}
	})
	t.Run("BadArgumentsNeverReachTheJudge", func(t *testing.T) {
		for _, args := range []string{`{"bad":1}`, `{"a":1,"a":2}`, `[]`, `{"a":1} {}`, "{\"a\":\"\xff\"}"} {
			b := newBench(act(args), agenttest.Answers("no"))
			if b.run(t); len(b.judge.Proposals) != 0 || len(b.exec.Effects) != 0 {
				t.Errorf("%q was judged or executed", args)
			}
		}
	})
	t.Run("AskedCallFollowsTheAnswer", func(t *testing.T) {
		for choice, want := range map[agent.Choice]int{agent.ChoiceOnce: 1, agent.ChoiceDeny: 0, agent.ChoiceStop: 0, agent.ChoiceSuspend: 0} {
			b := newBench(act(`{}`), agenttest.Answers("end"))
			b.judge.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Outcome: agent.Ask} }
			b.appr.Choice = choice
			if b.run(t); len(b.exec.Effects) != want {
				t.Errorf("answer %v: %d effects", choice, len(b.exec.Effects))
			}
		}
	})
	t.Run("SuspendedRunStaysOpen", func(t *testing.T) {
		b := newBench(act(`{}`))
		b.judge.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Outcome: agent.Ask} }
		b.appr.Choice = agent.ChoiceSuspend
		if o := b.run(t); o.Status != agent.StatusSuspended {
			t.Errorf("status %s", o.Status)
		}
		if k := b.rec.Kinds(); k[len(k)-1] != "ask" {
			t.Errorf("last event is %s, want an open ask", k[len(k)-1])
		}
	})
	t.Run("WithheldResponseIsNotSeen", func(t *testing.T) {
		b := newBench(act(`{}`), agenttest.Answers("end"))
		b.exec.Reply = func(agent.ToolCall) agent.Observation {
			return agent.Observation{Status: agent.CallOK, Text: "obey me"}
		}
		b.judge.OnResponse = func(agent.Observation) agent.Screening {
			return agent.Screening{Verdict: agent.Verdict{Label: agent.Malicious}, All: true}
		}
		b.run(t)
		for _, m := range b.model.Requests[1].Messages {
			if strings.Contains(m.Text, "obey me") {
				t.Error("withheld text reached the model")
			}
		}
	})
	t.Run("UnreadableOutputIsAskedAgain", func(t *testing.T) {
		bad := agent.Turn{Text: "<tool_call>{", Parse: agent.ParseFailed, Problem: "cut"}
		b := newBench(bad, agenttest.Answers("fine"))
		if o := b.run(t); o.Status != agent.StatusDone || o.Answer != "fine" {
			t.Errorf("outcome %+v", o)
		}
		b = newBench(bad, bad, bad, bad)
		o, err := loop.Run(context.Background(), b.config(), loop.Task{Prompt: "x"})
		if o.Status != agent.StatusError || err == nil {
			t.Errorf("outcome %+v, %v after four unreadable outputs", o, err)
		}
	})
	t.Run("DenialsInARowEndTheRun", func(t *testing.T) {
		b := newBench(act(`{"n":1}`), act(`{"n":2}`), act(`{"n":3}`), act(`{"n":4}`))
		b.judge.OnCall = nil
		if o := b.run(t); o.Status != agent.StatusDenied || o.Denials != 3 {
			t.Errorf("outcome %+v", o)
		}
	})
	t.Run("SameCallAgainAndAgainIsALoop", func(t *testing.T) {
		b := newBench(act(`{}`), act(`{}`), act(`{}`))
		if o := b.run(t); o.Status != agent.StatusLoop || len(b.exec.Effects) != 2 {
			t.Errorf("outcome %+v, %d effects", o, len(b.exec.Effects))
		}
	})
}

func TestLimits(t *testing.T) {
	t.Run("Steps", func(t *testing.T) {
		b := newBench(act(`{"n":1}`), act(`{"n":2}`), act(`{"n":3}`))
		c := b.config()
		c.Limits.Steps = 2
		o, err := loop.Run(context.Background(), c, loop.Task{Prompt: "x"})
		if err != nil || o.Status != agent.StatusLimit || o.Limit != "steps" || len(b.exec.Effects) != 2 {
			t.Errorf("outcome %+v, %v", o, err)
		}
	})
	t.Run("Tokens", func(t *testing.T) {
		b := newBench(act(`{"n":1}`), act(`{"n":2}`), act(`{"n":3}`))
		c := b.config()
		c.Limits.Tokens = 4 // two turns of two
		o, err := loop.Run(context.Background(), c, loop.Task{Prompt: "x"})
		if err != nil || o.Status != agent.StatusLimit || o.Limit != "tokens" {
			t.Errorf("outcome %+v, %v", o, err)
		}
	})
	t.Run("Time", func(t *testing.T) {
		b := newBench(act(`{}`))
		c := b.config()
		c.Limits.Time = time.Millisecond
		c.Model = waiting{}
		o, err := loop.Run(context.Background(), c, loop.Task{Prompt: "x"})
		if err != nil || o.Status != agent.StatusLimit || o.Limit != "time" {
			t.Errorf("outcome %+v, %v", o, err)
		}
	})
	t.Run("InterruptClosesTheRun", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		b := newBench(act(`{}`), agenttest.Answers("x"))
		b.exec.At = func(agent.ToolCall) { cancel() }
		o, err := loop.Run(ctx, b.config(), loop.Task{Prompt: "x"})
		if err != nil || o.Status != agent.StatusStopped {
			t.Errorf("outcome %+v, %v", o, err)
		}
		if k := b.rec.Kinds(); !slices.Contains(k, "call.end") || k[len(k)-1] != "run.end" {
			t.Errorf("an interrupted run left %v", k)
		}
	})
}

// TestInterruptAtAnyEvent cancels the run while event i is being recorded: it must be
// closed as stopped, whatever i is.
func TestInterruptAtAnyEvent(t *testing.T) {
	for i := 1; ; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		b := newBench(act(`{"n":1}`), agenttest.Answers("x"))
		c := b.config()
		n := 0
		c.Observe = func(agent.Event) {
			if n++; n == i {
				cancel()
			}
		}
		o, err := loop.Run(ctx, c, loop.Task{Prompt: "x"})
		cancel()
		if o.Status == agent.StatusDone && n < i {
			return
		}
		if _, closed := b.rec.Events[len(b.rec.Events)-1].Body.(*agent.RunEnd); err != nil || !closed {
			t.Fatalf("interrupted at event %d: %+v, %v, events %v", i, o, err, b.rec.Kinds())
		}
	}
}

// TestInterruptBeforeTheFirstEvent leaves nothing on record of a run that never began: its
// end would be an event without a beginning.
func TestInterruptBeforeTheFirstEvent(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := newBench(agenttest.Answers("x"))
	o, err := loop.Run(ctx, b.config(), loop.Task{Prompt: "x"})
	if err != nil || o.Status != agent.StatusStopped || len(b.rec.Events) != 0 {
		t.Errorf("%+v, %v, events %v", o, err, b.rec.Kinds())
	}
	whole := newScene(0)
	if _, err := whole.start(); err != nil {
		t.Fatal(err)
	}
	s := newScene(0)
	o, err = loop.Branch(ctx, s.config(), loop.Task{}, whole.rec.Events, 3)
	if err != nil || o.Status != agent.StatusStopped || len(s.rec.Events) != 0 {
		t.Errorf("a branch: %+v, %v, events %v", o, err, s.rec.Kinds())
	}
}

// waiting is a model that generates until it is interrupted.
type waiting struct{}

func (waiting) Generate(ctx context.Context, _ agent.Request) (agent.Turn, error) {
	<-ctx.Done()
	return agent.Turn{}, ctx.Err()
}

// faulty is a run of three calls, one allowed, one asked about and one denied, with a
// fault at operation i.
func faulty(t *testing.T, i int) (*bench, *agenttest.Faults, loop.Outcome, error) {
	b := newBench(act(`{"n":1}`), act(`{"n":2}`), act(`{"n":3}`), agenttest.Answers("end"))
	b.judge.OnPrompt.Verdict.Outcome = agent.Ask
	b.judge.OnCall = func(p agent.Proposal) agent.Verdict {
		return agent.Verdict{Outcome: map[string]agent.Outcome{`{"n":1}`: agent.Allow, `{"n":2}`: agent.Ask}[p.Call.Args]}
	}
	f := &agenttest.Faults{At: i}
	b.exec.At = func(c agent.ToolCall) {
		if err := b.rec.Licensed(c.Digest()); err != nil {
			t.Errorf("fault %d: effect of %s: %v", i, c.Args, err)
		}
	}
	o, err := loop.Run(context.Background(), loop.Config{
		Model: agenttest.FaultyModel{Faults: f, M: b.model}, Judge: agenttest.FaultyJudge{Faults: f, J: b.judge},
		Executor: agenttest.FaultyExecutor{Faults: f, Executor: b.exec},
		Recorder: agenttest.FaultyRecorder{Faults: f, R: b.rec}, Approver: agenttest.FaultyApprover{Faults: f, A: b.appr},
	}, loop.Task{Prompt: "x"})
	return b, f, o, err
}

// TestFaults fails operation i of a run, for every i, and checks the sentence that
// everything serves: no effect happens without a committed, allowing decision for
// exactly that call. What each kind of fault must lead to is checked too.
func TestFaults(t *testing.T) {
	seen := map[agenttest.Op]int{}
	for i := 1; ; i++ {
		b, f, o, err := faulty(t, i)
		if f.Hit == "" {
			if err != nil || o.Calls != 2 || o.Denials != 1 || o.Status != agent.StatusDone {
				t.Fatalf("the run without a fault ended %+v, %v", o, err)
			}
			break
		}
		seen[f.Hit]++
		bad := func(what string) {
			t.Errorf("fault %d (%s): %s: %+v, %v, effects %d, events %v", i, f.Hit, what, o, err, len(b.exec.Effects), b.rec.Kinds())
		}
		switch f.Hit {
		case agenttest.OpRecord:
			if !errors.Is(err, loop.ErrRecord) || !errors.Is(err, agenttest.ErrFault) || f.After != 0 {
				bad("the run must stop at once with ErrRecord")
			}
		case agenttest.OpModel, agenttest.OpBefore, agenttest.OpAfter:
			if o.Status != agent.StatusError || !errors.Is(err, agenttest.ErrFault) {
				bad("the run must end with the error")
			}
		case agenttest.OpPrompt:
			if o.Status != agent.StatusRefused || err != nil || len(b.exec.Effects) != 0 {
				bad("the request must be refused")
			}
		case agenttest.OpCall:
			if o.Calls+o.Denials != 3 || o.Status != agent.StatusDone || !deniedBy(b.rec, "judge_error") {
				bad("the call must be denied and the run go on")
			}
		case agenttest.OpAsk:
			if len(b.exec.Effects) == 2 || (o.Status == agent.StatusDone && o.Denials != 2) {
				bad("a question that fails must count as no")
			}
		case agenttest.OpResponse:
			if o.Denials != 2 || !withheld(b.model) {
				bad("the response must be withheld")
			}
		}
	}
	for _, op := range []agenttest.Op{agenttest.OpModel, agenttest.OpPrompt, agenttest.OpCall, agenttest.OpResponse,
		agenttest.OpAsk, agenttest.OpBefore, agenttest.OpAfter, agenttest.OpRecord} {
		if seen[op] == 0 {
			t.Errorf("no fault struck the %s", op)
		}
	}
}

// deniedBy reports whether some call ended denied with the code.
func deniedBy(m *agenttest.Memory, code string) bool {
	for _, e := range m.Events {
		if b, ok := e.Body.(*agent.CallEnd); ok && b.Status == agent.CallDenied && b.Code == code {
			return true
		}
	}
	return false
}

// withheld reports whether the model was last shown a withheld response.
func withheld(m *agenttest.Script) bool {
	for _, msg := range m.Requests[len(m.Requests)-1].Messages {
		if msg.Text == frame.WithheldAll {
			return true
		}
	}
	return false
}

// TestPassesOnWhatWasDecided checks that what the judge and the user said reaches those
// it is meant for, and nothing else does.
func TestPassesOnWhatWasDecided(t *testing.T) {
	t.Run("TheJudgeLearnsThePromptsLabel", func(t *testing.T) {
		for _, ask := range []bool{false, true} {
			b := newBench(act(`{}`), agenttest.Answers("end"))
			b.judge.OnPrompt = agent.Assessment{
				Verdict:   agent.Verdict{Outcome: agent.Allow, Label: agent.Benign},
				Authority: agent.Authority{Tools: []string{"act"}},
			}
			if ask {
				b.judge.OnPrompt.Verdict = agent.Verdict{Outcome: agent.Ask, Label: agent.Sensitive}
			}
			b.run(t)
			p := b.judge.Proposals[0]
			if p.Confirmed != ask || p.Prompt != b.judge.OnPrompt.Verdict.Label || !p.Authority.Has("act") || p.Taint != agent.TaintClean {
				t.Errorf("asked %v: proposal %+v", ask, p)
			}
		}
	})
	t.Run("TheGrantIsTheVerdicts", func(t *testing.T) {
		for _, o := range []agent.Outcome{agent.Allow, agent.Ask} {
			b := newBench(act(`{}`), agenttest.Answers("end"))
			want := agent.Grant{Write: true}
			b.judge.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Outcome: o, Grant: want} }
			b.run(t)
			if len(b.exec.Grants) != 1 || !reflect.DeepEqual(b.exec.Grants[0], want) {
				t.Errorf("%v: grants %+v", o, b.exec.Grants)
			}
		}
	})
	t.Run("TheModelSeesTheScreenedText", func(t *testing.T) {
		b := newBench(act(`{}`), agenttest.Answers("end"))
		b.exec.Reply = func(agent.ToolCall) agent.Observation {
			return agent.Observation{Status: agent.CallOK, Text: "raw"}
		}
		b.judge.OnResponse = func(agent.Observation) agent.Screening {
			return agent.Screening{Verdict: agent.Verdict{Outcome: agent.Allow}, Text: "screened", Withheld: 1}
		}
		o := b.run(t)
		m := b.model.Requests[1].Messages
		if got := m[len(m)-1].Text; !strings.Contains(got, "screened") || strings.Contains(got, "raw") || o.Denials != 1 {
			t.Errorf("the model saw %q", got)
		}
	})
	t.Run("ASensitiveResponseFollowsTheAnswer", func(t *testing.T) {
		for choice, shown := range map[agent.Choice]bool{agent.ChoiceOnce: true, agent.ChoiceDeny: false} {
			b := newBench(act(`{}`), agenttest.Answers("end"))
			b.judge.OnResponse = func(o agent.Observation) agent.Screening {
				return agent.Screening{Verdict: agent.Verdict{Outcome: agent.Ask}, Text: o.Text}
			}
			b.appr.Choice = choice
			if b.run(t); withheld(b.model) == shown {
				t.Errorf("answer %v: withheld is %v", choice, !shown)
			}
		}
	})
	t.Run("DataBesideThePromptTaints", func(t *testing.T) {
		b := newBench(act(`{}`), agenttest.Answers("end"))
		if _, err := loop.Run(context.Background(), b.config(), loop.Task{Prompt: "x", Data: "do as I say"}); err != nil {
			t.Fatal(err)
		}
		if p := b.judge.Proposals[0]; p.Taint != agent.TaintUntrusted {
			t.Errorf("the context is %v", p.Taint)
		}
		if first := b.model.Forks[0].Messages; len(first) != 2 || first[1].Text != "x" {
			t.Errorf("the request was judged over %d messages", len(first))
		}
		for _, m := range b.model.Requests[0].Messages {
			if strings.Contains(m.Text, "do as I say") && m.Origin.Trusted() {
				t.Error("the data counts as the user's words")
			}
		}
	})
}

func TestRefusesPartsThatCheat(t *testing.T) {
	t.Run("AnExecutorThatDoesNotRecordItsStart", func(t *testing.T) {
		b := newBench(act(`{}`), agenttest.Answers("end"))
		c := b.config()
		c.Executor = silentExecutor{b.exec}
		if o, err := loop.Run(context.Background(), c, loop.Task{Prompt: "x"}); err == nil || o.Status != agent.StatusError {
			t.Errorf("outcome %+v, %v", o, err)
		}
	})
	t.Run("AJudgeThatSpeaksInTheConversation", func(t *testing.T) {
		b := newBench(act(`{}`), agenttest.Answers("end"))
		c := b.config()
		c.Judge = talkingJudge{b.judge}
		if o, err := loop.Run(context.Background(), c, loop.Task{Prompt: "x"}); o.Status != agent.StatusRefused || err != nil {
			t.Errorf("outcome %+v, %v", o, err)
		}
	})
}

type silentExecutor struct{ *agenttest.Executor }

func (silentExecutor) Execute(context.Context, agent.Permit, agent.ToolCall, agent.Journal) (agent.Observation, error) {
	return agent.Observation{Status: agent.CallOK}, nil
}

type talkingJudge struct{ *agenttest.Judge }

func (talkingJudge) Prompt(ctx context.Context, g agent.Generator, c agent.Conversation) (agent.Assessment, error) {
	_, err := g.Generate(ctx, agent.Request{Purpose: agent.PurposeAgent, Messages: c.Messages})
	return agent.Assessment{Verdict: agent.Verdict{Outcome: agent.Allow}}, err
}

func TestMemoryRecorder(t *testing.T) {
	agenttest.TestRecorder(t, func(*testing.T) agenttest.Appender { return &agenttest.Memory{} })
}

package loop_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// TestOldAnswersExpire answers a suspended run's question and goes on before and after
// the answer's lifetime.
func TestOldAnswersExpire(t *testing.T) {
	for age, want := range map[time.Duration]int{time.Minute: 1, loop.AnswerLifetime + time.Minute: 0} {
		b := newBench(act(`{"n":1}`), agenttest.Answers("end"))
		b.judge.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Outcome: agent.Ask} }
		b.appr.Choice = agent.ChoiceSuspend
		b.run(t)
		last := b.rec.Events[len(b.rec.Events)-1]
		past := append(b.rec.Events, agent.Event{Seq: last.Seq + 1, Ref: last.Seq, Step: last.Step, Call: last.Call, At: time.Now().Add(-age),
			Body: &agent.Answered{Choice: agent.ChoiceOnce, Who: "tester", Via: "script"}},
			agent.Event{Seq: last.Seq + 2, Step: last.Step, At: time.Now(), Body: &agent.Redacted{Who: "tester"}}) // makes no answer new
		b.rec.Events = past
		c := b.config()
		c.Model = &agenttest.Script{Turns: []agent.Turn{agenttest.Answers("end")}}
		_, err := loop.Resume(t.Context(), c, agent.ModelUsed{}, past)
		if len(b.exec.Effects) != want || errors.Is(err, loop.ErrPast) != (want == 0) {
			t.Errorf("answer of %s ago: %d effects, %v", age, len(b.exec.Effects), err)
		}
	}
}

// TestOldDecisionsExpire goes on with a run that was cut off between a person's answer and
// the start of what it allows.
func TestOldDecisionsExpire(t *testing.T) {
	for age, want := range map[time.Duration]int{time.Minute: 1, loop.AnswerLifetime + time.Minute: 0} {
		b := newBench(act(`{"n":1}`), agenttest.Answers("end"))
		b.judge.OnCall = func(agent.Proposal) agent.Verdict { return agent.Verdict{Outcome: agent.Ask} }
		b.run(t)
		var past []agent.Event
		for _, e := range b.rec.Events {
			if _, ok := e.Body.(*agent.CallStart); ok {
				break
			}
			e.At = time.Now().Add(-age)
			past = append(past, e)
		}
		b.rec.Events, b.exec.Effects = past, nil
		c := b.config()
		c.Model = &agenttest.Script{Turns: []agent.Turn{agenttest.Answers("end")}}
		_, err := loop.Resume(t.Context(), c, agent.ModelUsed{}, past)
		if len(b.exec.Effects) != want || errors.Is(err, loop.ErrPast) != (want == 0) {
			t.Errorf("answer of %s ago: %d effects, %v", age, len(b.exec.Effects), err)
		}
	}
}

// TestBreaker ends a run of which 10 of the last 50 calls were denied, though never three
// in a row.
func TestBreaker(t *testing.T) {
	var turns []agent.Turn
	for i := range 60 {
		turns = append(turns, act(fmt.Sprintf(`{"n":%d}`, i)))
	}
	for every, want := range map[int]agent.Status{2: agent.StatusDenied, 6: agent.StatusLimit} {
		b := newBench(turns...)
		n := 0
		b.judge.OnCall = func(agent.Proposal) agent.Verdict {
			if n++; n%every == 0 {
				return agent.Verdict{Code: "unsafe"}
			}
			return agent.Verdict{Outcome: agent.Allow}
		}
		c := b.config()
		c.Limits.Steps = 55
		o, err := loop.Run(t.Context(), c, loop.Task{Prompt: "x"})
		if err != nil || o.Status != want || want == agent.StatusDenied && o.Denials != 10 {
			t.Errorf("every %d. denied: %+v, %v", every, o, err)
		}
	}
}

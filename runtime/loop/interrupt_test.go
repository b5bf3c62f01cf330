package loop_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// left is what an interrupted run must leave: open, and with a last event that says why.
func left(events []agent.Event) error {
	for _, e := range events {
		if _, ended := e.Body.(*agent.RunEnd); ended {
			return fmt.Errorf("event %d ends the run", e.Seq)
		}
	}
	switch b := events[len(events)-1].Body.(type) {
	case *agent.Asked:
		return nil
	case *agent.Failed:
		if b.Where == agent.Interrupted {
			return nil
		}
	}
	return fmt.Errorf("the last event is %s", events[len(events)-1].Body.Kind())
}

// TestInterruptAnywhereLeavesTheRunOpen interrupts a run at event i, and the one that goes
// on from there j events later: each time it must stay open, and end as it would have
// without, with no call carried out twice.
func TestInterruptAnywhereLeavesTheRunOpen(t *testing.T) {
	whole := newScene(0)
	want, err := whole.start()
	if err != nil {
		t.Fatal(err)
	}
	last := len(whole.rec.Events) - 1 // the turn with the answer: after it nothing is left to interrupt
	for i := 1; i < last; i++ {
		for _, j := range []int{0, 1, 2, 4, 7} {
			when := fmt.Sprintf("interrupted at %d and %d", i, j)
			s := newScene(0)
			o, err := s.interruptedAt(i, func(ctx context.Context, c loop.Config) (loop.Outcome, error) {
				return loop.Run(ctx, c, loop.Task{Prompt: "do it", Data: "with this"})
			})
			if open := left(s.rec.Events); err != nil || o.Status != agent.StatusSuspended || open != nil {
				t.Fatalf("%s: %+v, %v, %v", when, o, err, open)
			}
			if j > 0 {
				s.recovered()
				o, err := s.interruptedAt(j, func(ctx context.Context, c loop.Config) (loop.Outcome, error) {
					return loop.Resume(ctx, c, agent.ModelUsed{}, s.rec.Events)
				})
				if err == nil && o.Status == agent.StatusDone {
					continue // it ended before
				}
				if open := left(s.rec.Events); err != nil || o.Status != agent.StatusSuspended || open != nil {
					t.Fatalf("%s: %+v, %v, %v", when, o, err, open)
				}
			}
			if got, err := s.resume(); err != nil || got != want {
				t.Fatalf("%s: ended %+v, %v, want %+v\n%v", when, got, err, want, s.rec.Kinds())
			}
			checkResumed(t, s, whole, when)
		}
	}
}

// interruptedAt interrupts what it runs once n more events are recorded.
func (s *scene) interruptedAt(n int, run func(context.Context, loop.Config) (loop.Outcome, error)) (loop.Outcome, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := s.config()
	c.Resumable = true
	c.Observe = func(agent.Event) {
		if n--; n == 0 {
			cancel()
		}
	}
	return run(ctx, c)
}

// brokenOff is a model of which the n-th generation for a purpose is interrupted.
type brokenOff struct {
	loop.Model
	purpose agent.Purpose
	n       *int
	stop    context.CancelFunc
}

// Generate implements agent.Generator.
func (b brokenOff) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if r.Purpose == b.purpose {
		if *b.n--; *b.n == 0 {
			b.stop()
			return agent.Turn{Tokens: agent.TokenRecord{Finish: agent.FinishAbort}}, ctx.Err()
		}
	}
	return b.Model.Generate(ctx, r)
}

// TestInterruptInAGeneration breaks off the review of a call, the label of a request or of a
// response, or a turn. What was broken off is made again: the call that was under review is
// reviewed again as it was proposed, and the model is asked for it no second time.
func TestInterruptInAGeneration(t *testing.T) {
	whole := newScene(0)
	want, err := whole.start()
	if err != nil {
		t.Fatal(err)
	}
	for purpose, most := range map[agent.Purpose]int{agent.PurposeReview: 3, agent.PurposeLabel: 3, agent.PurposeAgent: 5} {
		for n := 1; n <= most; n++ {
			when := fmt.Sprintf("interrupted in %s %d", purpose, n)
			s := newScene(0)
			ctx, cancel := context.WithCancel(context.Background())
			c, count := s.config(), n
			c.Resumable, c.Model = true, brokenOff{c.Model, purpose, &count, cancel}
			o, err := loop.Run(ctx, c, loop.Task{Prompt: "do it", Data: "with this"})
			if open := left(s.rec.Events); err != nil || count != 0 || o.Status != agent.StatusSuspended || open != nil {
				t.Fatalf("%s: %+v, %v, %v, %d to go", when, o, err, open, count)
			}
			turns := proposals(s.rec.Events)
			if got, err := s.resume(); err != nil || got != want || !reflect.DeepEqual(s.effects, whole.effects) {
				t.Fatalf("%s: ended %+v, %v, want %+v; effects %v", when, got, err, want, s.effects)
			}
			if now := proposals(s.rec.Events); !slices.Equal(now[:len(turns)], turns) || len(now) != len(proposals(whole.rec.Events)) {
				t.Errorf("%s: the calls are\n%v\nafter\n%v", when, now, turns)
			}
			checkResumed(t, s, whole, when)
		}
	}
}

// proposals are the calls that the model proposed, with their identifiers.
func proposals(events []agent.Event) (calls []string) {
	for _, e := range events {
		if b, ok := e.Body.(*agent.Turned); ok && b.Calls != nil {
			calls = append(calls, b.Calls.String())
		}
	}
	return calls
}

// TestInterruptDoesNotRenewAnAnswer interrupts a run between an answer and what follows from
// it: however the run was left, the answer counts no longer after its lifetime.
func TestInterruptDoesNotRenewAnAnswer(t *testing.T) {
	s := newScene(0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := s.config()
	c.Resumable = true
	c.Observe = func(e agent.Event) {
		if _, ok := e.Body.(*agent.Answered); ok && e.Call != [32]byte{} {
			cancel()
		}
	}
	o, err := loop.Run(ctx, c, loop.Task{Prompt: "do it"})
	if err != nil || o.Status != agent.StatusSuspended {
		t.Fatalf("%+v, %v", o, err)
	}
	s.recovered()
	late := s.config()
	late.Now = func() time.Time { return time.Now().Add(loop.AnswerLifetime + time.Minute) }
	n := len(s.effects)
	if _, err := loop.Resume(context.Background(), late, agent.ModelUsed{}, s.rec.Events); err == nil || len(s.effects) != n {
		t.Errorf("a day later: %v, effects %v", err, s.effects)
	}
}

// TestInterruptedBranch interrupts a branch at event i: what it begins with is recorded
// whole, so that it, too, can go on.
func TestInterruptedBranch(t *testing.T) {
	whole := newScene(0)
	want, err := whole.start()
	if err != nil {
		t.Fatal(err)
	}
	const at = 3
	for i := 1; ; i++ {
		s := newScene(0)
		o, err := s.interruptedAt(i, func(ctx context.Context, c loop.Config) (loop.Outcome, error) {
			return loop.Branch(ctx, c, loop.Task{Start: agent.RunStart{Agent: "test"}}, whole.rec.Events, at)
		})
		if err == nil && o.Status == agent.StatusDone {
			if i < 20 {
				t.Errorf("the branch ended within %d events", i)
			}
			return
		}
		if open := left(s.rec.Events); err != nil || o.Status != agent.StatusSuspended || open != nil {
			t.Fatalf("interrupted at %d: %+v, %v, %v", i, o, err, open)
		}
		if got, err := s.resume(); err != nil || got.Status != agent.StatusDone || got.Answer != want.Answer {
			t.Fatalf("interrupted at %d: ended %+v, %v\n%v", i, got, err, s.rec.Kinds())
		}
		if !reflect.DeepEqual(texts(s.last), texts(whole.last)) {
			t.Fatalf("interrupted at %d: the model saw\n%v", i, texts(s.last))
		}
	}
}

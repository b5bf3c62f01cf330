package loop_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// forked branches a new scene off the events of a run, before its step at.
func forked(stop int, past []agent.Event, at int) (*scene, loop.Outcome, error) {
	s := newScene(stop)
	o, err := loop.Branch(context.Background(), s.config(), loop.Task{Start: agent.RunStart{Agent: "test"}}, past, at)
	return s, o, err
}

// TestBranchGoesOnAfterEveryEvent ends the process after event i of a run that branched
// off: it must go on as it would have, unless it was cut off while it was made.
func TestBranchGoesOnAfterEveryEvent(t *testing.T) {
	whole := newScene(0)
	if _, err := whole.start(); err != nil {
		t.Fatal(err)
	}
	const at = 3
	full, want, err := forked(0, whole.rec.Events, at)
	if err != nil {
		t.Fatal(err)
	}
	begun := 0
	for i, e := range full.rec.Events {
		if _, ok := e.Body.(*agent.Tainted); ok {
			begun = i + 1
			break
		}
	}
	for i := 4; i < len(full.rec.Events); i++ { // before, nothing tells it from a run that begins anew
		s, _, err := forked(i, whole.rec.Events, at)
		if !errors.Is(err, loop.ErrRecord) {
			t.Fatalf("killed after %d: %v", i, err)
		}
		s.stop = 0
		n := len(s.rec.Events)
		got, err := s.resume()
		if i < begun {
			if !errors.Is(err, loop.ErrPast) || len(s.effects) != 0 || len(s.rec.Events) > n+1 {
				t.Errorf("cut off after %d while it was made: %+v, %v", i, got, err)
			}
			continue
		}
		want := want
		want.Denials -= s.unknown()
		if err != nil || got.Status != want.Status || got.Answer != want.Answer || got.Steps != want.Steps {
			t.Fatalf("killed after %d: %+v, %v, want %+v\n%v", i, got, err, want, s.rec.Kinds())
		}
		for args, n := range s.effects {
			if n > 1 {
				t.Errorf("killed after %d: %s ran %d times", i, args, n)
			}
		}
		if s.unknown() == 0 && !reflect.DeepEqual(texts(s.last), texts(full.last)) {
			t.Errorf("killed after %d: the model saw\n%s\nwant\n%s", i, strings.Join(texts(s.last), "\n"), strings.Join(texts(full.last), "\n"))
		}
	}
}

func TestBranchOfABranch(t *testing.T) {
	whole := newScene(0)
	if _, err := whole.start(); err != nil {
		t.Fatal(err)
	}
	first, _, err := forked(0, whole.rec.Events, 3)
	if err != nil {
		t.Fatal(err)
	}
	second, o, err := forked(0, first.rec.Events, 4)
	if err != nil || o.Status != agent.StatusDone || !reflect.DeepEqual(texts(second.last), texts(whole.last)) {
		t.Errorf("%+v, %v: the model saw\n%s", o, err, strings.Join(texts(second.last), "\n"))
	}
	if _, _, err := forked(0, first.rec.Events, 2); !errors.Is(err, loop.ErrPast) {
		t.Errorf("a step before the branch: %v", err)
	}
}

// TestBranchAsksAgain wants a confirmation to hold for a day, also over branches, and the
// new question to be one that a resumed run takes up.
func TestBranchAsksAgain(t *testing.T) {
	whole := newScene(0)
	if _, err := whole.start(); err != nil {
		t.Fatal(err)
	}
	aboutPrompt := func(events []agent.Event) (n int) {
		for _, e := range events {
			if b, ok := e.Body.(*agent.Asked); ok && b.About == "prompt" {
				n++
			}
		}
		return n
	}
	young, _, err := forked(0, whole.rec.Events, 3)
	if err != nil || aboutPrompt(young.rec.Events) != 0 {
		t.Fatalf("a fresh confirmation: %v, %d questions", err, aboutPrompt(young.rec.Events))
	}
	old := aged(whole.rec.Events, loop.AnswerLifetime+time.Minute)
	full, o, err := forked(0, old, 3)
	if err != nil || o.Status != agent.StatusDone || aboutPrompt(full.rec.Events) != 1 {
		t.Fatalf("an old confirmation: %+v, %v, %d questions", o, err, aboutPrompt(full.rec.Events))
	}
	if again, _, err := forked(0, young.rec.Events, 4); err != nil || aboutPrompt(again.rec.Events) != 1 {
		t.Errorf("a confirmation of unknown age: %v", err)
	}
	for i, e := range full.rec.Events {
		if _, ok := e.Body.(*agent.Asked); !ok {
			continue
		}
		s, _, _ := forked(i+1, old, 3) // ends with the question open
		s.stop = 0
		if o, err := s.resume(); err != nil || o.Status != agent.StatusDone {
			t.Errorf("resumed at question %d: %+v, %v", i, o, err)
		}
	}
	for i := 4; i < len(full.rec.Events); i++ {
		s, _, _ := forked(i, old, 3)
		s.stop = 0
		if _, err := s.resume(); err == nil && aboutPrompt(s.rec.Events) == 0 {
			t.Errorf("killed after %d: went on with the old confirmation\n%v", i, s.rec.Kinds())
		}
	}
	denied := newScene(0)
	cfg := denied.config()
	cfg.Approver = no{}
	o, err = loop.Branch(context.Background(), cfg, loop.Task{}, old, 3)
	if err != nil || o.Status != agent.StatusDenied || len(denied.effects) != 0 {
		t.Errorf("denied: %+v, %v, %v", o, err, denied.effects)
	}
}

// aged is a record as it would be if all of it had happened earlier.
func aged(events []agent.Event, by time.Duration) []agent.Event {
	out := append([]agent.Event{}, events...)
	for i := range out {
		out[i].At = out[i].At.Add(-by)
	}
	return out
}

type no struct{}

func (no) Ask(context.Context, agent.Question) (agent.Answer, error) { return agent.Answer{}, nil }

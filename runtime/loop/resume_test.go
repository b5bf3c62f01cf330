package loop_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// stateless is a model whose next turn depends on the conversation alone, as a real
// one's does.
type stateless struct {
	turns []agent.Turn
	last  *[]agent.Message
}

func (s stateless) Generate(_ context.Context, r agent.Request) (agent.Turn, error) {
	if r.Fork() {
		return agent.Turn{Text: "fine", Parse: agent.ParseClean, Tokens: agent.TokenRecord{Output: []int32{1}, Raw: []float32{0}, Sampled: []float32{0}, Forced: []bool{false}}}, nil
	}
	n := 0
	for _, m := range r.Messages {
		if m.Role == agent.Assistant {
			n++
		}
	}
	*s.last = r.Messages
	return s.turns[n], nil
}

// scene is a run that meets everything a run can be suspended or cut off in.
type scene struct {
	rec     *agenttest.Memory
	exec    *agenttest.Executor
	effects map[string]int // by arguments, over all processes
	asked   int
	last    []agent.Message // what the model saw before its last turn
	ids     int
	stop    int // number of events at which the process dies; 0 never
}

var errKilled = errors.New("killed")

// Append implements loop.Recorder: it dies after event stop is kept.
func (s *scene) Append(ctx context.Context, e agent.Event) (int64, error) {
	if s.stop > 0 && len(s.rec.Events) >= s.stop {
		return 0, errKilled
	}
	e.At = time.Now() // as the ledger does
	return s.rec.Append(ctx, e)
}

// Ask implements loop.Approver.
func (s *scene) Ask(context.Context, agent.Question) (agent.Answer, error) {
	s.asked++
	return agent.Answer{Choice: agent.ChoiceOnce, Who: "tester", Via: "script"}, nil
}

func newScene(stop int) *scene {
	s := &scene{rec: &agenttest.Memory{}, effects: map[string]int{}, stop: stop}
	s.exec = &agenttest.Executor{At: func(c agent.ToolCall) { s.effects[c.Args]++ }}
	return s
}

func (s *scene) config() loop.Config {
	j := agenttest.Permissive()
	j.OnPrompt = agent.Assessment{Verdict: agent.Verdict{Outcome: agent.Ask, Label: agent.Sensitive, Reason: "is it meant?"},
		Authority: agent.Authority{Tools: []string{"act"}}}
	j.OnCall = func(p agent.Proposal) agent.Verdict {
		o := map[string]agent.Outcome{`{"n":1}`: agent.Allow, `{"n":2}`: agent.Ask, `{"n":4}`: agent.Allow}[p.Call.Args]
		if !p.Confirmed || !p.Authority.Has("act") || p.Prompt != agent.Sensitive {
			o = agent.Deny // the judge must know of the request what it knew before
		}
		return agent.Verdict{Outcome: o, Label: agent.Benign, Grant: agent.Grant{Write: p.Call.Args == `{"n":2}`}, Effect: agent.Write}
	}
	j.OnResponse = func(o agent.Observation) agent.Screening {
		v := agent.Verdict{Outcome: agent.Allow, Label: agent.Benign}
		if o.Call.Args == `{"n":4}` {
			v = agent.Verdict{Outcome: agent.Ask, Label: agent.Sensitive}
		}
		return agent.Screening{Verdict: v, Text: "seen of " + o.Call.Args, Withheld: 1}
	}
	both := agenttest.Calls("two at once", "act", `{"n":1}`)
	both.Calls = append(both.Calls, agent.ToolCall{Tool: "act", Args: `{"n":2}`})
	bad := agent.Turn{Text: "<tool_call>{", Parse: agent.ParseFailed, Problem: "cut", Tokens: both.Tokens}
	return loop.Config{Recorder: s, Approver: s, Executor: s.exec, Judge: j, Seed: 7,
		Model: stateless{[]agent.Turn{both, bad, act(`{"n":3}`), act(`{"n":4}`), agenttest.Answers("end")}, &s.last},
		NewID: func() string { s.ids++; return fmt.Sprint("id", s.ids) }}
}

func (s *scene) start() (loop.Outcome, error) {
	return loop.Run(context.Background(), s.config(), loop.Task{Prompt: "do it", Data: "with this"})
}

// recovered does what the ledger does when it takes over a run.
func (s *scene) recovered() {
	stop := s.stop
	s.stop = 0
	open := map[int64]agent.Event{}
	for _, e := range s.rec.Events {
		switch e.Body.(type) {
		case *agent.CallStart:
			open[e.Ref] = e
		case *agent.CallEnd:
			delete(open, e.Ref)
		}
	}
	s.Append(context.Background(), agent.Event{Body: &agent.RunRecover{}})
	for d, e := range open {
		s.Append(context.Background(), agent.Event{Ref: d, Call: e.Call, Body: &agent.CallEnd{Status: agent.CallUnknown}})
	}
	s.stop = stop
}

func (s *scene) resume() (loop.Outcome, error) {
	s.recovered()
	return loop.Resume(context.Background(), s.config(), agent.ModelUsed{}, s.rec.Events)
}

// unknown counts the calls that were cut off.
func (s *scene) unknown() (n int) {
	for _, e := range s.rec.Events {
		if b, ok := e.Body.(*agent.CallEnd); ok && b.Status == agent.CallUnknown {
			n++
		}
	}
	return n
}

// texts are the messages without the marks and identifiers that are drawn at random.
func texts(ms []agent.Message) []string {
	var out []string
	for _, m := range ms {
		t := m.Text
		if strings.HasPrefix(t, "<data ") {
			t = strings.Split(t, "\n")[1]
		}
		var calls []string
		for _, c := range m.Calls {
			calls = append(calls, c.Tool+c.Args)
		}
		out = append(out, fmt.Sprintf("%s %q %q %v %v %s", m.Role, t, m.Thought, calls, m.Origin.Source, m.Tool))
	}
	return out
}

// TestResumeAfterEveryEvent ends the process after event i of a run, and that of the
// resumed run after j more: each time it must end as it would have without, no call
// must have run twice, and the model must have seen the same, but for calls that were
// cut off.
func TestResumeAfterEveryEvent(t *testing.T) {
	whole := newScene(0)
	want, err := whole.start()
	if err != nil || want.Status != agent.StatusDone || want.Calls != 3 || want.Denials != 4 || len(whole.effects) != 3 {
		t.Fatalf("the whole run: %+v, %v", want, err)
	}
	total := len(whole.rec.Events)
	for i := 1; i < total; i++ {
		for _, j := range []int{0, 1, 2, 3, 5, 8, 13} {
			s := newScene(i)
			if _, err := s.start(); !errors.Is(err, loop.ErrRecord) {
				t.Fatalf("killed after %d: %v", i, err)
			}
			if j > 0 {
				s.recovered()
				s.stop = len(s.rec.Events) + j
				if _, err := loop.Resume(context.Background(), s.config(), agent.ModelUsed{}, s.rec.Events); err == nil {
					continue // it ended before
				} else if !errors.Is(err, loop.ErrRecord) {
					t.Fatalf("killed after %d and %d: %v\n%v", i, j, err, s.rec.Kinds())
				}
				s.stop = 0
			}
			s.stop = 0
			got, err := s.resume()
			want := want
			want.Denials -= s.unknown() // nothing of their responses was there to withhold
			if err != nil || got != want {
				t.Fatalf("killed after %d and %d: ended %+v, %v, want %+v\n%v", i, j, got, err, want, s.rec.Kinds())
			}
			checkResumed(t, s, whole, fmt.Sprintf("killed after %d and %d", i, j))
		}
	}
}

func checkResumed(t *testing.T, s, whole *scene, when string) {
	t.Helper()
	for args, n := range s.effects {
		if n > 1 {
			t.Fatalf("%s: call %s ran %d times", when, args, n)
		}
	}
	got, want := texts(s.last), texts(whole.last)
	if len(got) != len(want) {
		t.Fatalf("%s: the model saw\n%s\nwant\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range got {
		if got[i] != want[i] && !strings.Contains(got[i], "not known") {
			t.Fatalf("%s: message %d is\n%s\nwant\n%s", when, i, got[i], want[i])
		}
	}
	for _, e := range s.rec.Events {
		if b, ok := e.Body.(*agent.Decided); ok && b.Outcome == agent.Allow && b.Grant.Write != strings.Contains(string(b.Call.Data), `:2}`) {
			t.Errorf("%s: decision %d grants %+v", when, e.Seq, b.Grant)
		}
	}
}

func TestResume(t *testing.T) {
	t.Run("AnAnswerOnRecordIsNotAskedAgain", func(t *testing.T) {
		s := newScene(0)
		suspending := s.config()
		suspending.Approver = &agenttest.Approver{Choice: agent.ChoiceSuspend}
		o, err := loop.Run(context.Background(), suspending, loop.Task{Prompt: "do it"})
		if err != nil || o.Status != agent.StatusSuspended {
			t.Fatalf("%+v, %v", o, err)
		}
		s.recovered()
		n := len(s.rec.Events)
		s.Append(context.Background(), agent.Event{Ref: int64(n - 1), Body: &agent.Answered{Choice: agent.ChoiceDeny}})
		if o, err = s.resume(); err != nil || o.Status != agent.StatusDenied || s.asked != 0 {
			t.Errorf("after a no: %+v, %v, asked %d times", o, err, s.asked)
		}
	})
	t.Run("OtherPartsAreRefused", func(t *testing.T) {
		s := newScene(12)
		s.start()
		s.stop = 0
		n := len(s.rec.Events)
		if _, err := loop.Resume(context.Background(), s.config(), agent.ModelUsed{GGUF: "other"}, s.rec.Events); !errors.Is(err, loop.ErrChanged) {
			t.Errorf("another model gave %v", err)
		}
		c := s.config()
		c.Executor = moreTools{s.exec}
		if _, err := loop.Resume(context.Background(), c, agent.ModelUsed{}, s.rec.Events); !errors.Is(err, loop.ErrChanged) {
			t.Errorf("other tools gave %v", err)
		}
		if len(s.rec.Events) != n {
			t.Error("a refused resume left events")
		}
	})
	t.Run("AnErasedMessageIsRefused", func(t *testing.T) {
		s := newScene(40)
		s.start()
		s.stop = 0
		for _, e := range s.rec.Events {
			if b, ok := e.Body.(*agent.Said); ok && b.Role == agent.Tool {
				b.Text.Data = nil
			}
		}
		n := len(s.rec.Events)
		if _, err := loop.Resume(context.Background(), s.config(), agent.ModelUsed{}, s.rec.Events); !errors.Is(err, loop.ErrPast) || len(s.rec.Events) != n {
			t.Errorf("gave %v and %d events", err, len(s.rec.Events)-n)
		}
	})
	t.Run("ARecordThatAllowsMoreThanWasAnsweredIsRefused", func(t *testing.T) {
		s := newScene(0)
		s.start()
		for i, e := range s.rec.Events {
			if b, ok := e.Body.(*agent.Answered); ok && e.Call != [32]byte{} {
				b.Choice = agent.ChoiceDeny
				s.rec.Events = s.rec.Events[:i+2] // with the decision that followed
				break
			}
		}
		if _, err := loop.Resume(context.Background(), s.config(), agent.ModelUsed{}, s.rec.Events); !errors.Is(err, loop.ErrPast) || s.effects[`{"n":2}`] != 1 {
			t.Errorf("gave %v, effects %v", err, s.effects)
		}
	})
	t.Run("AnAnswerToAnotherQuestionCountsForNothing", func(t *testing.T) {
		for name, wrong := range map[string]func(e *agent.Event){
			"another question": func(e *agent.Event) { e.Ref-- },
			"another call":     func(e *agent.Event) { e.Call[0] ^= 1 },
		} {
			s := newScene(0)
			s.start()
			for i, e := range s.rec.Events {
				if _, ok := e.Body.(*agent.Answered); ok && e.Call != [32]byte{} {
					wrong(&s.rec.Events[i])
					s.rec.Events = s.rec.Events[:i+1]
					break
				}
			}
			n, asked := len(s.rec.Events), s.asked
			clear(s.effects)
			_, err := loop.Resume(context.Background(), s.config(), agent.ModelUsed{}, s.rec.Events)
			if !errors.Is(err, loop.ErrPast) || len(s.rec.Events) != n || s.asked != asked || len(s.effects) != 0 {
				t.Errorf("%s: gave %v, %d events more, effects %v", name, err, len(s.rec.Events)-n, s.effects)
			}
		}
	})
	t.Run("WhatWasSpentStaysSpent", func(t *testing.T) {
		s := newScene(0)
		c := s.config()
		c.Limits.Tokens = 12
		loop.Run(context.Background(), c, loop.Task{Prompt: "do it"})
		s.rec.Events = s.rec.Events[:len(s.rec.Events)-2] // the limit and the end
		o, err := s.resume()
		if err != nil || o.Status != agent.StatusLimit || o.Limit != "tokens" {
			t.Errorf("%+v, %v", o, err)
		}
	})
}

type moreTools struct{ *agenttest.Executor }

func (m moreTools) Specs() []agent.ToolSpec {
	return append(m.Executor.Specs(), agent.ToolSpec{Name: "more"})
}

func TestBranch(t *testing.T) {
	whole := newScene(0)
	want, err := whole.start()
	if err != nil {
		t.Fatal(err)
	}
	past := whole.rec.Events
	branch := func(at int) (*scene, loop.Outcome, error) {
		s := newScene(0)
		o, err := loop.Branch(context.Background(), s.config(), loop.Task{Start: agent.RunStart{Agent: "test"}}, past, at)
		return s, o, err
	}
	t.Run("BeforeAnyStepGoesOnAsThere", func(t *testing.T) {
		for at := 1; at <= want.Steps; at++ {
			s, o, err := branch(at)
			if err != nil || o.Status != agent.StatusDone || o.Answer != "end" {
				t.Fatalf("at %d: %+v, %v", at, o, err)
			}
			got, want := texts(s.last), texts(whole.last)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("at %d the model saw\n%s\nwant\n%s", at, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if at > 1 && s.effects[`{"n":1}`] != 0 {
				t.Errorf("at %d: a call of the first step ran again", at)
			}
		}
	})
	t.Run("ARequestNobodyConfirmedIsRefused", func(t *testing.T) {
		whole := newScene(0)
		if _, err := whole.start(); err != nil {
			t.Fatal(err)
		}
		cut := 0
		for i, e := range whole.rec.Events {
			if b, ok := e.Body.(*agent.Asked); ok && b.About == "prompt" {
				cut = i + 1
				break
			}
		}
		if cut == 0 {
			t.Fatal("the request was not asked about")
		}
		for _, at := range []int{0, 1} {
			s := newScene(0)
			_, err := loop.Branch(context.Background(), s.config(), loop.Task{Start: agent.RunStart{Agent: "test"}}, whole.rec.Events[:cut], at)
			if !errors.Is(err, loop.ErrPast) || len(s.rec.Events) > 0 {
				t.Errorf("at %d: %v with %d events, want a refusal without any", at, err, len(s.rec.Events))
			}
		}
	})
	t.Run("AStepThatNeverWasIsRefused", func(t *testing.T) {
		if s, _, err := branch(want.Steps + 2); !errors.Is(err, loop.ErrPast) || len(s.rec.Events) != 0 {
			t.Errorf("%v, %d events", err, len(s.rec.Events))
		}
	})
	t.Run("AfterTheEndThereIsNothingToGoOnFrom", func(t *testing.T) {
		if s, _, err := branch(0); !errors.Is(err, loop.ErrPast) || len(s.rec.Events) != 0 {
			t.Errorf("%v, %d events", err, len(s.rec.Events))
		}
	})
	t.Run("ACutOffTurnIsToldAsNotRun", func(t *testing.T) {
		cut := newScene(0)
		cut.start()
		for i, e := range cut.rec.Events {
			if _, ok := e.Body.(*agent.CallStart); ok {
				past = cut.rec.Events[:i]
				break
			}
		}
		s, o, err := branch(0)
		if err != nil || o.Status != agent.StatusDone || s.effects[`{"n":1}`] != 0 {
			t.Fatalf("%+v, %v, %v", o, err, s.effects)
		}
		if saw := strings.Join(texts(s.last), "\n"); strings.Count(saw, frame.Denied("sandbox")) != 2 {
			t.Errorf("the model saw\n%s", saw)
		}
	})
}

// interrupted is an approver whose n-th question is cut off before it is answered.
type interrupted struct {
	*scene
	at   int
	stop context.CancelFunc
}

// Ask implements loop.Approver.
func (i *interrupted) Ask(ctx context.Context, q agent.Question) (agent.Answer, error) {
	if i.scene.asked+1 == i.at {
		i.stop()
		return agent.Answer{}, ctx.Err()
	}
	return i.scene.Ask(ctx, q)
}

// TestInterruptAtAQuestion wants a question that a person breaks off, about the request, a
// call or a response, to stay open, and to be put again when the run goes on.
func TestInterruptAtAQuestion(t *testing.T) {
	whole := newScene(0)
	want, err := whole.start()
	if err != nil || whole.asked != 3 {
		t.Fatalf("%+v, %v, %d questions", want, err, whole.asked)
	}
	for at := 1; at <= whole.asked; at++ {
		s := newScene(0)
		ctx, cancel := context.WithCancel(context.Background())
		c := s.config()
		c.Approver = &interrupted{s, at, cancel}
		o, err := loop.Run(ctx, c, loop.Task{Prompt: "do it", Data: "with this"})
		if _, open := s.rec.Events[len(s.rec.Events)-1].Body.(*agent.Asked); err != nil || o.Status != agent.StatusSuspended || !open {
			t.Fatalf("interrupted at question %d: %+v, %v, events %v", at, o, err, s.rec.Kinds())
		}
		got, err := s.resume()
		if err != nil || got != want || s.asked != whole.asked || !reflect.DeepEqual(s.effects, whole.effects) {
			t.Errorf("gone on from question %d: %+v, %v, want %+v; %d questions, effects %v", at, got, err, want, s.asked, s.effects)
		}
		if !reflect.DeepEqual(texts(s.last), texts(whole.last)) {
			t.Errorf("gone on from question %d, the model saw\n%s", at, strings.Join(texts(s.last), "\n"))
		}
	}
}

package loop

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

var (
	// ErrPast means a run cannot go on from what is on record of it: a part was erased,
	// or does not lead to the next. Nothing was done and nothing recorded.
	ErrPast = errors.New("run cannot go on from its record")
	// ErrChanged means the model, the tools or the fixed texts of a run are not those it
	// began with. It wraps ErrPast.
	ErrChanged = fmt.Errorf("%w: it began with others", ErrPast)
)

// Resume goes on with a run that did not end. past holds all its events in order, each
// call that started with its end, as ledger.Recover leaves it; c.Recorder appends to the
// same run. Limits and seed are those on record, what was spent of them stays spent.
//
// What is on record is taken in, never done again: no recorded verdict is judged anew,
// no call that started is repeated, and a call whose outcome is not known is told to the
// model as such. An open question is put to c.Approver. A step of judgement that was cut
// off in the middle is judged from its beginning. So it is after a crash and after an
// interrupt.
//
// The results are those of Run. Errors that wrap ErrPast leave the run as it was.
func Resume(ctx context.Context, c Config, m agent.ModelUsed, past []agent.Event) (Outcome, error) {
	t, err := taskOf(past)
	if err != nil {
		return Outcome{Status: agent.StatusError}, err
	}
	t.Model = m
	c.Limits, c.Seed = t.Start.Limits, t.Start.Seed
	r, err := newRun(c)
	if err != nil {
		return Outcome{Status: agent.StatusError}, err
	}
	if err := errors.Join(r.sameParts(t, past), r.freshAnswer(past)); err != nil {
		return Outcome{Status: agent.StatusError}, err
	}
	r.takeIn(past)
	r.begun = past[0].At
	for _, e := range past {
		if b, ok := e.Body.(*agent.GenEnd); ok {
			r.tokens += b.Spent()
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, max(0, r.limits.Time-active(past)), errTime)
	defer cancel()
	return r.finish(ctx, r.begin(ctx, t, past))
}

// taskOf reads the task from the run's first event.
func taskOf(past []agent.Event) (Task, error) {
	if len(past) == 0 {
		return Task{}, fmt.Errorf("%w: it has no events", ErrPast)
	}
	s, ok := past[0].Body.(*agent.RunStart)
	if !ok {
		return Task{}, fmt.Errorf("%w: its first event is %s", ErrPast, past[0].Body.Kind())
	}
	if erased(s.Task) || erased(s.Data) {
		return Task{}, fmt.Errorf("%w: its task was erased", ErrPast)
	}
	for _, e := range past {
		if _, ok := e.Body.(*agent.RunEnd); ok {
			return Task{}, fmt.Errorf("%w: it has ended", ErrPast)
		}
	}
	return Task{Prompt: s.Task.String(), Data: s.Data.String(), Start: *s}, nil
}

func erased(b *agent.Blob) bool { return b != nil && b.Data == nil }

// sameParts refuses to go on with other parts than those on record.
func (r *run) sameParts(t Task, past []agent.Event) error {
	if t.Start.Frames != frame.Digest() {
		return fmt.Errorf("%w: the prompts and frames of this build differ", ErrChanged)
	}
	for _, e := range past {
		switch b := e.Body.(type) {
		case *agent.ModelUsed:
			if b.GGUF != t.Model.GGUF {
				return fmt.Errorf("%w: model %s, not %s", ErrChanged, b.GGUF, t.Model.GGUF)
			}
			if was, is := guardOf(*b), guardOf(t.Model); was != is {
				return fmt.Errorf("%w: guard model %s, not %s", ErrChanged, was, is)
			}
		case *agent.ToolsOffered:
			if err := sameTools(b.List, r.Executor.Specs()); err != nil {
				return err
			}
		}
	}
	return nil
}

// guardOf is the digest of the model that judges, "none" where the agent's own does.
func guardOf(m agent.ModelUsed) string {
	if m.Guard == nil {
		return "none"
	}
	return m.Guard.GGUF
}

func sameTools(on []agent.ToolOffered, now []agent.ToolSpec) error {
	if len(on) != len(now) {
		return fmt.Errorf("%w: %d tools, not %d", ErrChanged, len(on), len(now))
	}
	for i, s := range now {
		if d := s.Digest(); on[i].Name != s.Name || on[i].Digest != hex.EncodeToString(d[:]) {
			return fmt.Errorf("%w: tool %s", ErrChanged, on[i].Name)
		}
	}
	return nil
}

// takeIn makes the events those that record and its like recall.
func (r *run) takeIn(past []agent.Event) {
	r.texts = map[int64]string{}
	for _, e := range past {
		switch b := e.Body.(type) {
		case *agent.RunRecover, *agent.RunEnd, *agent.Redacted, *agent.Scored, *agent.Exported, *agent.Failed:
			continue // about the run, not of it
		case *agent.GenEnd:
			if b.Text != nil && !erased(b.Text) {
				r.texts[e.Ref] = b.Text.String()
			}
		}
		r.past = append(r.past, e)
	}
}

// active is how long a run has been at work: its parts without the time between them.
func active(past []agent.Event) time.Duration {
	var sum time.Duration
	from := past[0].At
	for i, e := range past {
		_, again := e.Body.(*agent.RunRecover)
		if again {
			sum += past[i-1].At.Sub(from)
			from = e.At
		}
	}
	return sum + past[len(past)-1].At.Sub(from)
}

// recall takes an event from the past instead of recording it, and returns its position.
// known is false where the past is used up.
func (r *run) recall(e agent.Event) (seq int64, known bool, err error) {
	for i, p := range r.past {
		if p.Body.Kind() == e.Body.Kind() && p.Call == e.Call {
			r.past = r.past[i+1:]
			return p.Seq, true, nil
		}
		if !droppable(p) {
			return 0, false, fmt.Errorf("%w: event %d is %s, not %s", ErrPast, p.Seq, p.Body.Kind(), e.Body.Kind())
		}
	}
	return 0, false, r.live()
}

// droppable reports whether an event may be what is left of something cut off, which is
// then done again. What decides, starts or ends a call never is.
func droppable(e agent.Event) bool {
	switch b := e.Body.(type) {
	case *agent.GenStart, *agent.GenEnd, *agent.Labelled, *agent.Tainted, *agent.LimitHit:
		return true
	case *agent.Judged:
		return e.Call == [32]byte{} && b.Outcome != agent.Deny
	}
	return false
}

// live leaves the past: from here on things are done and recorded. It must be called
// before anything is judged, generated, asked or carried out.
func (r *run) live() error {
	for _, p := range r.past {
		if !droppable(p) {
			return fmt.Errorf("%w: event %d, %s, does not follow", ErrPast, p.Seq, p.Body.Kind())
		}
	}
	r.past = nil
	if r.branch {
		return errBranched
	}
	return nil
}

// find returns the index of the first event of the past that fits, with only droppable
// ones or those that may precede it before; -1 if there is none.
func (r *run) find(fits func(agent.Event) bool, may func(agent.Event) bool) int {
	for i, p := range r.past {
		if fits(p) {
			return i
		}
		if !droppable(p) && (may == nil || !may(p)) {
			return -1
		}
	}
	return -1
}

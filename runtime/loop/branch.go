package loop

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// errBranched ends the reading of another run's past where it is used up.
var errBranched = errors.New("past is used up")

// Branch begins a new run where another one stood: before its step at, or, with 0, where
// it left off. past holds the other run's events. The new run gets copies of what was
// said, the label of the request, what it authorises and the taint of the context;
// nothing that ran is repeated, and nothing on the machine is turned back. Calls of the
// last turn that had not been answered are told to the model as not run. A request that
// was asked about must have been confirmed; that it was holds for the new run too.
//
// What a person confirmed holds for AnswerLifetime; after that, or where it is not known
// when it was, the new run asks again.
//
// t.Prompt and t.Data are taken from the past. Limits count anew.
// Results are those of Run; an error that wraps ErrPast means nothing was recorded.
func Branch(ctx context.Context, c Config, t Task, past []agent.Event, at int) (Outcome, error) {
	fail := Outcome{Status: agent.StatusError}
	r, err := newRun(c)
	if err != nil {
		return fail, err
	}
	if err := r.follow(ctx, past, at); err != nil {
		return fail, err
	}
	first := max(r.step, 1)
	if t.Prompt = past[0].Body.(*agent.RunStart).Task.String(); at > 0 && first != at {
		return fail, fmt.Errorf("%w: it has no step %d", ErrPast, at)
	}
	conv := r.conv
	r.branch, r.open, r.past, r.texts, r.step, r.out = false, false, nil, nil, 0, Outcome{}
	ctx, cancel := context.WithTimeoutCause(ctx, r.limits.Time, errTime)
	defer cancel()
	err = r.copied(ctx, t, conv, past, r.confirmed && r.Now().Sub(confirmedAt(past)) > AnswerLifetime)
	if err == nil {
		err = r.steps(ctx, first)
	}
	return r.finish(ctx, err)
}

// follow reads the past up to the step, until it is used up.
func (r *run) follow(ctx context.Context, past []agent.Event, at int) error {
	kept := make([]agent.Event, 0, len(past))
	for _, e := range past {
		switch e.Body.(type) {
		case *agent.RunEnd, *agent.LimitHit:
			continue
		}
		if at == 0 || e.Step < at {
			kept = append(kept, e)
		}
	}
	t, err := taskOf(kept)
	if err != nil {
		return err
	}
	if t.Start.Frames != frame.Digest() {
		return fmt.Errorf("%w: the prompts and frames of this build differ", ErrChanged)
	}
	r.takeIn(kept)
	r.branch = true
	err = r.begin(ctx, t, kept)
	var e *end
	switch {
	case errors.As(err, &e) && at > 0:
		return fmt.Errorf("%w: it has no step %d", ErrPast, at)
	case errors.As(err, &e):
		return fmt.Errorf("%w: it ended there: %s", ErrPast, e.status)
	case !errors.Is(err, errBranched):
		return err
	}
	if r.authority.Tools == nil && r.prompt == agent.Unknown {
		return fmt.Errorf("%w: its request was not judged", ErrPast)
	}
	if !r.confirmed && slices.ContainsFunc(kept, aboutPrompt) {
		return fmt.Errorf("%w: its request was asked about and not confirmed", ErrPast)
	}
	r.unanswered()
	return nil
}

// aboutPrompt knows the question whether the request is meant.
func aboutPrompt(e agent.Event) bool {
	b, ok := e.Body.(*agent.Asked)
	return ok && b.About == "prompt"
}

// unanswered tells the model that calls of its last turn without a response, and what a
// person made of them, did not run, or that nothing of their response may be seen.
func (r *run) unanswered() {
	var calls []agent.ToolCall
	answered := map[string]bool{}
	for _, m := range r.conv.Messages {
		if m.Role == agent.Assistant && m.Origin.Source != agent.SourceUser {
			calls = nil
		}
		calls = append(calls, m.Calls...)
		answered[m.CallID] = true
	}
	open := false
	for _, c := range calls {
		if !answered[c.ID] {
			open = true
			r.conv = r.conv.With(agent.Message{Role: agent.Tool, Text: frame.Denied("sandbox"), CallID: c.ID, Tool: c.Tool,
				Origin: agent.Origin{Source: agent.SourceTool, CallID: c.ID, Tool: c.Tool}})
		}
	}
	if open {
		r.step++ // the turn is there; its step is over
	}
}

// begin takes a run from its first event on: as it was begun, or as it branched off.
func (r *run) begin(ctx context.Context, t Task, past []agent.Event) error {
	if slices.ContainsFunc(past, isCopy) {
		first, err := r.regain(ctx, t, past)
		if err != nil {
			return err
		}
		return r.steps(ctx, first)
	}
	if err := r.start(ctx, t); err != nil {
		return err
	}
	return r.converse(ctx, t)
}

// isCopy knows a message that a run took over from the one it branched off.
func isCopy(e agent.Event) bool {
	b, ok := e.Body.(*agent.Said)
	return ok && b.Copied
}

// regain takes in what a run that branched off began with, from its own record and through
// the code that recorded it. It returns the step to go on with.
func (r *run) regain(ctx context.Context, t Task, past []agent.Event) (first int, err error) {
	var conv agent.Conversation
	first, again := 1, false
	for i, e := range past {
		switch b := e.Body.(type) {
		case *agent.Said:
			m, err := messageOf(b)
			if err != nil {
				return 0, fmt.Errorf("%w: message %d: %w", ErrPast, e.Seq, err)
			}
			conv = conv.With(m)
			if m.Role == agent.Assistant && m.Origin.Source == agent.SourceModel {
				first++
			}
		case *agent.Labelled:
			r.prompt = b.Value
		case *agent.Authorised:
			r.authority = agent.Authority{Tools: b.Tools}
		case *agent.Judged:
			again = b.Code == expired
		case *agent.Tainted: // the last that is copied
			r.taint, r.confirmed = b.Value, r.prompt == agent.Sensitive // nothing branches off what was not confirmed
			// Older records have the verdict behind the taint.
			if i+1 < len(past) {
				j, ok := past[i+1].Body.(*agent.Judged)
				again = again || ok && j.Code == expired
			}
			for _, e := range past[i:] {
				if e.Step > 0 {
					first = e.Step
					break
				}
			}
			return first, r.copied(ctx, t, conv, past, again)
		}
	}
	return 0, fmt.Errorf("%w: it was cut off while it branched off another run", ErrPast)
}

// messageOf is the message that copyOf recorded.
func messageOf(b *agent.Said) (agent.Message, error) {
	if erased(b.Text) || erased(b.Thought) || erased(b.Calls) {
		return agent.Message{}, errors.New("it was erased")
	}
	m := agent.Message{Role: b.Role, Text: b.Text.String(), Thought: b.Thought.String(), Origin: b.Origin}
	if b.Role == agent.Tool {
		m.CallID, m.Tool = b.Origin.CallID, b.Origin.Tool
	}
	if b.Calls != nil {
		if err := json.Unmarshal(b.Calls.Data, &m.Calls); err != nil {
			return m, err
		}
	}
	return m, nil
}

// expired is the code of the verdict that a confirmation counts no longer.
const expired = "confirmation_expired"

// confirmedAt is when the request was confirmed, the zero time if that is not on record.
func confirmedAt(past []agent.Event) (at time.Time) {
	asked := int64(0)
	for _, e := range past {
		switch b := e.Body.(type) {
		case *agent.Asked:
			if b.About == "prompt" {
				asked = e.Seq
			}
		case *agent.Answered:
			if e.Ref == asked && asked > 0 && b.Choice == agent.ChoiceOnce {
				at = e.At
			}
		}
	}
	return at
}

// copied records what the new run begins with, all of it or nothing: no interrupt cuts it
// short. again says that the request is to be confirmed once more.
func (r *run) copied(ctx context.Context, t Task, conv agent.Conversation, past []agent.Event, again bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	verdict, seq, err := r.copy(context.WithoutCancel(ctx), t, conv, past, again)
	if err != nil || !again {
		return err
	}
	r.confirmed = false
	return r.confirm(ctx, t.Prompt, verdict, seq)
}

// copy is the recording of copied. With again a verdict that asks stands before the last
// event, without which the run does not go on: a kill cannot leave the old confirmation.
func (r *run) copy(ctx context.Context, t Task, conv agent.Conversation, past []agent.Event, again bool) (v agent.Verdict, seq int64, err error) {
	s := t.Start
	s.Task, s.Limits, s.Frames, s.Seed = agent.Text(t.Prompt), r.limits, frame.Digest(), r.Seed
	if _, err := r.record(ctx, agent.Event{Body: &s}); err != nil {
		return v, 0, err
	}
	m := t.Model
	if _, err := r.record(ctx, agent.Event{Body: &m}); err != nil {
		return v, 0, err
	}
	if err := r.offer(ctx); err != nil {
		return v, 0, err
	}
	r.conv.Messages = nil
	for _, m := range conv.Messages {
		if _, err := r.record(ctx, agent.Event{Body: copyOf(m)}); err != nil {
			return v, 0, err
		}
		r.conv = r.conv.With(m)
	}
	if b := labelOf(past); b != nil {
		if _, err := r.record(ctx, agent.Event{Body: b}); err != nil {
			return v, 0, err
		}
	}
	if _, err := r.record(ctx, agent.Event{Body: &agent.Authorised{Tools: r.authority.Tools, From: "plan"}}); err != nil {
		return v, 0, err
	}
	if again {
		v = agent.Verdict{Outcome: agent.Ask, Label: r.prompt, Code: expired, Reason: "the request was confirmed too long ago"}
		if seq, err = r.record(ctx, agent.Event{Body: judged("loop", v, 0)}); err != nil {
			return v, 0, err
		}
	}
	_, err = r.record(ctx, agent.Event{Body: &agent.Tainted{Value: r.taint}})
	return v, seq, err
}

// offer records the tools of a run.
func (r *run) offer(ctx context.Context) error {
	r.conv.Tools = r.Executor.Specs()
	offered := &agent.ToolsOffered{}
	for _, spec := range r.conv.Tools {
		d := spec.Digest()
		offered.List = append(offered.List, agent.ToolOffered{
			Name: spec.Name, Digest: hex.EncodeToString(d[:]), Spec: agent.JSON(spec),
		})
	}
	_, err := r.record(ctx, agent.Event{Body: offered})
	return err
}

func copyOf(m agent.Message) *agent.Said {
	b := &agent.Said{Role: m.Role, Text: agent.Text(m.Text), Origin: m.Origin, Copied: true}
	if m.Thought != "" {
		b.Thought = agent.Text(m.Thought)
	}
	if len(m.Calls) > 0 {
		b.Calls = agent.JSON(m.Calls)
	}
	return b
}

// labelOf copies the label that the request of another run got, without the generations
// that led to it: those are there, not here.
func labelOf(past []agent.Event) *agent.Labelled {
	for _, e := range past {
		if b, ok := e.Body.(*agent.Labelled); ok && b.Channel == agent.UserPrompt {
			c := *b
			c.Gens = nil
			return &c
		}
	}
	return nil
}

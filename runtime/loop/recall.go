package loop

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// is returns a test for events with a body of type B and the given call.
func is[B agent.Body](call [32]byte) func(agent.Event) bool {
	return func(e agent.Event) bool {
		_, ok := e.Body.(B)
		return ok && e.Call == call
	}
}

// recallText replaces the text of a message with that on record.
func (r *run) recallText(m *agent.Message) error {
	i := r.find(is[*agent.Said]([32]byte{}), nil)
	if i < 0 {
		if len(r.past) == 0 {
			return nil
		}
		return r.live() // the message was to come next
	}
	b := r.past[i].Body.(*agent.Said)
	if b.Role != m.Role || b.Origin.CallID != m.CallID {
		return fmt.Errorf("%w: message %d does not follow", ErrPast, r.past[i].Seq)
	}
	if erased(b.Text) {
		return fmt.Errorf("%w: message %d was erased", ErrPast, r.past[i].Seq)
	}
	m.Text = b.Text.String()
	return nil
}

// recallTurn returns the next turn on record, with its position. by says whose it must be:
// a person's, taken for the model's, would run without having been shown.
func (r *run) recallTurn(by string) (t agent.Turn, seq int64, known bool, err error) {
	i := r.find(is[*agent.Turned]([32]byte{}), nil)
	if i < 0 {
		return t, 0, false, nil
	}
	e := r.past[i]
	b := e.Body.(*agent.Turned)
	if b.By != by {
		return t, 0, false, fmt.Errorf("%w: turn %d is somebody else's", ErrPast, e.Seq)
	}
	r.past = r.past[i+1:]
	if erased(b.Thought) || erased(b.Calls) || erased(b.Answer) {
		return t, 0, false, fmt.Errorf("%w: turn %d was erased", ErrPast, e.Seq)
	}
	t = agent.Turn{Parse: b.Parse, Thought: b.Thought.String(), Answer: b.Answer.String(), Gen: e.Ref,
		Text: r.texts[e.Ref], Problem: "see the record"}
	if _, ok := r.texts[e.Ref]; b.Parse == agent.ParseFailed && !ok {
		return t, 0, false, fmt.Errorf("%w: the output of turn %d was erased", ErrPast, e.Seq)
	}
	if b.Calls != nil {
		if err := json.Unmarshal(b.Calls.Data, &t.Calls); err != nil {
			return t, 0, false, fmt.Errorf("%w: the calls of turn %d cannot be read", ErrPast, e.Seq)
		}
	}
	return t, e.Seq, true, nil
}

// recallVerdict returns the verdict on a call that is on record.
func (r *run) recallVerdict(c agent.ToolCall) (agent.Verdict, int64, bool) {
	i := r.find(is[*agent.Judged](c.Digest()), nil)
	if i < 0 {
		return agent.Verdict{}, 0, false
	}
	e := r.past[i]
	r.past = r.past[i+1:]
	return verdictOf(e.Body.(*agent.Judged)), e.Seq, true
}

func verdictOf(b *agent.Judged) agent.Verdict {
	v := agent.Verdict{Outcome: b.Outcome, Label: b.Label, Probs: b.P, Votes: b.Votes, Gens: b.Gens, Code: b.Code,
		Reason: b.Reason.String(), Effect: b.Effect}
	if b.Grant != nil {
		v.Grant = *b.Grant
	}
	if b.Sinks != nil {
		_ = json.Unmarshal(b.Sinks.Data, &v.Sinks) // shown only; an erased one shows none
	}
	return v
}

// recallAnswer returns the answer to the question just recalled: one that refers to it and
// to its call. Any other, and one whose arguments were erased, stays in the past, which then
// cannot be gone on from.
func (r *run) recallAnswer(asked int64, call [32]byte) (agent.Answer, int64, bool) {
	if len(r.past) == 0 {
		return agent.Answer{}, 0, false
	}
	b, ok := r.past[0].Body.(*agent.Answered)
	if !ok || r.past[0].Ref != asked || r.past[0].Call != call || erased(b.Args) {
		return agent.Answer{}, 0, false
	}
	seq := r.past[0].Seq
	r.past = r.past[1:]
	return agent.Answer{Choice: b.Choice, Who: b.Who, Via: b.Via, Note: b.Note.String(), Args: b.Args.String()}, seq, true
}

// recallDecision takes grant and author of a decision from the record. A decision that
// allows more than what led to it is none.
func (r *run) recallDecision(d *decision) error {
	if len(r.past) == 0 {
		return nil
	}
	b, ok := r.past[0].Body.(*agent.Decided)
	if !ok {
		return nil // record says what is wrong
	}
	if b.Outcome == agent.Allow && d.outcome != agent.Allow {
		return fmt.Errorf("%w: decision %d allows what was not allowed", ErrPast, r.past[0].Seq)
	}
	d.outcome, d.by, d.grant = b.Outcome, b.By, b.Grant
	return nil
}

// recallEnd returns how a call that was carried out ended.
func (r *run) recallEnd(c agent.ToolCall) (*agent.CallEnd, int64, bool) {
	call := c.Digest()
	of := func(e agent.Event) bool { return e.Call == call }
	i := r.find(is[*agent.CallEnd](call), of)
	if i < 0 {
		return nil, 0, false
	}
	e := r.past[i]
	r.past = r.past[i+1:]
	return e.Body.(*agent.CallEnd), e.Seq, true
}

// unknownOutcome is what the model is told of a call that was cut off. It is data like
// any response, not a frame: models know it no better than other words.
const unknownOutcome = "The program stopped while this call ran. Whether it took effect is not known. " +
	"Look at what is there before calling it again."

// acted goes on from a call that was carried out before.
func (r *run) acted(ctx context.Context, c agent.ToolCall, b *agent.CallEnd, ended int64) error {
	r.streak = 0
	r.settle(false)
	switch {
	case b.Status == agent.CallUnknown:
		r.out.Calls++
		return r.observe(ctx, c, frame.Data(frame.Nonce(unknownOutcome), unknownOutcome), ended)
	case b.Out == nil:
		return r.observe(ctx, c, frame.Denied(b.Code), ended)
	}
	r.out.Calls++
	o := agent.Observation{Call: c, Status: b.Status, Text: b.Out.String(), Code: b.Code, Exit: b.Exit, Sandbox: b.Sandbox}
	o.Nonce = frame.Nonce(o.Text)
	return r.receive(ctx, o, ended)
}

// recallResponse takes in what the model was shown of a response, or puts the question
// about it again. done is false if the response is still to be judged.
func (r *run) recallResponse(ctx context.Context, o agent.Observation, ended int64) (done bool, err error) {
	of := func(e agent.Event) bool { return e.Call == [32]byte{} && e.Ref >= ended }
	if i := r.find(is[*agent.Said]([32]byte{}), of); i >= 0 {
		b := r.past[i].Body.(*agent.Said)
		withheld := r.passBy(r.past[:i])
		if b.Text.String() == frame.WithheldAll {
			withheld = 1
		}
		r.out.Denials += withheld
		r.past = r.past[i:]
		return true, r.observe(ctx, o.Call, b.Text.String(), ended)
	}
	i := r.find(is[*agent.Asked]([32]byte{}), of)
	if i < 0 || i == 0 {
		return false, r.live()
	}
	judged, ok := r.past[i-1].Body.(*agent.Judged)
	asked := r.past[i].Body.(*agent.Asked)
	if !ok || asked.Release == nil || erased(asked.Release) {
		return false, fmt.Errorf("%w: question %d lacks what it is about", ErrPast, r.past[i].Seq)
	}
	verdict := r.past[i-1].Seq
	s := agent.Screening{Verdict: verdictOf(judged), Text: asked.Release.String()}
	s.Withheld = r.passBy(r.past[:i])
	r.past = r.past[i:]
	show, err := r.askResponse(ctx, o, s, verdict)
	if err != nil {
		return true, err
	}
	return true, r.release(ctx, o, s, show, ended)
}

// passBy applies the taints on record to the run, and returns how much the label that
// stands, the last, withheld.
func (r *run) passBy(events []agent.Event) (withheld int) {
	for _, e := range events {
		switch b := e.Body.(type) {
		case *agent.Labelled:
			withheld = b.Withheld
		case *agent.Tainted:
			r.taint = r.taint.Worse(b.Value)
		}
	}
	return withheld
}

// recallPrompt returns the judgement of the request, if it is on record whole: refused,
// asked about, or with what it authorises.
func (r *run) recallPrompt(said int64) (a agent.Assessment, seq int64, known bool) {
	for i, e := range r.past {
		switch b := e.Body.(type) {
		case *agent.Judged:
			if e.Ref != said {
				return a, 0, false
			}
			a.Verdict, seq = verdictOf(b), e.Seq
			if b.Outcome == agent.Deny {
				r.past = r.past[i+1:]
				return a, seq, true
			}
		case *agent.Asked:
			a.Authority.Tools = b.Tools
			r.past = r.past[i:]
			return a, seq, seq > 0
		case *agent.Authorised:
			a.Authority.Tools = b.Tools
			r.past = r.past[i:]
			return a, seq, seq > 0
		case *agent.Said, *agent.Turned:
			return a, 0, false
		}
	}
	return a, 0, false
}

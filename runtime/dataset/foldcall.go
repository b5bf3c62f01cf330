package dataset

import (
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// call adds an event about a call, or about the request or a response that a person was
// asked about.
func (f *folder) call(e agent.Event) error {
	c := f.calls[e.Call]
	if e.Call != [32]byte{} && c == nil && f.forgot {
		c = &Call{} // of a turn whose calls were erased: what is told of it has a place, and no more
		f.calls[e.Call] = c
	}
	if e.Call != [32]byte{} && c == nil {
		return fmt.Errorf("call %x: %w", e.Call[:8], errAntecedent)
	}
	switch b := e.Body.(type) {
	case *agent.Judged:
		j := f.judgement(e, c)
		j.VerdictSeq, j.Verdict = e.Seq, b
		f.verdicts[e.Seq] = j
	case *agent.Asked:
		j := f.verdicts[e.Ref]
		if j == nil {
			return errAntecedent
		}
		j.AskSeq, j.Answer = e.Seq, nil
		f.asks[e.Seq] = j
	case *agent.Answered:
		j := f.asks[e.Ref]
		if j == nil {
			return errAntecedent
		}
		j.Answer = b
	case *agent.Decided:
		if c == nil {
			return errAntecedent
		}
		c.Decision, c.DecisionSeq = b, e.Seq
		f.decisions[e.Seq] = c
	case *agent.CallStart:
		if f.decisions[e.Ref] != c || c == nil {
			return errAntecedent
		}
		c.Started = e.At
	case *agent.CallEnd:
		if f.decisions[e.Ref] != c || c == nil {
			return errAntecedent
		}
		c.End, c.EndSeq, c.Ended = b, e.Seq, e.At
		f.ends[e.Seq] = c
	}
	return nil
}

// judgement is where a verdict belongs: to a call, to a response, or to the request.
func (f *folder) judgement(e agent.Event, c *Call) *Judgement {
	switch {
	case c != nil:
		return &c.Judgement
	case f.ends[e.Ref] != nil:
		return &f.ends[e.Ref].Response
	}
	return &f.t.Prompt
}

func (f *folder) genEnd(e agent.Event, b *agent.GenEnd) error {
	g := f.gens[e.Ref]
	if g == nil {
		return errAntecedent
	}
	g.EndSeq, g.At, g.Text, g.Cached, g.Evaluated = e.Seq, e.At, b.Text.String(), b.Cached, b.Evaluated
	g.Finish, g.Probs, g.PrefillUS, g.GenUS, g.Error = b.Finish, b.Probs, b.PrefillUS, b.GenUS, b.Error.String()
	g.Told = b.Told
	g.Erased = erased(b.Prompt, b.IDs, b.Raw, b.Sampled, b.Forced, b.Text)
	if g.Erased {
		return nil
	}
	var err error
	if g.Prompt, err = int32s(b.Prompt); err != nil {
		return err
	}
	if g.IDs, err = int32s(b.IDs); err != nil {
		return err
	}
	if g.Raw, err = float32s(b.Raw); err != nil {
		return err
	}
	if g.Sampled, err = float32s(b.Sampled); err != nil {
		return err
	}
	if n := len(g.IDs); len(g.Raw) != n || len(g.Sampled) != n || b.N != n {
		return fmt.Errorf("%d tokens with %d and %d log-probabilities, %d by count", n, len(g.Raw), len(g.Sampled), b.N)
	}
	g.Forced, err = flags(b.Forced, len(g.IDs))
	return err
}

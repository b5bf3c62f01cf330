package dataset

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Fold reads the events of one run, in order and complete from the first, into a
// Trajectory. An event of an unknown kind, or one that refers to what is not there, is
// an error: half a reading of a record is worse than none.
func Fold(r Run, events []agent.Event) (*Trajectory, error) {
	f := &folder{t: &Trajectory{Run: r}, gens: map[int64]*Gen{}, calls: map[[32]byte]*Call{},
		decisions: map[int64]*Call{}, ends: map[int64]*Call{}, asks: map[int64]*Judgement{}, verdicts: map[int64]*Judgement{}}
	for i, e := range events {
		if e.Seq != int64(i)+1 {
			return nil, fmt.Errorf("fold run %s: event %d stands at place %d", r.ID, e.Seq, i+1)
		}
		if err := f.add(e); err != nil {
			return nil, fmt.Errorf("fold run %s: event %d (%s): %w", r.ID, e.Seq, e.Body.Kind(), err)
		}
		if _, noted := e.Body.(*agent.Exported); !noted { // an export changes nothing about the run
			f.t.Last, f.t.Head, f.t.At = e.Seq, e.Hash, e.At
		}
	}
	if len(events) == 0 {
		return nil, fmt.Errorf("fold run %s: no events", r.ID)
	}
	return f.t, nil
}

// folder is the work of Fold.
type folder struct {
	t         *Trajectory
	gens      map[int64]*Gen // by start
	calls     map[[32]byte]*Call
	decisions map[int64]*Call
	ends      map[int64]*Call
	verdicts  map[int64]*Judgement
	asks      map[int64]*Judgement
	prompt    int64 // position of the user's request
	forgot    bool  // the calls of a turn were erased
}

var errAntecedent = errors.New("refers to an event that is not there")

func (f *folder) add(e agent.Event) error {
	switch b := e.Body.(type) {
	case *agent.RunStart:
		f.t.Start = *b
	case *agent.RunEnd:
		f.t.End = b
	case *agent.ModelUsed:
		f.t.Model = *b
	case *agent.ToolsOffered:
		return f.tools(b)
	case *agent.Said:
		return f.said(e, b)
	case *agent.GenStart:
		g := &Gen{Seq: e.Seq, Purpose: b.Purpose, Temp: b.Temp, Seed: b.Seed, MaxTokens: b.MaxTokens, Schema: b.Schema.String()}
		f.gens[e.Seq], f.t.Gens = g, append(f.t.Gens, g)
	case *agent.GenEnd:
		return f.genEnd(e, b)
	case *agent.Turned:
		return f.turned(e, b)
	case *agent.Labelled:
		return f.labelled(e, b)
	case *agent.Scored:
		f.t.Scores = append(f.t.Scores, Score{e.Seq, b.Name, b.Value, b.Source})
	case *agent.Judged, *agent.Asked, *agent.Answered, *agent.Decided, *agent.CallStart, *agent.CallEnd:
		return f.call(e)
	case *agent.Authorised, *agent.Tainted, *agent.CallReady, *agent.LimitHit, *agent.Failed,
		*agent.RunRecover, *agent.Redacted, *agent.Exported: // nothing that a record is made of
	default:
		return errors.New("kind is not known here")
	}
	return nil
}

func (f *folder) tools(b *agent.ToolsOffered) error {
	f.t.Tools = nil
	for _, o := range b.List {
		var s agent.ToolSpec
		switch {
		case o.Spec == nil:
			return fmt.Errorf("declaration of %s is not there", o.Name)
		case o.Spec.Data == nil:
			f.t.undeclared = true
			continue
		}
		if err := json.Unmarshal(o.Spec.Data, &s); err != nil {
			return fmt.Errorf("read declaration of %s: %w", o.Name, err)
		}
		f.t.Tools = append(f.t.Tools, s)
	}
	return nil
}

func (f *folder) said(e agent.Event, b *agent.Said) error {
	m := agent.Message{Role: b.Role, Text: b.Text.String(), Thought: b.Thought.String(), Origin: b.Origin}
	n := Entry{Seq: e.Seq, At: e.At, Copied: b.Copied, Erased: erased(b.Text, b.Calls, b.Thought)}
	if b.Role == agent.Tool {
		m.CallID, m.Tool = b.Origin.CallID, b.Origin.Tool
	}
	if b.Calls != nil && b.Calls.Data != nil {
		if err := json.Unmarshal(b.Calls.Data, &m.Calls); err != nil {
			return fmt.Errorf("read calls: %w", err)
		}
	}
	if b.Role == agent.User && b.Origin.Source == agent.SourceUser {
		f.prompt = e.Seq
	}
	if b.Role == agent.Tool && !b.Copied {
		c := f.ends[e.Ref]
		if c == nil {
			if c = f.decisions[e.Ref]; c == nil {
				return errAntecedent
			}
		}
		c.Shown, c.ShownSeq = m.Text, e.Seq
	}
	n.Message = m
	f.t.Entries = append(f.t.Entries, n)
	return nil
}

func (f *folder) turned(e agent.Event, b *agent.Turned) error {
	s := &Step{Seq: e.Seq, At: e.At, Gen: f.gens[e.Ref], By: b.By, Parse: b.Parse, Thought: b.Thought.String(),
		Answer: b.Answer.String(), Erased: erased(b.Thought, b.Calls, b.Answer), index: len(f.t.Entries)}
	if e.Ref > 0 && s.Gen == nil {
		return errAntecedent
	}
	var calls []agent.ToolCall
	f.forgot = f.forgot || erased(b.Calls)
	if b.Calls != nil && b.Calls.Data != nil {
		if err := json.Unmarshal(b.Calls.Data, &calls); err != nil {
			return fmt.Errorf("read calls: %w", err)
		}
	}
	m := agent.Message{Role: agent.Assistant, Text: s.Answer, Thought: s.Thought, Calls: calls,
		Origin: agent.Origin{Source: agent.SourceModel}}
	if !s.Erased && (b.Parse == agent.ParseFailed || len(calls) == 0 && s.Answer == "") {
		if s.Gen != nil { // the model sees what it wrote
			m.Text, m.Thought = s.Gen.Text, ""
		}
	}
	for _, c := range calls {
		k := &Call{ToolCall: c}
		f.calls[c.Digest()] = k
		s.Calls = append(s.Calls, k)
	}
	f.t.Steps = append(f.t.Steps, s)
	f.t.Entries = append(f.t.Entries, Entry{Seq: e.Seq, At: e.At, Message: m, Step: s, Erased: s.Erased})
	return nil
}

func (f *folder) labelled(e agent.Event, b *agent.Labelled) error {
	l := Label{Seq: e.Seq, Ref: e.Ref, Channel: b.Channel, Value: b.Value, Source: b.Source, Own: b.Source == "" && len(b.Gens) > 0}
	if b.Channel == agent.ToolResponse {
		c := f.ends[e.Ref]
		if c == nil {
			return errAntecedent
		}
		c.Labels = append(c.Labels, l)
	}
	f.t.Labels = append(f.t.Labels, l)
	return nil
}

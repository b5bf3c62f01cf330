package safety

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/safety/provenance"
)

// Subject is what a recorded verdict was on.
type Subject string

// The subjects.
const (
	OnPrompt   Subject = "prompt"
	OnCall     Subject = "call"
	OnResponse Subject = "response"
)

// Recorded is one verdict as a ledger holds it, with all that came before it which it
// depends on, and what became of it. It is read from events alone.
type Recorded struct {
	Seq     int64
	On      Subject
	Verdict *agent.Judged
	Call    agent.ToolCall // zero unless On is OnCall
	Known   bool           // the call's tool was on offer
	Spec    agent.ToolSpec
	Sinks   []agent.Sink
	Basis   *Basis          // as recorded, nil if it was not
	Rules   *policy.Set     // in force in the run, nil if they were not recorded
	Answer  *agent.Answered // nil if nobody was asked
	Decided *agent.Decided  // nil if the run ended before
	Tool    *agent.CallEnd  // the response judged, nil unless On is OnResponse

	agent     string // what the run says it was
	prompt    agent.Label
	confirmed bool
	taint     agent.Taint
	covered   bool
	past      past // what ran before
}

// ErrErased means that a part of the record that a verdict depends on was erased.
var ErrErased = errors.New("a part of the record was erased")

// Recall reads every verdict of a run from its events, in order.
func Recall(events iter.Seq2[agent.Event, error]) ([]*Recorded, error) {
	f := folder{calls: map[[32]byte]agent.ToolCall{}, ends: map[int64]*agent.CallEnd{}, at: map[int64]*Recorded{}, taint: agent.TaintClean}
	for e, err := range events {
		if err != nil {
			return f.out, err
		}
		if err := f.take(e); err != nil {
			return f.out, fmt.Errorf("read event %d: %w", e.Seq, err)
		}
	}
	return f.out, nil
}

// folder follows a run from event to event.
type folder struct {
	out   []*Recorded
	agent string
	rules *policy.Set
	calls map[[32]byte]agent.ToolCall // proposed, by digest
	ends  map[int64]*agent.CallEnd    // by position
	at    map[int64]*Recorded         // by position of the verdict, its question and its answer

	past      past
	prompt    agent.Label
	confirmed bool
	authority agent.Authority
	taint     agent.Taint
}

// take reads one event.
func (f *folder) take(e agent.Event) (err error) {
	switch b := e.Body.(type) {
	case *agent.RunStart:
		f.agent = b.Agent
		if b.Policy != nil && b.Policy.Data != nil {
			f.rules, err = policy.Restore(b.Policy.Data)
		}
	case *agent.ToolsOffered:
		f.past.specs = nil
		for _, t := range b.List {
			var s agent.ToolSpec
			if err = read(t.Spec, &s); err != nil {
				return err
			}
			f.past.specs = append(f.past.specs, s)
		}
	case *agent.Turned:
		var calls []agent.ToolCall
		if b.Calls != nil {
			err = read(b.Calls, &calls)
		}
		f.propose(calls)
	case *agent.Said:
		var calls []agent.ToolCall
		if b.Calls != nil {
			err = read(b.Calls, &calls)
		}
		f.propose(calls)
	case *agent.Labelled:
		if b.Channel == agent.UserPrompt && b.Source == "" {
			f.prompt = b.Value
		}
	case *agent.Authorised:
		f.authority = agent.Authority{Tools: b.Tools}
	case *agent.Tainted:
		f.taint = b.Value
	case *agent.Judged:
		err = f.judged(e, b)
	case *agent.Asked:
		f.at[e.Seq] = f.at[e.Ref]
	case *agent.Answered:
		f.answered(e, b)
	case *agent.Decided:
		if r := f.at[e.Ref]; r != nil && r.On == OnCall {
			r.Decided = b
		}
	case *agent.CallEnd:
		f.ends[e.Seq] = b
		if b.Status != agent.CallDenied {
			if c, ok := f.calls[e.Call]; ok {
				f.past.ran = append(f.past.ran[:len(f.past.ran):len(f.past.ran)], c)
			}
		}
	}
	return err
}

func (f *folder) propose(calls []agent.ToolCall) {
	for _, c := range calls {
		f.calls[c.Digest()] = c
	}
}

// read decodes a blob of JSON.
func read(b *agent.Blob, v any) error {
	if b == nil || b.Data == nil {
		return ErrErased
	}
	return json.Unmarshal(b.Data, v)
}

// judged reads a verdict.
func (f *folder) judged(e agent.Event, b *agent.Judged) error {
	r := &Recorded{Seq: e.Seq, On: OnPrompt, Verdict: b, Rules: f.rules, agent: f.agent,
		prompt: f.prompt, confirmed: f.confirmed, taint: f.taint, past: f.past}
	f.at[e.Seq] = r
	f.out = append(f.out, r)
	if end, ok := f.ends[e.Ref]; ok {
		r.On, r.Tool = OnResponse, end
		return nil
	}
	if e.Call == ([32]byte{}) {
		return nil
	}
	r.On = OnCall
	var ok bool
	if r.Call, ok = f.calls[e.Call]; !ok {
		return fmt.Errorf("%w: the call of verdict %d", ErrErased, e.Seq)
	}
	r.Spec = f.past.spec(r.Call.Tool)
	r.Known = r.Spec.Name != ""
	r.covered = f.authority.Has(r.Call.Tool)
	if b.Sinks != nil {
		if err := read(b.Sinks, &r.Sinks); err != nil {
			return err
		}
	}
	if b.Basis != nil {
		if b.Basis.Data == nil {
			return ErrErased
		}
		basis, err := ParseBasis(b.Basis.Data)
		if err != nil {
			return err
		}
		r.Basis = &basis
	}
	return nil
}

// answered reads what a person said.
func (f *folder) answered(e agent.Event, b *agent.Answered) {
	r := f.at[e.Ref]
	f.at[e.Seq] = r
	if r == nil {
		return
	}
	r.Answer = b
	if r.On == OnPrompt && b.Choice == agent.ChoiceOnce {
		f.confirmed = true
	}
}

// basis is what the verdict was decided on: as it was recorded, or, in a record from
// before that was kept, whatever agrees with the rest of the record and gives the votes
// that were recorded. ok is false if nothing does.
func (r *Recorded) basis() (b Basis, inferred, ok bool) {
	if r.Basis != nil {
		return *r.Basis, false, true
	}
	if len(r.Verdict.Votes) == 0 {
		return Basis{}, false, false
	}
	in := Input{Prompt: r.prompt, Confirmed: r.confirmed, Taint: r.taint, Covered: r.covered,
		Sinks: provenance.Least(r.Sinks), Bounded: true, Written: agent.Allow, Review: r.Verdict.Label}
	effects := []agent.Effect{agent.EffectUnknown, agent.Pure, agent.Read, agent.SensitiveRead, agent.Write, agent.Outward, agent.Irreversible}
	if r.Verdict.Effect != agent.EffectUnknown {
		effects = []agent.Effect{r.Verdict.Effect}
	}
	for _, in.Effect = range effects {
		for bits := range 8 {
			in.Fresh, in.OwnContent, in.Public = bits&1 == 0, bits&2 == 0, bits&4 == 0
			if sameVotes(Decide(in).Votes, r.ownVotes()) {
				return Basis{Input: in, Count: r.past.before(r.Call, false)}, true, true
			}
		}
	}
	return Basis{}, true, false
}

// ownVotes are the votes of a verdict less those that are added from outside the gate.
func (r *Recorded) ownVotes() []agent.Vote {
	var out []agent.Vote
	for _, v := range r.Verdict.Votes {
		if v.Rule != askAlways && v.Rule != judgeError {
			out = append(out, v)
		}
	}
	return out
}

// The votes that are not of the table or of a written rule.
const (
	askAlways  = "ask.always"  // the operator wants to be asked about every effect
	judgeError = "judge.error" // the judgement failed
)

// sameVotes compares rules and outcomes; the words of a reason may change.
func sameVotes(a, b []agent.Vote) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Rule != b[i].Rule || a[i].Outcome != b[i].Outcome {
			return false
		}
	}
	return true
}

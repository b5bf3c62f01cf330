package dataset

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Pair is one preference: of two continuations of a prompt, which is better and why.
type Pair struct {
	Source      string // edit, denial, fork, retry
	Prompt      []Entry
	Chosen      agent.Message
	Rejected    agent.Message
	ChosenRun   string
	ChosenSeq   int64
	RejectedRun string
	RejectedSeq int64
	Margin      *float64 // of the reward, nil where no reward made the pair
	AfterDenial bool     // the chosen turn was written after the denial was seen

	t *Trajectory // whose prompt it is
}

// PairOptions narrow the pairs. The zero value is the default.
type PairOptions struct {
	Margin     float64 // least gap of the reward; 0 means 0.5
	PerPrompt  int     // 0 means 4
	CrossModel bool    // attempts of different models may be compared
}

// Pairs finds the preferences in a set of runs, without repetition, by source and then
// in the order of the runs. Two sides that differ in their thoughts alone are a pair.
func Pairs(list []*Trajectory, o PairOptions, r RewardOptions) []Pair {
	return pairs(list, o, r, dialect{thoughts: true})
}

// pairs is Pairs for those that differ as they are written in a dialect.
func pairs(list []*Trajectory, o PairOptions, r RewardOptions, as dialect) []Pair {
	if o.Margin == 0 {
		o.Margin = 0.5
	}
	if o.PerPrompt == 0 {
		o.PerPrompt = 4
	}
	var all []Pair
	for _, t := range list {
		all = append(all, edits(t)...)
		all = append(all, denials(t)...)
	}
	all = append(all, forks(list, o, r)...)
	all = append(all, retries(list, o, r)...)
	return unique(all, o.PerPrompt, as)
}

// edits pairs a turn in which a person changed calls with the same turn as changed, if
// every changed call was allowed and ended well.
func edits(t *Trajectory) []Pair {
	var out []Pair
	for i, s := range t.Steps {
		if s.Gen == nil || s.Erased || s.By == byUser {
			continue
		}
		calls, last, ok := edited(s, t.Steps[i+1:])
		if !ok {
			continue
		}
		rejected := t.Entries[s.index].Message
		rejected.Thought = "" // it argues for the call as it was
		chosen := rejected
		chosen.Calls = calls
		out = append(out, Pair{Source: "edit", Prompt: t.Entries[:s.index], Chosen: chosen, Rejected: rejected,
			ChosenRun: t.Run.ID, RejectedRun: t.Run.ID, ChosenSeq: last, RejectedSeq: s.Seq, t: t})
	}
	return out
}

// edited returns the calls of a turn as a person changed them in the turns that follow,
// and the position of the last of those. ok is false where nothing was changed, or a
// changed call did not end well.
func edited(s *Step, later []*Step) (calls []agent.ToolCall, last int64, ok bool) {
	for _, c := range s.Calls {
		final := c
		for final.changed() && len(later) > 0 && later[0].By == byUser && len(later[0].Calls) == 1 && !later[0].Erased {
			final, last, later = later[0].Calls[0], later[0].Seq, later[1:]
		}
		if c.changed() && !final.OK() {
			return nil, 0, false
		}
		k := c.ToolCall
		k.Tool, k.Args = final.Tool, final.Args
		calls = append(calls, k)
	}
	return calls, last, last > 0
}

// changed reports whether a person wrote other arguments for the call.
func (c *Call) changed() bool { return c.Answer != nil && c.Answer.Choice == agent.ChoiceEdit }

// denials pairs a call that a person or a rule denied with the next one that was allowed
// and ended well.
func denials(t *Trajectory) []Pair {
	var out []Pair
	for i, s := range t.Steps {
		if s.Gen == nil || s.Erased || !slices.ContainsFunc(s.Calls, ruledOut) {
			continue
		}
		for _, later := range t.Steps[i+1:] {
			if len(later.Calls) == 0 || !later.Trainable() || !slices.ContainsFunc(later.Calls, (*Call).OK) {
				continue
			}
			chosen := t.Entries[later.index].Message
			chosen.Thought = "" // it was thought after the denial
			rejected := t.Entries[s.index].Message
			rejected.Thought = ""
			out = append(out, Pair{Source: "denial", Prompt: t.Entries[:s.index], Chosen: chosen, Rejected: rejected,
				ChosenRun: t.Run.ID, RejectedRun: t.Run.ID, ChosenSeq: later.Seq, RejectedSeq: s.Seq, AfterDenial: true, t: t})
			break
		}
	}
	return out
}

// ruledOut reports whether a person or a rule denied the call; a judge that erred, or a
// question that nobody answered, says nothing about it.
func ruledOut(c *Call) bool {
	if c.Decision == nil || !c.Denied() || c.Verdict == nil || c.changed() {
		return false
	}
	switch {
	case c.Answer != nil:
		return c.Answer.Via != agent.ViaNever && c.Answer.Via != agent.ViaError
	case c.Verdict.By == "error" || c.Verdict.Code == "judge_error":
		return false
	}
	return c.Verdict.Outcome == agent.Deny && c.Verdict.Code != "bad_arguments" && c.Verdict.Code != "unknown_tool"
}

// retries pairs the first turns of attempts at one task.
func retries(list []*Trajectory, o PairOptions, r RewardOptions) []Pair {
	var out []Pair
	for i, a := range list {
		for _, b := range list[i+1:] {
			if a.Run.Group == "" || a.Run.Group != b.Run.Group || len(a.Steps) == 0 || len(b.Steps) == 0 {
				continue
			}
			if p, ok := compare("retry", a, b, a.Steps[0], b.Steps[0], o, r); ok {
				out = append(out, p)
			}
		}
	}
	return out
}

// forks pairs a run with the one it branched off, at the first turn after the branch.
func forks(list []*Trajectory, o PairOptions, r RewardOptions) []Pair {
	var out []Pair
	for _, b := range list {
		if b.Run.Relation != "fork" || len(b.Steps) == 0 {
			continue
		}
		for _, a := range list {
			if a.Run.ID != b.Run.Parent {
				continue
			}
			for _, s := range a.Steps {
				if s.index == b.Steps[0].index {
					if p, ok := compare("fork", a, b, s, b.Steps[0], o, r); ok {
						out = append(out, p)
					}
				}
			}
		}
	}
	return out
}

// compare makes a pair of two turns after the same messages, if the rewards of their
// runs lie far enough apart.
func compare(source string, a, b *Trajectory, sa, sb *Step, o PairOptions, r RewardOptions) (Pair, bool) {
	ra, rb := r.Score(a), r.Score(b)
	if ra.Total == nil || rb.Total == nil || !o.CrossModel && a.Model.GGUF != b.Model.GGUF {
		return Pair{}, false
	}
	if *ra.Total < *rb.Total {
		a, b, sa, sb, ra, rb = b, a, sb, sa, rb, ra
	}
	gap := *ra.Total - *rb.Total
	if gap < o.Margin || sa.Gen == nil || sb.Gen == nil || sa.Erased || sb.Erased || !sameSaid(a.Entries[:sa.index], b.Entries[:sb.index]) {
		return Pair{}, false
	}
	return Pair{Source: source, Prompt: a.Entries[:sa.index], Chosen: a.Entries[sa.index].Message,
		Rejected: b.Entries[sb.index].Message, ChosenRun: a.Run.ID, RejectedRun: b.Run.ID,
		ChosenSeq: sa.Seq, RejectedSeq: sb.Seq, Margin: &gap, t: a}, true
}

func sameSaid(a, b []Entry) bool {
	return slices.EqualFunc(a, b, func(x, y Entry) bool {
		return x.Message.Role == y.Message.Role && x.Message.Text == y.Message.Text && !x.Erased && !y.Erased &&
			slices.EqualFunc(x.Message.Calls, y.Message.Calls, func(c, d agent.ToolCall) bool { return c.Tool == d.Tool && c.Args == d.Args })
	})
}

// unique drops repeated pairs, pairs of equals, and what is too many of one prompt, all as
// they are written.
func unique(list []Pair, most int, as dialect) []Pair {
	seen, per := map[[32]byte]bool{}, map[[32]byte]int{}
	rank := func(p Pair) int { return slices.Index([]string{"edit", "denial", "fork", "retry"}, p.Source) }
	slices.SortStableFunc(list, func(a, b Pair) int { return cmp.Compare(rank(a), rank(b)) })
	return slices.DeleteFunc(list, func(p Pair) bool {
		prompt, chosen, rejected, err := p.written(as)
		if err != nil {
			return true // its arguments are not JSON
		}
		c, _ := encode(chosen)
		r, _ := encode(rejected)
		m, _ := encode(prompt)
		id, of := sha256.Sum256(slices.Concat(m, c, r)), sha256.Sum256(m)
		if string(c) == string(r) || seen[id] || per[of] >= most {
			return true
		}
		seen[id] = true
		per[of]++
		return false
	})
}

// written writes a pair's messages in a dialect.
func (p Pair) written(d dialect) (prompt, chosen, rejected []chatMessage, err error) {
	if prompt, err = d.messages(p.Prompt, nil); err != nil {
		return
	}
	for _, side := range []struct {
		m  agent.Message
		to *[]chatMessage
	}{{p.Chosen, &chosen}, {p.Rejected, &rejected}} {
		var m chatMessage
		if m, err = d.message(side.m, true); err != nil {
			return
		}
		*side.to = []chatMessage{m}
	}
	return
}

func (x *exporter) dpoPair(p Pair) (any, error) {
	prompt, chosen, rejected, err := p.written(x.trl())
	return dpoRow{prompt, chosen, rejected, x.tools(p.t)}, err
}

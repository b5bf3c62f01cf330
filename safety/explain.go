package safety

import (
	"fmt"
	"sync"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/safety/review"
)

// Explanation is a recorded verdict decided again.
type Explanation struct {
	Outcome    agent.Outcome
	Votes      []agent.Vote
	Code       string
	Input      *Input   // what the table was given, nil where it was not asked
	Inferred   bool     // the input was not recorded, but follows from the recorded votes
	Notes      []string // what a reader must know
	Disagrees  []string // where the record says otherwise; empty if it was reproduced
	Final      agent.Outcome
	FinalKnown bool // the run got as far as settling the call
}

// Reproduced reports whether deciding again gave what was recorded.
func (e Explanation) Reproduced() bool { return len(e.Disagrees) == 0 }

// ungated says of each kind of run that no gate judges why that is so.
var ungated = map[string]string{
	"operator":                               "the operator gave the command",
	"verifier":                               "the operator gave the command that verifies",
	"eval without guard, effects noted only": "the guard was off, and no effect was carried out",
	"eval without guard, tools are recordings": "the guard was off, and its tools were recordings",
}

// Checker reports whether a call fits the declaration of its tool.
type Checker func(agent.ToolSpec, agent.ToolCall) error

// Explain decides a recorded verdict again, from the record alone: the table on the
// recorded input, the rules of then on the recorded call, and the answer that a person
// gave. check may be nil if the arguments' schema is not to be checked again.
func (r *Recorded) Explain(check Checker) Explanation {
	var e Explanation
	switch {
	case ungated[r.agent] != "" && len(r.Verdict.Votes) == 0 && r.Verdict.By == "gate":
		e = Explanation{Outcome: agent.Allow, Notes: []string{"no gate judged this run: " + ungated[r.agent]}}
	case r.Verdict.By == "error", onlyError(r.Verdict.Votes):
		e = Explanation{Outcome: agent.Deny, Votes: r.Verdict.Votes, Code: "judge_error", Notes: []string{"judging failed, which denies"}}
	case r.Verdict.By == "loop":
		e = r.precheck(check)
	case r.On == OnCall:
		e = r.again()
	default:
		e = r.byLabel()
	}
	for _, v := range r.Verdict.Votes {
		if v.Rule == askAlways {
			e.Votes = append(e.Votes, v)
			e.Outcome = e.Outcome.Stricter(v.Outcome)
			e.Notes = append(e.Notes, "the operator had asked to see every effect (--ask always)")
		}
	}
	e.compare("outcome", e.Outcome, r.Verdict.Outcome)
	e.compare("code", e.Code, r.Verdict.Code)
	if r.Verdict.By == "gate" && !sameVotes(e.Votes, r.Verdict.Votes) {
		e.Disagrees = append(e.Disagrees, fmt.Sprintf("votes: now %s, recorded %s", voteWords(e.Votes), voteWords(r.Verdict.Votes)))
	}
	r.final(&e)
	return e
}

func (e *Explanation) compare(what string, now, recorded any) {
	if now != recorded {
		e.Disagrees = append(e.Disagrees, fmt.Sprintf("%s: now %v, recorded %v", what, now, recorded))
	}
}

func onlyError(votes []agent.Vote) bool { return len(votes) == 1 && votes[0].Rule == judgeError }

func voteWords(votes []agent.Vote) string {
	s := ""
	for i, v := range votes {
		if i > 0 {
			s += " "
		}
		s += v.Rule + "=" + v.Outcome.String()
	}
	return "[" + s + "]"
}

// precheck is what the loop says before any judge is asked.
func (r *Recorded) precheck(check Checker) Explanation {
	e := Explanation{Outcome: agent.Deny}
	switch {
	case !r.Known:
		e.Code = "unknown_tool"
	case r.Call.CheckArgs() != nil:
		e.Code = "bad_arguments"
	case check == nil:
		e.Code = r.Verdict.Code
		e.Notes = append(e.Notes, "the arguments were not checked again")
	case check(r.Spec, r.Call) != nil:
		e.Code = "bad_arguments"
	default:
		e.Outcome, e.Notes = agent.Allow, append(e.Notes, "nothing is wrong with the form of the call")
	}
	return e
}

// byLabel is the verdict on a request or a response, which a label alone decides.
func (r *Recorded) byLabel() Explanation {
	rule := string(r.On)
	v := ofOpinion(review.Opinion{Label: r.Verdict.Label}, rule)
	e := Explanation{Outcome: v.Outcome, Votes: v.Votes, Code: v.Code}
	for _, w := range r.Verdict.Votes[min(1, len(r.Verdict.Votes)):] {
		if w.Rule == judgeError {
			e.Outcome, e.Code = agent.Deny, judgeErrorCode
			e.Votes = append(e.Votes, w)
		} else if l, ok := redactedLabel(w.Rule); ok { // what was left after the guilty pieces were taken out
			again := ofOpinion(review.Opinion{Label: l}, "response.redacted")
			e.Votes = append(e.Votes, again.Votes...)
			e.Outcome, e.Code = again.Outcome, again.Code
		}
	}
	return e
}

const judgeErrorCode = "judge_error"

func redactedLabel(rule string) (agent.Label, bool) {
	for _, l := range append(agent.Labels[:], agent.Unknown) {
		if rule == "response.redacted."+l.String() {
			return l, true
		}
	}
	return agent.Unknown, false
}

// again decides a call by the table and the rules of then.
func (r *Recorded) again() Explanation {
	b, inferred, ok := r.basis()
	if !ok {
		return Explanation{Outcome: agent.Deny, Notes: []string{"nothing that agrees with the record gives these votes"},
			Disagrees: []string{"input: cannot be found"}}
	}
	e := Explanation{Input: &b.Input, Inferred: inferred}
	var written policy.Result
	rules := r.Rules
	if rules == nil && !inferred {
		e.Notes = append(e.Notes, "the rules in force were not recorded with this run; taken to be the floor of this build")
		rules, _ = floor() // nil beside an error, which New would have met
	}
	if rules != nil {
		written = rules.Eval(factsOf(b.Input, r.Call, r.Spec, r.Sinks, b.Count, b.Hosts, b.Secrets))
		e.compare("hosts and secrets named", written.Names(b.Hosts, b.Secrets), b.Input.Bounded)
		e.compare("written rules", written.Outcome, b.Input.Written)
		e.compare("questions answered", written.Answers, b.Input.Answered)
	}
	e.compare("review", b.Input.Review, r.Verdict.Label)
	ruling := Decide(b.Input)
	e.Outcome, e.Code, e.Votes = ruling.Outcome, ruling.Code, withWritten(ruling.Votes, written)
	for _, v := range r.Verdict.Votes {
		if v.Rule == judgeError {
			e.Outcome, e.Code, e.Votes = agent.Deny, judgeErrorCode, append(e.Votes, v)
		}
	}
	return e
}

// final settles the call as the loop does: what the verdict allowed, or a person.
func (r *Recorded) final(e *Explanation) {
	if r.Decided == nil {
		return
	}
	e.FinalKnown, e.Final = true, agent.Deny
	switch {
	case e.Outcome == agent.Allow:
		e.Final = agent.Allow
	case e.Outcome == agent.Ask && r.Answer != nil && r.Answer.Choice == agent.ChoiceOnce:
		e.Final = agent.Allow
	}
	e.compare("decision", e.Final, r.Decided.Outcome)
}

// Under decides a recorded call as it would be decided under other rules. ok is false
// where rules have no say: on requests and responses, and on calls that were denied
// before they were judged.
func (r *Recorded) Under(rules *policy.Set) (out agent.Outcome, votes []agent.Vote, ok bool) {
	if r.On != OnCall || r.Verdict.By != "gate" || onlyError(r.Verdict.Votes) {
		return agent.Deny, nil, false
	}
	b, _, ok := r.basis()
	if !ok {
		return agent.Deny, nil, false
	}
	n := b.Count
	if rules.NeedsTotals() && n.Totals == nil {
		n.Totals = r.past.before(r.Call, true).Totals
	}
	w := rules.Eval(factsOf(b.Input, r.Call, r.Spec, r.Sinks, n, b.Hosts, b.Secrets))
	in := b.Input
	in.Written, in.Answered, in.Bounded = w.Outcome, w.Answers, w.Names(b.Hosts, b.Secrets)
	ruling := Decide(in)
	out = ruling.Outcome
	for _, v := range r.Verdict.Votes {
		if v.Rule == askAlways || v.Rule == judgeError {
			out = out.Stricter(v.Outcome)
		}
	}
	return out, withWritten(ruling.Votes, w), true
}

// floor is the rules of a gate that was given none.
var floor = sync.OnceValues(func() (*policy.Set, error) { return policy.Load() })

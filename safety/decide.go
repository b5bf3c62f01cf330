package safety

import (
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
)

// Input is everything the decision depends on. It is comparable, and every zero field
// is the worst value of its kind, so that the zero Input denies.
type Input struct {
	Prompt    agent.Label  `json:"prompt"`    // of the user's request
	Confirmed bool         `json:"confirmed"` // the user confirmed a sensitive request for this run
	Taint     agent.Taint  `json:"taint"`     // of the context
	Effect    agent.Effect `json:"effect"`    // of this call
	Covered   bool         `json:"covered"`   // the tool is in the set the request authorises
	Sinks     agent.Source `json:"sinks"`     // least trusted source of the arguments that direct the effect

	// Fresh says that what the user did not name of a write are new files that nothing
	// runs, loads or obeys by their name.
	Fresh bool `json:"fresh"`
	// OwnContent says that nothing can leave the machine with this call, after a tool
	// response was read, but what the user wrote.
	OwnContent bool `json:"own_content"`
	// Public says that no private data has been read in this run, or that none can leave
	// the machine with this call.
	Public bool `json:"public"`
	// Bounded says that the call would be given no host and no secret, or those alone that
	// written rules name for it.
	Bounded bool `json:"bounded"`
	// Typed says that a person put this very call in the place of one of the model's. What
	// they typed is their word, which a label of the model's questions and does not overrule.
	Typed bool `json:"typed,omitempty"`

	Written  agent.Outcome    `json:"written"`            // strictest of the written rules, Allow where none applies
	Answered policy.Questions `json:"answered,omitempty"` // what an operator's rule answers in advance
	Review   agent.Label      `json:"review"`             // of the model's review of this call
}

// Ruling is what the table decides, with the vote of every row that applied in the
// order of the table.
type Ruling struct {
	Outcome agent.Outcome
	Votes   []agent.Vote
	Code    string // of the first row that denied, "" if none did
}

// row is one rule. It votes when it applies; a row may never raise what another said.
type row struct {
	name    string
	applies func(Input) bool
	outcome func(Input) agent.Outcome
	reason  string
	code    string // told to the model when this row denies
	lowers  bool   // can only lower: its Allow alone allows nothing

	// question is what a written rule may answer in advance when this row asks, 0 where
	// none may.
	question policy.Questions
}

func always(o agent.Outcome) func(Input) agent.Outcome {
	return func(Input) agent.Outcome { return o }
}

// table is the decision of the design, one row a rule. Order matters only for the code
// of a denial: the strictest vote stands.
var table = [...]row{
	{name: "prompt.unknown", applies: func(in Input) bool { return rankLabel(in.Prompt) == 0 },
		outcome: always(agent.Deny), reason: "the request has no label", code: "judge_error"},
	{name: "prompt.malicious", applies: func(in Input) bool { return in.Prompt == agent.Malicious },
		outcome: always(agent.Deny), reason: "the request is malicious", code: "unsafe"},
	{name: "prompt.unconfirmed",
		applies: func(in Input) bool { return in.effectful() && in.Prompt == agent.Sensitive && !in.Confirmed },
		outcome: always(agent.Ask), reason: "the request is sensitive and was not confirmed"},
	{name: "effect.read", applies: func(in Input) bool { return !in.effectful() },
		outcome: always(agent.Allow), reason: "the call changes nothing"},
	{name: "taint.malicious", applies: func(in Input) bool { return in.effectful() && in.taint() == agent.TaintMalicious },
		outcome: always(agent.Deny), reason: "text labelled malicious is in the context", code: "unsafe"},
	{name: "authority.clean",
		applies: func(in Input) bool { return in.effectful() && !in.Covered && in.taint() == agent.TaintClean },
		outcome: always(agent.Ask), reason: "the request does not cover this tool", question: policy.Uncovered},
	{name: "authority.tainted",
		applies: func(in Input) bool { return in.effectful() && !in.Covered && in.taint() != agent.TaintClean },
		outcome: always(agent.Deny), reason: "the request does not cover this tool, and tool responses were read",
		code: "not_authorised"},
	{name: "sinks.user", applies: func(in Input) bool { return in.effectful() && in.sinksTrusted() },
		outcome: always(agent.Allow), reason: "the user named everything that directs the effect"},
	{name: "sinks.untrusted",
		applies: func(in Input) bool { return in.effectful() && !in.sinksTrusted() && !in.undoable() },
		outcome: always(agent.Ask), reason: "the user did not name everything that directs the effect", question: policy.Unnamed},
	{name: "write.fresh",
		applies: func(in Input) bool { return in.effectful() && !in.sinksTrusted() && in.undoable() },
		outcome: always(agent.Allow), reason: "an authorised write that overwrites nothing"},
	{name: "effect.irreversible", applies: func(in Input) bool { return in.Effect.Rank() == agent.Irreversible.Rank() },
		outcome: always(agent.Ask), reason: "the call may change or destroy what is there", question: policy.Irreversible},
	{name: "content.untrusted", applies: func(in Input) bool { return in.outward() && !in.OwnContent },
		outcome: always(agent.Ask), reason: "tool responses were read, and text that the user did not write would leave the machine", question: policy.Borrowed},
	{name: "content.private",
		applies: func(in Input) bool { return in.outward() && !in.Public && !in.sinksTrusted() },
		outcome: always(agent.Ask), reason: "private data would go where the user did not say", question: policy.Private},
	{name: "grant.unnamed", applies: func(in Input) bool { return !in.Bounded },
		outcome: always(agent.Ask), reason: "the call would be given hosts or secrets that no written rule names for it"},
	{name: "written", applies: func(Input) bool { return true }, lowers: true,
		outcome: func(in Input) agent.Outcome { return known(in.Written) }, reason: "written rules", code: "unsafe"},
	{name: "review", applies: func(in Input) bool { return rankLabel(in.Review) > 0 }, lowers: true,
		outcome: reviewed, reason: "the model's review", code: "unsafe"},
	{name: "review.missing", applies: func(in Input) bool { return rankLabel(in.Review) == 0 }, lowers: true,
		outcome: always(agent.Deny), reason: "the review gave no label", code: "judge_error"},
}

// Decide settles a call. It is pure and total: every row that applies votes, the
// strictest vote stands, and where no row allows the call is denied.
func Decide(in Input) Ruling {
	r := Ruling{Outcome: agent.Allow}
	based := false
	for i := range table {
		t := &table[i]
		if !t.applies(in) {
			continue
		}
		v := agent.Vote{Rule: t.name, Outcome: t.outcome(in), Reason: t.reason}
		if v.Outcome == agent.Ask && t.question != 0 && in.Answered.Has(t.question) {
			v.Outcome, v.Reason = agent.Allow, v.Reason+"; a written rule answers this"
		}
		o := v.Outcome
		r.Votes = append(r.Votes, v)
		r.Outcome = r.Outcome.Stricter(o)
		based = based || !t.lowers
		if o == agent.Deny && r.Code == "" {
			r.Code = t.code
		}
	}
	if !based {
		r.Outcome, r.Code = agent.Deny, "judge_error"
	}
	return r
}

func (in Input) effectful() bool { return in.Effect.Rank() > agent.Read.Rank() }

func (in Input) outward() bool { return in.Effect.Rank() >= agent.Outward.Rank() }

func (in Input) sinksTrusted() bool {
	return agent.Origin{Source: in.Sinks}.Trusted() && in.Sinks <= agent.SourceOperator
}

// undoable is rule 10: a write, which loses nothing, that the request authorised.
func (in Input) undoable() bool { return in.Effect == agent.Write && in.Covered && in.Fresh }

// taint reads a value outside the set as the worst.
func (in Input) taint() agent.Taint {
	if in.Taint > agent.TaintClean {
		return agent.TaintMalicious
	}
	return in.Taint
}

// reviewed is the review's vote. A sensitive label asks, unless the user has already
// confirmed this very thing: the request was sensitive and confirmed, and the user
// named every sink. A malicious label denies, but asks where the person typed the call. Whether
// the request covers the tool is another row's question.
func reviewed(in Input) agent.Outcome {
	switch in.Review {
	case agent.Benign:
		return agent.Allow
	case agent.Sensitive:
		confirmed := in.Prompt == agent.Sensitive && in.Confirmed
		if confirmed && in.sinksTrusted() && in.taint() != agent.TaintMalicious {
			return agent.Allow
		}
		return agent.Ask
	case agent.Malicious:
		if in.Typed {
			return agent.Ask
		}
	}
	return agent.Deny
}

// known reads an outcome outside the set as a denial.
func known(o agent.Outcome) agent.Outcome {
	if o > agent.Allow {
		return agent.Deny
	}
	return o
}

// rankLabel is 0 for anything that is not one of the three labels.
func rankLabel(l agent.Label) int {
	for i, k := range agent.Labels {
		if k == l {
			return i + 1
		}
	}
	return 0
}

package agent

import (
	"context"
	"time"

	"github.com/holdfast-run/holdfast/runtime/internal/permit"
)

// Outcome is what a judge decides. The zero value denies.
type Outcome uint8

// The outcomes, strictest first.
const (
	Deny Outcome = iota
	Ask
	Allow
)

// String returns the outcome's name in the ledger.
func (o Outcome) String() string {
	switch o {
	case Ask:
		return "ask"
	case Allow:
		return "allow"
	}
	return "deny"
}

// MarshalText implements encoding.TextMarshaler.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Unknown words become Deny.
func (o *Outcome) UnmarshalText(b []byte) error {
	switch string(b) {
	case "allow":
		*o = Allow
	case "ask":
		*o = Ask
	default:
		*o = Deny
	}
	return nil
}

// Stricter returns the stricter of two outcomes.
func (o Outcome) Stricter(p Outcome) Outcome { return min(o, p) }

// The permit and its parts, see package permit. Only the loop can mint one.
type (
	Permit  = permit.Permit
	Grant   = permit.Grant
	Profile = permit.Profile
)

// The sandbox profiles, strictest first.
const (
	Strict   = permit.Strict
	Standard = permit.Standard
	Reduced  = permit.Reduced
)

// Vote is what one rule said about a proposal.
type Vote struct {
	Rule    string  `json:"rule"` // stable name
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason"`
}

// Verdict is a judgement. The zero Verdict denies.
type Verdict struct {
	Outcome Outcome
	Label   Label
	Probs   LabelProbs
	Reason  string // one sentence; may hold model text, so it is data, never shown to the model
	Votes   []Vote // every rule that applied; the strictest stands
	Code    string // stable reason code of a denial, told to the model
	Grant   Grant  // what an allowed call gets beyond the strict profile
	Effect  Effect // of this very call, which may be worse than its tool's; unknown if not judged
	Sinks   []Sink // where the arguments that direct the effect came from
	Gens    []int64
	Basis   []byte // JSON of what the judge decided on, for the ledger alone
}

// Sink is one argument that directs an effect, with its origin.
type Sink struct {
	Arg    string  `json:"arg"` // JSON pointer within the arguments
	Value  string  `json:"value"`
	Role   ArgRole `json:"role"`
	Origin Origin  `json:"origin"`
}

// Authority is what the user's request authorises, fixed before any untrusted text
// is read. The zero Authority authorises nothing.
type Authority struct {
	Tools []string // effectful tools of the task
}

// Has reports whether the tool is in the task's set.
func (a Authority) Has(tool string) bool {
	for _, t := range a.Tools {
		if t == tool {
			return true
		}
	}
	return false
}

// Assessment is the judgement of a user prompt.
type Assessment struct {
	Verdict   Verdict
	Authority Authority
}

// Conversation is what has been said so far, with the tools on offer.
type Conversation struct {
	Messages []Message
	Tools    []ToolSpec
}

// With returns the conversation with messages added. It never changes c's backing array.
func (c Conversation) With(m ...Message) Conversation {
	n := len(c.Messages)
	return Conversation{Messages: append(c.Messages[:n:n], m...), Tools: c.Tools}
}

// Proposal is a call put before the judge, with what led to it.
type Proposal struct {
	Call      ToolCall
	Spec      ToolSpec // the tool's declaration; zero when the tool is not known
	Thought   string
	Prompt    Label // of the user's request
	Confirmed bool  // the user confirmed a sensitive request
	Authority Authority
	Taint     Taint
}

// Screening is the judgement of a tool response: the verdict on all of it, and what
// of it the model may see.
type Screening struct {
	Verdict  Verdict
	Text     string // the response with the withheld parts replaced
	Withheld int    // parts replaced
	All      bool   // nothing may be seen; Text is empty
}

// Observation is what came back from a call.
type Observation struct {
	Call     ToolCall
	Status   CallStatus
	Text     string // what the tool returned, before framing
	Code     string // stable reason code when the call did not run or was cut short
	Exit     int    // exit status of the process, 0 if there was none
	Origin   Origin
	Nonce    string // of the data frame this response gets
	Sandbox  *Blob  // the sandbox's account of the cell, nil if none ran
	Duration time.Duration
}

// Journal is where whoever carries out a call writes it down. An error from either
// method means the call must not go on. It is bound to one call and its decision.
type Journal interface {
	// Start must be committed before the first effect.
	Start(ctx context.Context, e CallStart) error
	// Ready must be committed before a proven cell executes its tool.
	Ready(ctx context.Context, e CallReady) error
}

// CallStatus says how a call ended. The zero value is unknown.
type CallStatus string

// How a call can end.
const (
	CallOK      CallStatus = "ok"
	CallError   CallStatus = "error"
	CallTimeout CallStatus = "timeout"
	CallKilled  CallStatus = "killed"
	CallDenied  CallStatus = "denied"
	CallUnknown CallStatus = "unknown"
)

// Question is what a person is asked. Every field is rendered by the runtime; none
// of them is an instruction to anyone.
type Question struct {
	Call   *ToolCall // nil when the request itself is asked about
	Effect Effect
	Sinks  []Sink
	Label  Label
	Probs  LabelProbs
	Reason string
	Votes  []Vote
	Grant  Grant
	Prompt string       // the user's request, when it is what is asked about
	Tool   *Observation // the tool response, when it is what is asked about

	// Runs is the program with its arguments that the call starts, and its input, where the
	// call itself does not say so.
	Runs  []string `json:",omitempty"`
	Input string   `json:",omitempty"`

	// Changed says that a person wrote the call's arguments: it is shown, whatever was
	// agreed to for the run.
	Changed bool `json:",omitempty"`
}

// Choice is a person's answer. The zero value denies.
type Choice uint8

// The choices.
const (
	ChoiceDeny    Choice = iota
	ChoiceOnce           // this call, once
	ChoiceStop           // end the run
	ChoiceSuspend        // nobody is there: keep the question open and end with exit 3
	ChoiceEdit           // not this call, but the same tool with other arguments
)

// String returns the choice's name in the ledger.
func (c Choice) String() string {
	switch c {
	case ChoiceOnce:
		return "once"
	case ChoiceStop:
		return "stop"
	case ChoiceSuspend:
		return "suspend"
	case ChoiceEdit:
		return "edit"
	}
	return "deny"
}

// MarshalText implements encoding.TextMarshaler.
func (c Choice) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Unknown words become ChoiceDeny.
func (c *Choice) UnmarshalText(b []byte) error {
	*c = ChoiceDeny
	for _, k := range []Choice{ChoiceOnce, ChoiceStop, ChoiceSuspend, ChoiceEdit} {
		if k.String() == string(b) {
			*c = k
		}
	}
	return nil
}

// The answers that no person gave.
const (
	ViaNever = "never" // the operator said to ask nobody
	ViaError = "error" // the question could not be put
)

// Answer is what a person said, and what they were shown when they said it.
type Answer struct {
	Choice Choice
	Who    string // account name
	Via    string // how: "terminal", "script", ViaNever or ViaError
	Shown  string // the rendered question
	Args   string // for ChoiceEdit: the arguments that the person wrote
	Note   string // why, if they said
}

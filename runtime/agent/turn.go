package agent

import (
	"context"
	"errors"
	"time"
)

// Purpose is why text is generated. Everything but PurposeAgent runs on a fork
// of the conversation and leaves it untouched.
type Purpose string

// The purposes of a generation.
const (
	PurposeAgent  Purpose = "agent"  // the next turn of the conversation
	PurposePlan   Purpose = "plan"   // which tools the request needs
	PurposeReview Purpose = "review" // a verdict on a call
	PurposeLabel  Purpose = "label"  // a label for a prompt or a tool response
)

// Request asks a model for one generation.
type Request struct {
	Purpose  Purpose
	Messages []Message
	Tools    []ToolSpec // offered tools; the same for a whole run

	// Schema constrains the output to a JSON document of this JSON Schema, strictly
	// from the first token. Empty leaves the output free, except that a tool call,
	// once begun, follows the schema of its tool.
	Schema string
	// Grammar does the same with a GBNF grammar. At most one of the two is set.
	Grammar string
	// LabelPrefix and Labels ask for label probabilities: where the output first
	// contains LabelPrefix, the probability of each word of Labels as the text that
	// follows is read from the logits and renormalised.
	LabelPrefix string
	Labels      []string

	MaxTokens int     // of output; 0 means the engine's default
	Temp      float64 // 0 is greedy
	Seed      uint64  // of the sampler, used when Temp > 0
}

// Fork reports whether the generation must leave the conversation untouched.
func (r Request) Fork() bool { return r.Purpose != PurposeAgent }

// Generator produces text. An implementation is one conversation: it may keep
// state between calls to reuse a common prefix, and is used by one goroutine at a
// time. Generate returns ctx's error when ctx ends, ErrContext when the prompt and
// MaxTokens do not fit, and never truncates a prompt.
type Generator interface {
	Generate(ctx context.Context, r Request) (Turn, error)
}

// ErrContext means the prompt and the room asked for do not fit the context window.
var ErrContext = errors.New("context window would overflow")

// ParseStatus says how a Turn's parts were obtained from its text.
type ParseStatus string

// The parse states. The zero value is not a parsed turn.
const (
	ParseClean    ParseStatus = "clean"
	ParseRepaired ParseStatus = "repaired"
	ParseFailed   ParseStatus = "failed"
)

// Finish is why a generation stopped.
type Finish string

// The reasons a generation stops.
const (
	FinishEOS    Finish = "eos"
	FinishStop   Finish = "stop"
	FinishLength Finish = "length"
	FinishAbort  Finish = "abort"
)

// Turn is one parsed output of the model with its token record.
type Turn struct {
	Thought string     // reasoning; text before a call counts as reasoning
	Calls   []ToolCall // without IDs: the runtime gives them
	Answer  string     // what is said to the user; empty when there are calls
	Text    string     // the raw output, control tokens spelled out
	Parse   ParseStatus
	Problem string    // why Parse is ParseFailed, for the re-ask
	Probs   []float64 // of Request.Labels, in their order; nil when not read
	Tokens  TokenRecord
	Gen     int64 // ledger position of the generation, set by whoever recorded it
}

// TokenRecord is the exact token-level account of one generation. The per-token
// slices have the length of Output.
type TokenRecord struct {
	Prompt  []int32   // the whole prompt as evaluated, reused part included
	Output  []int32   // sampled tokens, the end token included
	Raw     []float32 // natural-log probability at temperature 1 over the full vocabulary
	Sampled []float32 // natural-log probability under the distribution sampled from
	Forced  []bool    // the constraint left no other token

	// Told stands in for the tokens where the engine is given none: what a server says it
	// counted. All of the above is then empty, which is not the record of an empty output.
	Told *TokenCount

	Cached    int // prompt tokens taken from the KV cache
	Evaluated int // prompt tokens evaluated now
	Break     *PrefixBreak

	Finish   Finish
	Temp     float64
	Seed     uint64
	Prefill  time.Duration
	Generate time.Duration
}

// TokenCount is how many tokens a server says it read and wrote.
type TokenCount struct {
	Prompt int `json:"prompt"`
	Output int `json:"output"`
}

// Spent is the number of tokens that the generation takes from a budget.
func (t TokenRecord) Spent() int {
	if t.Told != nil {
		return max(0, t.Told.Output)
	}
	return len(t.Output)
}

// PrefixBreak reports where a prompt departed from the conversation that was
// already evaluated, so that tokens had to be read again.
type PrefixBreak struct {
	Byte    int // first differing byte of the rendered prompt
	Message int // index of the message it lies in, -1 if in none
	Dropped int // evaluated tokens that could not be reused
}

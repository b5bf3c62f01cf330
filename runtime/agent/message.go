// Package agent is the vocabulary of a run: messages, tool calls, labels,
// verdicts, permits, observations and the events of the ledger.
//
// It holds values only and imports nothing but the standard library and the
// permit. Every package of the project may import it; it performs no input or
// output. Values are not safe for concurrent mutation and are never edited in
// place: each step of a run makes a new value of a new type.
package agent

import "encoding/json"

// Role is who speaks in a conversation.
type Role string

// The roles of a conversation.
const (
	System    Role = "system"
	User      Role = "user"
	Assistant Role = "assistant"
	Tool      Role = "tool"
)

// Message is one entry of a conversation.
type Message struct {
	Role    Role
	Text    string     // what was said; for Assistant the answer
	Thought string     // for Assistant: reasoning before the calls
	Calls   []ToolCall // for Assistant
	CallID  string     // for Tool: the call that is answered
	Tool    string     // for Tool: its name
	Origin  Origin
}

// ToolSpec declares a tool: what the model sees and what the judge relies on.
type ToolSpec struct {
	Name        string             `json:"name"`
	Description string             `json:"description"`
	Schema      json.RawMessage    `json:"schema"` // JSON Schema of the arguments, an object
	Effect      Effect             `json:"effect"`
	Roles       map[string]ArgRole `json:"roles,omitempty"` // by argument name; a missing one is a sink
	Idempotent  bool               `json:"idempotent,omitempty"`
	Trusted     bool               `json:"trusted,omitempty"` // the operator vouches for its output
}

// Digest identifies the declaration: H("holdfast/tool/1", JSON).
func (s ToolSpec) Digest() [32]byte {
	b, err := json.Marshal(s)
	if err != nil { // only an invalid Schema can do this; it then matches no pinned digest
		return [32]byte{}
	}
	return Hash("holdfast/tool/1", b)
}

// Package loop runs an agent: reason, judge, record, act, observe.
package loop

import (
	"context"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Model is a conversation with a language model. See agent.Generator.
type Model = agent.Generator

// Judge decides. Every error is a denial. Implementations must be safe for use by
// several runs at once; what they generate goes through g, which records it and runs
// it on a fork of the run's conversation.
type Judge interface {
	// Prompt judges the user's request, the last message of c, before the first turn,
	// and fixes what it authorises.
	Prompt(ctx context.Context, g agent.Generator, c agent.Conversation) (agent.Assessment, error)
	// Call judges a call before it runs. The last message of c is the assistant's, with
	// the call.
	Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (agent.Verdict, error)
	// Response judges what a call returned before the model sees it. The last message
	// of c is the assistant's, with the call.
	Response(ctx context.Context, g agent.Generator, c agent.Conversation, o agent.Observation) (agent.Screening, error)
}

// Executor carries out calls.
type Executor interface {
	// Specs lists the tools, sorted by name, the same for a whole run.
	Specs() []agent.ToolSpec
	// Check reports whether the call names a tool and fits its schema.
	Check(c agent.ToolCall) error
	// Execute carries out the call that p permits, spending p. It commits to j before
	// the first effect, and does nothing once j has returned an error, which it then
	// returns. How the tool itself fared is in the Observation, never in the error.
	Execute(ctx context.Context, p agent.Permit, c agent.ToolCall, j agent.Journal) (agent.Observation, error)
}

// Describer is an Executor that knows of calls which program they start: what a person is
// shown beside the call. It returns nothing where the call itself says it.
type Describer interface {
	Runs(c agent.ToolCall) (argv []string, input string)
}

// Recorder keeps the events of one run. Append returns the event's position once it
// is committed; an error means it is not, and the run must stop.
type Recorder interface {
	Append(ctx context.Context, e agent.Event) (int64, error)
}

// Approver puts a question to a person. An error is a denial.
type Approver interface {
	Ask(ctx context.Context, q agent.Question) (agent.Answer, error)
}

package review

import (
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// ErrNoCall means that the conversation does not hold the call to be judged.
var ErrNoCall = errors.New("conversation does not hold the call")

// question is a frame put to the model at the end of a fork.
func question(text string) agent.Message {
	return agent.Message{Role: agent.User, Text: text, Origin: agent.Origin{Source: agent.SourceOperator}}
}

// spoken is the part of a conversation that the operator and the user wrote.
func spoken(c agent.Conversation) agent.Conversation {
	out := agent.Conversation{Tools: c.Tools}
	for _, m := range c.Messages {
		if m.Origin.Trusted() && (m.Role == agent.System || m.Role == agent.User) {
			out.Messages = append(out.Messages, m)
		}
	}
	return out
}

// proposing ends the conversation with an assistant's message that proposes this call
// and no other. Where a turn held several calls, those already answered stay before it
// in a message of their own, so that "this call" has one meaning.
func proposing(c agent.Conversation, call agent.ToolCall) (agent.Conversation, error) {
	i := lastHolding(c, call)
	if i < 0 {
		return c, fmt.Errorf("%w: %s", ErrNoCall, call.Tool)
	}
	last := c.Messages[i]
	if len(last.Calls) == 1 && i == len(c.Messages)-1 {
		return c, nil
	}
	out := agent.Conversation{Messages: slices.Clone(c.Messages[:i]), Tools: c.Tools}
	answers := c.Messages[i+1:]
	before := last
	before.Calls = nil
	for _, k := range last.Calls {
		if k.ID != call.ID && answered(answers, k.ID) {
			before.Calls = append(before.Calls, k)
		}
	}
	if len(before.Calls) > 0 {
		out.Messages = append(append(out.Messages, before), answers...)
	}
	last.Calls = []agent.ToolCall{call}
	out.Messages = append(out.Messages, last)
	return out, nil
}

func answered(messages []agent.Message, id string) bool {
	return slices.ContainsFunc(messages, func(m agent.Message) bool { return m.Role == agent.Tool && m.CallID == id })
}

// lastHolding returns the index of the last message that proposes the call, -1 if none
// does. The call must be the same to the byte.
func lastHolding(c agent.Conversation, call agent.ToolCall) int {
	for i := len(c.Messages) - 1; i >= 0; i-- {
		if m := c.Messages[i]; m.Role == agent.Assistant && slices.Contains(m.Calls, call) {
			return i
		}
	}
	return -1
}

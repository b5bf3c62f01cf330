// Package provenance says where values came from: it traces each argument of a call to
// the user's messages, to tool responses, or to nobody but the model, and reads the
// taint of a conversation.
//
// Tracing is by value. A value the user wrote, to the byte, is the user's whatever tools
// say about it: calls are carried out as they stand, so that nothing which is folded
// before it is compared may speak for them. What an untrusted text held is found through
// every disguise that Normal takes off. A value found in nobody's text was made by the
// model and is not trusted for that.
// The system message names nothing. The package is pure: no input, no output, no
// state but a Memo, which changes no result. A Record is used by one goroutine at a
// time, everything else by any number.
package provenance

import (
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Record is a conversation prepared for tracing.
type Record struct {
	user    []*text  // messages of the user
	wrote   []string // values that the user put into calls of the model's
	vouched []*text  // responses of tools whose output the operator trusts
	foreign []*text  // every other response, and messages of unknown origin

	calls map[string]proposed // of the model, by their IDs
	keys  map[string][]string // what selectors has found, by call

	args    map[string]any // of the call that was decoded last
	argsRaw string
}

// text is one message; its normal form is made when it is first needed.
type text struct {
	raw    string
	form   string
	done   bool
	wide   bool // its normal form also has what its codes stand for
	memo   *Memo
	origin agent.Origin
}

func (t *text) normal() string {
	if !t.done {
		if t.form, t.done = t.memo.normal(t.raw), true; t.wide {
			t.form += t.memo.coded(t.raw)
		}
	}
	return t.form
}

// index is the index of the normal form.
func (t *text) index() *index { return t.memo.index(t.raw, t.normal()) }

// Read sorts the messages of a conversation by who wrote them. A message in the user's
// role counts as the user's only if its origin says so. memo may be nil.
func Read(c agent.Conversation, memo *Memo) *Record {
	r := &Record{calls: make(map[string]proposed, len(c.Messages)/2)}
	var before []agent.ToolCall // of the model's last turn, and what a person made of them
	for _, m := range c.Messages {
		for _, call := range m.Calls {
			if m.Origin.Source == agent.SourceUser {
				r.edits(before, call)
			}
			r.calls[call.ID] = proposed{call, specOf(c, call.Tool), len(r.calls)}
		}
		switch {
		case m.Role == agent.Assistant && m.Origin.Source == agent.SourceUser:
			before = append(before[:len(before):len(before)], m.Calls...)
		case m.Role == agent.Assistant:
			before = m.Calls
		}
		t := &text{raw: m.Text, memo: memo, origin: m.Origin}
		switch {
		case own(m):
		case m.Role == agent.User && m.Origin.Source == agent.SourceUser:
			r.user = append(r.user, t)
		case m.Role == agent.User && m.Origin.Source == agent.SourceOperator: // a frame
		case m.Role == agent.Tool && specOf(c, m.Tool).Trusted:
			t.origin = agent.Origin{Source: agent.SourceOperator, CallID: m.CallID, Tool: m.Tool}
			r.vouched = append(r.vouched, t)
		case m.Role == agent.Tool:
			t.origin = agent.Origin{Source: agent.SourceTool, CallID: m.CallID, Tool: m.Tool}
			r.foreign = append(r.foreign, t)
		default:
			t.origin.Source = min(t.origin.Source, agent.SourceTool)
			r.foreign = append(r.foreign, t)
		}
	}
	slices.Reverse(r.foreign) // the latest response first
	for _, t := range r.foreign {
		t.wide = true
	}
	return r
}

// own reports whether a message was written by the operator or the model themselves, in
// their own role.
func own(m agent.Message) bool {
	return m.Role == agent.System && m.Origin.Trusted() ||
		m.Role == agent.Assistant && (m.Origin.Trusted() || m.Origin.Source == agent.SourceModel)
}

// specOf returns the declaration of a tool, the zero one, which is the worst, if it is
// not on offer.
func specOf(c agent.Conversation, tool string) *agent.ToolSpec {
	for i := range c.Tools {
		if c.Tools[i].Name == tool {
			return &c.Tools[i]
		}
	}
	return &agent.ToolSpec{}
}

// Taint is the taint that the messages of a conversation give it: untrusted once a
// response of a tool that is neither trusted nor pure was read, or a message in any role
// whose origin is not the operator, the user or, in its own role, the model. It never
// says malicious: a text that was labelled so is not in a conversation. Messages
// for which fixed holds are texts of the runtime.
func Taint(c agent.Conversation, fixed func(text string) bool) agent.Taint {
	for _, m := range c.Messages {
		switch {
		case own(m) || m.Role == agent.User && m.Origin.Trusted():
		case m.Role == agent.Tool && (fixed(m.Text) || harmless(*specOf(c, m.Tool))):
		default:
			return agent.TaintUntrusted
		}
	}
	return agent.TaintClean
}

func harmless(s agent.ToolSpec) bool { return s.Trusted || s.Effect == agent.Pure }

// Private reports whether a response in the conversation may hold private data: one of
// a tool whose effect is a sensitive read or is not declared.
func Private(c agent.Conversation) bool {
	for _, m := range c.Messages {
		if m.Role != agent.Tool {
			continue
		}
		if e := specOf(c, m.Tool).Effect; e == agent.SensitiveRead || e == agent.EffectUnknown {
			return true
		}
	}
	return false
}

package safety

import (
	"fmt"
	"path"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety/policy"
)

// Try judges the call of a case as the gate would if the review found nothing: by the
// table, by where its values came from, and by the written rules. tools are those on
// offer beside the ones that the case declares. It generates nothing.
func Try(c policy.Case, tools []agent.ToolSpec, rules *policy.Set) (agent.Verdict, error) {
	own := func(s agent.ToolSpec) bool {
		return slices.ContainsFunc(c.Tools, func(t agent.ToolSpec) bool { return t.Name == s.Name })
	}
	g, err := New(Options{Policy: rules, Adds: func(s agent.ToolSpec) bool { return !own(s) }, Exists: func(p string) bool {
		return slices.ContainsFunc(c.Exists, func(e string) bool { return path.Clean(e) == p })
	}})
	if err != nil {
		return agent.Verdict{}, err
	}
	conv := agent.Conversation{Tools: append(slices.DeleteFunc(slices.Clone(tools), own), c.Tools...)}.With(
		agent.Message{Role: agent.System, Text: frame.System, Origin: agent.Origin{Source: agent.SourceOperator}},
		agent.Message{Role: agent.User, Text: c.Request, Origin: agent.Origin{Source: agent.SourceUser}})
	for i, r := range c.Read {
		id := fmt.Sprint("read", i)
		conv = conv.With(
			agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{{ID: id, Tool: r.Tool, Args: "{}"}}, Origin: agent.Origin{Source: agent.SourceModel}},
			agent.Message{Role: agent.Tool, Text: frame.Data(frame.Nonce(r.Text), r.Text), CallID: id, Tool: r.Tool,
				Origin: agent.Origin{Source: agent.SourceTool, CallID: id, Tool: r.Tool}})
	}
	conv = conv.With(agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{c.Call}, Origin: agent.Origin{Source: agent.SourceModel}})
	p := agent.Proposal{Call: c.Call, Prompt: c.Label, Confirmed: c.Confirmed, Authority: agent.Authority{Tools: c.Authorised}, Taint: agent.TaintClean}
	for _, s := range conv.Tools {
		if s.Name == c.Call.Tool {
			p.Spec = s
		}
	}
	if p.Spec.Name == "" {
		return agent.Verdict{}, fmt.Errorf("no tool is called %q; declare it under tools", c.Call.Tool)
	}
	return g.Rules(conv, p), nil
}

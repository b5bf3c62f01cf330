package scripted_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/eval/scripted"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
)

// rules is a policy file of n rules, none of which is cheap to pass over.
func rules(n int) policy.Source {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - id: rule-%d\n    when: tool.startsWith('t%d') && taint != 'clean'\n    outcome: ask\n    reason: rule %d\n", i, i, i)
	}
	return policy.Source{Name: "bench.yaml", Layer: policy.User, Text: b.String()}
}

// BenchmarkDecisionTime judges calls after 50 steps, whose responses hold 2 KB each, under 200
// written rules. What counts is the processor time of a decision, of which p99 is to be below
// 1 ms; the clock also shows what else the machine does.
func BenchmarkDecisionTime(b *testing.B) {
	set, err := policy.Load(rules(200))
	if err != nil {
		b.Fatal(err)
	}
	gate, err := safety.New(safety.Options{Policy: set})
	if err != nil {
		b.Fatal(err)
	}
	conv, p := history(50)
	var took []time.Duration
	for b.Loop() {
		took = append(took, scripted.Processor(func() { gate.Rules(conv, p) }))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "median-ms")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
}

// history is a conversation of so many steps, with a mail to be judged at its end.
func history(steps int) (agent.Conversation, agent.Proposal) {
	read := agent.ToolSpec{Name: "search", Effect: agent.Read, Roles: map[string]agent.ArgRole{"query": agent.RoleSelector}}
	mail := agent.ToolSpec{Name: "mail", Effect: agent.Outward, Roles: map[string]agent.ArgRole{"to": agent.RoleTarget, "body": agent.RoleContent}}
	c := agent.Conversation{Tools: []agent.ToolSpec{mail, read}}
	c = c.With(agent.Message{Role: agent.User, Text: "mail the owner of 'note 7 of many' a summary", Origin: agent.Origin{Source: agent.SourceUser}})
	for i := range steps {
		id := fmt.Sprint("c", i)
		c = c.With(
			agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{{ID: id, Tool: "search", Args: `{"query":"note 7 of many"}`}},
				Origin: agent.Origin{Source: agent.SourceModel}},
			agent.Message{Role: agent.Tool, Tool: "search", CallID: id, Origin: agent.Origin{Source: agent.SourceTool, CallID: id, Tool: "search"},
				Text: strings.Repeat(fmt.Sprintf("- id: %d\n  owner: jo%d@example.org\n  title: note %d\n  text: a fox jumps over a dog\n", i, i, i), 25)})
	}
	call := agent.ToolCall{ID: "m", Tool: "mail", Args: `{"to":"nobody@example.net","body":"` + strings.Repeat("some words of my own on it ", 40) + `"}`}
	c = c.With(agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{call}, Origin: agent.Origin{Source: agent.SourceModel}})
	return c, agent.Proposal{Call: call, Spec: mail, Prompt: agent.Benign, Authority: agent.Authority{Tools: []string{"mail"}}, Taint: agent.TaintUntrusted}
}

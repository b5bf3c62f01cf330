package agenttest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Executor offers one tool, "act", whose every execution is an effect written to
// Effects. It implements loop.Executor.
type Executor struct {
	Grants  []agent.Grant                          // of the permits spent, in order
	Effects []agent.ToolCall                       // executed calls, in order
	At      func(agent.ToolCall)                   // called at the moment of the effect
	Reply   func(agent.ToolCall) agent.Observation // nil replies "done"
}

// Specs implements loop.Executor.
func (x *Executor) Specs() []agent.ToolSpec {
	return []agent.ToolSpec{{
		Name: "act", Description: "acts", Effect: agent.Write,
		Schema: json.RawMessage(`{"type":"object"}`),
	}}
}

// Check implements loop.Executor: arguments with a member "bad" are refused.
func (x *Executor) Check(c agent.ToolCall) error {
	var m map[string]any
	if err := json.Unmarshal([]byte(c.Args), &m); err != nil {
		return err
	}
	if _, bad := m["bad"]; bad {
		return fmt.Errorf("member bad is not allowed")
	}
	return nil
}

// Execute implements loop.Executor.
func (x *Executor) Execute(ctx context.Context, p agent.Permit, c agent.ToolCall, j agent.Journal) (agent.Observation, error) {
	if err := p.Spend(c.Digest()); err != nil {
		return agent.Observation{}, err
	}
	if err := j.Start(ctx, agent.CallStart{}); err != nil {
		return agent.Observation{}, err
	}
	x.Effects = append(x.Effects, c)
	x.Grants = append(x.Grants, p.Grant())
	if x.At != nil {
		x.At(c)
	}
	if x.Reply != nil {
		return x.Reply(c), nil
	}
	return agent.Observation{Status: agent.CallOK, Text: "done"}, nil
}

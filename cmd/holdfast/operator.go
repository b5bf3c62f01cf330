package main

import (
	"context"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/tools"
)

// A command that acts without a model is a run too: there is one road to an effect.
// The operator takes the model's place by naming one call, and the judge's by allowing
// exactly that one.

// operatorModel proposes one call, or a shell command, and then answers with nothing to
// add.
type operatorModel struct {
	call    agent.ToolCall // names no tool where it is the command that counts
	command string
	turns   int
}

// Generate implements agent.Generator.
func (m *operatorModel) Generate(context.Context, agent.Request) (agent.Turn, error) {
	m.turns++
	if m.turns > 1 {
		return agent.Turn{Answer: "done", Parse: agent.ParseClean}, nil
	}
	call := m.call
	if call.Tool == "" {
		call = commandCall(m.command)
	}
	return agent.Turn{Parse: agent.ParseClean, Calls: []agent.ToolCall{call}}, nil
}

// commandCall is the call that runs a shell command.
func commandCall(command string) agent.ToolCall {
	return agent.ToolCall{Tool: tools.RunCommand, Args: agent.JSON(map[string]string{"command": command}).String()}
}

// operatorAgent names, on record, who acts in a command of the operator's own.
const operatorAgent = "operator"

// operatorJudge allows what the operator asked for on the command line.
type operatorJudge struct{ grant agent.Grant }

var operatorVerdict = agent.Verdict{Outcome: agent.Allow, Label: agent.Benign, Reason: "the operator's own command"}

// Prompt implements loop.Judge.
func (operatorJudge) Prompt(_ context.Context, _ agent.Generator, c agent.Conversation) (agent.Assessment, error) {
	var all []string
	for _, s := range c.Tools {
		all = append(all, s.Name)
	}
	return agent.Assessment{Verdict: operatorVerdict, Authority: agent.Authority{Tools: all}}, nil
}

// Call implements loop.Judge.
func (j operatorJudge) Call(_ context.Context, _ agent.Generator, _ agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	v := operatorVerdict
	v.Grant = j.grant
	return v, nil
}

// Response implements loop.Judge. The operator reads the output, no model does.
func (operatorJudge) Response(context.Context, agent.Generator, agent.Conversation, agent.Observation) (agent.Screening, error) {
	return agent.Screening{Verdict: operatorVerdict}, nil
}

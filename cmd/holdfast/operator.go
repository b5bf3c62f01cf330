package main

import (
	"context"
	"encoding/json"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/tools"
)

// A command that acts without a model is a run too: there is one road to an effect.
// The operator takes the model's place by naming one call, and the judge's by allowing
// exactly that one.

// operatorModel proposes one shell command and then answers with nothing to add.
type operatorModel struct {
	command string
	turns   int
}

// Generate implements agent.Generator.
func (m *operatorModel) Generate(context.Context, agent.Request) (agent.Turn, error) {
	m.turns++
	if m.turns > 1 {
		return agent.Turn{Answer: "done", Parse: agent.ParseClean}, nil
	}
	args, err := json.Marshal(map[string]string{"command": m.command})
	if err != nil {
		return agent.Turn{}, err
	}
	return agent.Turn{Parse: agent.ParseClean, Calls: []agent.ToolCall{{Tool: tools.RunCommand, Args: string(args)}}}, nil
}

// operatorJudge allows what the operator asked for on the command line.
type operatorJudge struct{ write bool }

var operatorVerdict = agent.Verdict{Outcome: agent.Allow, Label: agent.Benign, Reason: "the operator's own command"}

// Prompt implements loop.Judge.
func (operatorJudge) Prompt(context.Context, agent.Generator, agent.Conversation) (agent.Assessment, error) {
	return agent.Assessment{Verdict: operatorVerdict, Authority: agent.Authority{Tools: []string{tools.RunCommand}}}, nil
}

// Call implements loop.Judge.
func (j operatorJudge) Call(_ context.Context, _ agent.Generator, _ agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	v := operatorVerdict
	v.Grant.Write = j.write
	return v, nil
}

// Response implements loop.Judge. The operator reads the output, no model does.
func (operatorJudge) Response(context.Context, agent.Generator, agent.Conversation, agent.Observation) (agent.Screening, error) {
	return agent.Screening{Verdict: operatorVerdict}, nil
}

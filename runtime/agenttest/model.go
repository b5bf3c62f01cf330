package agenttest

import (
	"context"
	"errors"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Script is a model that gives the listed turns one after another. On forks it answers
// with a verdict that says benign. It implements agent.Generator.
type Script struct {
	Turns    []agent.Turn
	Requests []agent.Request // for turns, in order
	Forks    []agent.Request // for judges, in order
}

// ErrScriptEnded means more turns were asked for than the script has.
var ErrScriptEnded = errors.New("script ended")

// Generate returns the next turn.
func (s *Script) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if err := ctx.Err(); err != nil {
		return agent.Turn{}, err
	}
	if r.Fork() {
		s.Forks = append(s.Forks, r)
		return agent.Turn{Text: `{"reason": "fine", "label": "benign"}`, Parse: agent.ParseClean}, nil
	}
	s.Requests = append(s.Requests, r)
	if len(s.Requests) > len(s.Turns) {
		return agent.Turn{}, ErrScriptEnded
	}
	return s.Turns[len(s.Requests)-1], nil
}

// Calls returns a turn that calls a tool.
func Calls(thought, tool, args string) agent.Turn {
	return agent.Turn{
		Thought: thought, Parse: agent.ParseClean, Text: thought,
		Calls:  []agent.ToolCall{{Tool: tool, Args: args}},
		Tokens: agent.TokenRecord{Output: []int32{1, 2}, Raw: []float32{0, 0}, Sampled: []float32{0, 0}, Forced: []bool{false, true}},
	}
}

// Answers returns a turn that answers the user.
func Answers(text string) agent.Turn {
	return agent.Turn{Answer: text, Text: text, Parse: agent.ParseClean}
}

// Judge is a judge with fixed answers, each after one generation of the model, as the
// real one has it. The zero Judge denies everything.
type Judge struct {
	OnPrompt   agent.Assessment
	OnCall     func(agent.Proposal) agent.Verdict
	OnResponse func(agent.Observation) agent.Screening
	Proposals  []agent.Proposal
}

// Permissive returns a judge that allows everything.
func Permissive() *Judge {
	allow := agent.Verdict{Outcome: agent.Allow, Label: agent.Benign}
	return &Judge{
		OnPrompt: agent.Assessment{Verdict: allow},
		OnCall:   func(agent.Proposal) agent.Verdict { return allow },
		OnResponse: func(o agent.Observation) agent.Screening {
			return agent.Screening{Verdict: allow, Text: o.Text}
		},
	}
}

// Prompt implements loop.Judge.
func (j *Judge) Prompt(ctx context.Context, g agent.Generator, c agent.Conversation) (agent.Assessment, error) {
	if err := consult(ctx, g, c, agent.PurposeLabel); err != nil {
		return j.OnPrompt, err // what stands beside an error must be ignored
	}
	return j.OnPrompt, nil
}

// Call implements loop.Judge.
func (j *Judge) Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	if err := consult(ctx, g, c, agent.PurposeReview); err != nil {
		return agent.Verdict{Outcome: agent.Allow}, err // what stands beside an error must be ignored
	}
	j.Proposals = append(j.Proposals, p)
	if j.OnCall == nil {
		return agent.Verdict{}, nil
	}
	return j.OnCall(p), nil
}

// Response implements loop.Judge.
func (j *Judge) Response(ctx context.Context, g agent.Generator, c agent.Conversation, o agent.Observation) (agent.Screening, error) {
	if err := consult(ctx, g, c, agent.PurposeLabel); err != nil {
		return agent.Screening{Verdict: agent.Verdict{Outcome: agent.Allow}, Text: o.Text}, err // what stands beside an error must be ignored
	}
	if j.OnResponse == nil {
		return agent.Screening{All: true}, nil
	}
	return j.OnResponse(o), nil
}

// consult makes one generation on a fork.
func consult(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Purpose) error {
	_, err := g.Generate(ctx, agent.Request{Purpose: p, Messages: c.Messages, Tools: c.Tools})
	return err
}

// Approver answers every question with Choice and keeps the questions. The zero
// Approver denies.
type Approver struct {
	Choice    agent.Choice
	Questions []agent.Question
}

// Ask implements loop.Approver.
func (a *Approver) Ask(_ context.Context, q agent.Question) (agent.Answer, error) {
	a.Questions = append(a.Questions, q)
	return agent.Answer{Choice: a.Choice, Who: "tester", Via: "script", Shown: "shown"}, nil
}

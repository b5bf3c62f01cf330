package agenttest

import (
	"context"
	"errors"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// ErrFault is the error of an operation that was made to fail.
var ErrFault = errors.New("injected fault")

// Faults makes operation At fail, counted from 1 over everything that is wrapped with
// it. At 0 lets everything pass; Count then says how many operations there are.
type Faults struct {
	At    int
	Count int
	Hit   Op  // which operation failed, "" while none has
	After int // events offered to the recorder since then
}

// Op is a kind of operation that can fail.
type Op string

// The operations.
const (
	OpModel    Op = "model"
	OpPrompt   Op = "judge of the prompt"
	OpCall     Op = "judge of a call"
	OpResponse Op = "judge of a response"
	OpAsk      Op = "approver"
	OpBefore   Op = "executor before the effect"
	OpAfter    Op = "executor after the effect"
	OpRecord   Op = "recorder"
)

// hit counts one operation and reports whether it fails.
func (f *Faults) hit(op Op) error {
	f.Count++
	if f.Count == f.At {
		f.Hit = op
		return ErrFault
	}
	return nil
}

type (
	// FaultyModel fails before it generates.
	FaultyModel struct {
		*Faults
		M agent.Generator
	}
	// FaultyJudge fails instead of judging.
	FaultyJudge struct {
		*Faults
		J *Judge
	}
	// FaultyApprover fails instead of asking.
	FaultyApprover struct {
		*Faults
		A *Approver
	}
	// FaultyRecorder fails either before or after the event is kept: a caller must not
	// tell the two apart.
	FaultyRecorder struct {
		*Faults
		R *Memory
	}
	// FaultyExecutor fails before and after the inner executor acts.
	FaultyExecutor struct {
		*Faults
		*Executor
	}
)

// Generate implements agent.Generator.
func (f FaultyModel) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if err := f.hit(OpModel); err != nil {
		return agent.Turn{}, err
	}
	return f.M.Generate(ctx, r)
}

// Prompt implements loop.Judge.
func (f FaultyJudge) Prompt(ctx context.Context, g agent.Generator, c agent.Conversation) (agent.Assessment, error) {
	if err := f.hit(OpPrompt); err != nil {
		return f.J.OnPrompt, err // the assessment beside the error must be ignored
	}
	return f.J.Prompt(ctx, g, c)
}

// Call implements loop.Judge.
func (f FaultyJudge) Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	if err := f.hit(OpCall); err != nil {
		return agent.Verdict{Outcome: agent.Allow}, err // an allow beside an error must be ignored
	}
	return f.J.Call(ctx, g, c, p)
}

// Response implements loop.Judge.
func (f FaultyJudge) Response(ctx context.Context, g agent.Generator, c agent.Conversation, o agent.Observation) (agent.Screening, error) {
	if err := f.hit(OpResponse); err != nil {
		return agent.Screening{Verdict: agent.Verdict{Outcome: agent.Allow}, Text: o.Text}, err
	}
	return f.J.Response(ctx, g, c, o)
}

// Ask implements loop.Approver.
func (f FaultyApprover) Ask(ctx context.Context, q agent.Question) (agent.Answer, error) {
	if err := f.hit(OpAsk); err != nil {
		return agent.Answer{Choice: agent.ChoiceOnce}, err // a yes beside an error must be ignored
	}
	return f.A.Ask(ctx, q)
}

// Append implements loop.Recorder. It counts two operations: failing before the event
// is kept, and failing after.
func (f FaultyRecorder) Append(ctx context.Context, e agent.Event) (int64, error) {
	if f.Hit != "" {
		f.After++
	}
	if err := f.hit(OpRecord); err != nil {
		return 0, err
	}
	seq, err := f.R.Append(ctx, e)
	if err != nil {
		return 0, err
	}
	if err := f.hit(OpRecord); err != nil {
		return 0, err
	}
	return seq, nil
}

// Execute implements loop.Executor.
func (f FaultyExecutor) Execute(ctx context.Context, p agent.Permit, c agent.ToolCall, j agent.Journal) (agent.Observation, error) {
	if err := f.hit(OpBefore); err != nil {
		return agent.Observation{}, err
	}
	o, err := f.Executor.Execute(ctx, p, c, j)
	if err == nil {
		err = f.hit(OpAfter)
	}
	return o, err
}

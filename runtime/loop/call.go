package loop

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/runtime/internal/permit"
)

// call takes one proposed call through verdict, decision and effect, and adds the
// observation to the conversation. turn is the position of the turn that proposed it.
func (r *run) call(ctx context.Context, c agent.ToolCall, thought string, turn int64) error {
	return r.proposed(ctx, c, thought, turn, false)
}

// proposed is call for a call of the model's or one that a person changed, which is never
// carried out without being shown.
func (r *run) proposed(ctx context.Context, c agent.ToolCall, thought string, turn int64, changed bool) error {
	key := c.Tool + "\x00" + c.Args
	if r.seen[key]++; r.seen[key] >= sameCallsTotal {
		return &end{status: agent.StatusLoop, limit: "same call", value: sameCallsTotal}
	}
	v, seq, err := r.judge(ctx, c, thought, turn)
	if err != nil {
		return err
	}
	d := decision{outcome: v.Outcome, by: "gate", ref: seq, code: v.Code, grant: v.Grant}
	if v.Outcome == agent.Ask || changed && v.Outcome == agent.Allow {
		if d, err = r.askCall(ctx, c, v, seq, changed); err != nil {
			return err
		}
	}
	if err := r.recallDecision(&d); err != nil {
		return err
	}
	at, err := r.record(ctx, agent.Event{Ref: d.ref, Call: c.Digest(), Body: &agent.Decided{
		Tool: c.Tool, Call: agent.JSON(c), Outcome: d.outcome, By: d.by, Grant: d.grant,
	}})
	if err != nil {
		return err
	}
	switch {
	case d.args != "":
		return r.change(ctx, c, d.args, at)
	case d.outcome != agent.Allow:
		return r.deny(ctx, c, d.code, at)
	}
	return r.act(ctx, c, d.grant, at)
}

// decision is what settles a call.
type decision struct {
	outcome agent.Outcome
	by      string
	ref     int64
	code    string
	grant   agent.Grant
	args    string // a person wrote these instead: the call does not run, another is proposed
}

// change ends a call that a person replaced, and proposes the one with their arguments:
// a new call, judged anew, with a decision of its own. The model is told that its own did
// not run.
func (r *run) change(ctx context.Context, c agent.ToolCall, args string, decided int64) error {
	if _, err := r.record(ctx, agent.Event{Ref: decided, Call: c.Digest(), Body: &agent.CallEnd{
		Status: agent.CallDenied, Code: "user_edited",
	}}); err != nil {
		return err
	}
	if err := r.observe(ctx, c, frame.Denied("user_denied"), decided); err != nil {
		return err
	}
	t, seq, known, err := r.recallTurn("user")
	switch {
	case err != nil:
		return err
	case known && (len(t.Calls) != 1 || t.Calls[0].Tool != c.Tool || t.Calls[0].Args != args):
		return fmt.Errorf("%w: turn %d is not the call that was asked for", ErrPast, seq)
	case !known:
		if err := r.live(); err != nil {
			return err
		}
		t.Calls = []agent.ToolCall{{ID: r.NewID(), Tool: c.Tool, Args: args}}
		seq, err = r.record(ctx, agent.Event{Body: &agent.Turned{Parse: agent.ParseClean, Calls: agent.JSON(t.Calls), By: "user"}})
		if err != nil {
			return err
		}
	}
	r.conv = r.conv.With(agent.Message{Role: agent.Assistant, Calls: t.Calls, Origin: agent.Origin{Source: agent.SourceUser}})
	return r.proposed(ctx, t.Calls[0], "", seq, true)
}

// judge obtains and records the verdict on a call. A call that is malformed or names no
// tool is denied without asking the judge; a judge that errs denies.
func (r *run) judge(ctx context.Context, c agent.ToolCall, thought string, turn int64) (agent.Verdict, int64, error) {
	if v, seq, known := r.recallVerdict(c); known {
		return v, seq, nil
	}
	if err := r.live(); err != nil {
		return agent.Verdict{}, 0, err
	}
	began := r.Now()
	by := "loop"
	v := r.precheck(c)
	if v.Code == "" {
		by = "gate"
		p := agent.Proposal{
			Call: c, Spec: r.spec(c.Tool), Thought: thought, Prompt: r.prompt, Confirmed: r.confirmed,
			Authority: r.authority, Taint: r.taint,
		}
		var err error
		v, err = guarded(func() (agent.Verdict, error) {
			return r.Judge.Call(ctx, generator{r}, r.conv, p)
		})
		if err != nil {
			if fatal(ctx, err) {
				return v, 0, err
			}
			by = "error"
			v = agent.Verdict{Outcome: agent.Deny, Code: "judge_error", Reason: err.Error()}
		}
	}
	seq, err := r.record(ctx, agent.Event{Ref: turn, Call: c.Digest(), Body: judged(by, v, r.Now().Sub(began))})
	return v, seq, err
}

// precheck denies what may not become a proposal; Code is empty for all else.
func (r *run) precheck(c agent.ToolCall) agent.Verdict {
	if r.spec(c.Tool).Name == "" {
		return agent.Verdict{Code: "unknown_tool", Reason: "no such tool"}
	}
	if err := c.CheckArgs(); err != nil {
		return agent.Verdict{Code: "bad_arguments", Reason: err.Error()}
	}
	if err := r.Executor.Check(c); err != nil {
		return agent.Verdict{Code: "bad_arguments", Reason: err.Error()}
	}
	return agent.Verdict{}
}

func (r *run) spec(tool string) agent.ToolSpec {
	for _, s := range r.conv.Tools {
		if s.Name == tool {
			return s
		}
	}
	return agent.ToolSpec{}
}

// guarded calls a judge and turns a panic into an error, so that it denies.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("internal error: judge: %v", p)
		}
	}()
	return f()
}

func judged(by string, v agent.Verdict, took time.Duration) *agent.Judged {
	b := &agent.Judged{By: by, Outcome: v.Outcome, Label: v.Label, P: v.Probs, Votes: v.Votes,
		Gens: v.Gens, Code: v.Code, US: took.Microseconds(), Effect: v.Effect}
	if v.Grant.Widens() {
		b.Grant = &v.Grant
	}
	if v.Reason != "" {
		b.Reason = agent.Text(v.Reason)
	}
	if len(v.Sinks) > 0 {
		b.Sinks = agent.JSON(v.Sinks)
	}
	if len(v.Basis) > 0 {
		b.Basis = &agent.Blob{Media: "application/json", Data: v.Basis}
	}
	return b
}

// deny ends a call that may not run and tells the model so in a fixed text.
func (r *run) deny(ctx context.Context, c agent.ToolCall, code string, decided int64) error {
	if _, err := r.record(ctx, agent.Event{Ref: decided, Call: c.Digest(), Body: &agent.CallEnd{
		Status: agent.CallDenied, Code: code,
	}}); err != nil {
		return err
	}
	r.out.Denials++
	if r.streak++; r.streak >= denialsInARow {
		return &end{status: agent.StatusDenied, answer: "I stopped: several calls in a row were denied."}
	}
	if r.settle(true); r.deniedLately() >= denialsOfLast {
		return &end{status: agent.StatusDenied, answer: "I stopped: too many calls were denied."}
	}
	return r.observe(ctx, c, frame.Denied(code), decided)
}

// act carries out an allowed call. The permit names the committed decision.
func (r *run) act(ctx context.Context, c agent.ToolCall, g agent.Grant, decided int64) error {
	if b, seq, known := r.recallEnd(c); known {
		return r.acted(ctx, c, b, seq)
	}
	if err := r.live(); err != nil {
		return err
	}
	j := &journal{r: r, call: c.Digest(), decided: decided}
	began := r.Now()
	o, err := r.Executor.Execute(ctx, permit.Mint(decided, c.Digest(), g), c, j)
	if err == nil && !j.started && o.Status == agent.CallOK {
		err = fmt.Errorf("internal error: %s acted without recording its start", c.Tool)
	}
	if err != nil {
		return r.failCall(ctx, c, err, j.started, decided)
	}
	r.streak = 0
	r.settle(false)
	r.out.Calls++
	o.Call, o.Nonce = c, frame.Nonce(o.Text)
	ended, err := r.record(context.WithoutCancel(ctx), agent.Event{Ref: decided, Call: c.Digest(), Body: &agent.CallEnd{
		Status: o.Status, Out: agent.Text(o.Text), Sandbox: o.Sandbox, Exit: o.Exit, Code: o.Code,
		US: r.Now().Sub(began).Microseconds(),
	}})
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.receive(ctx, o, ended)
}

// failCall closes a call that could not be attempted as decided and ends the run. A
// call whose start is on disk ends as unknown: it may have had its effect. One that an
// interrupt kept from starting stays decided, for when the run goes on.
func (r *run) failCall(ctx context.Context, c agent.ToolCall, err error, started bool, decided int64) error {
	if errors.Is(err, ErrRecord) || !started && r.interrupted(ctx) {
		return err
	}
	status := agent.CallError
	if started {
		status = agent.CallUnknown
	}
	_, rerr := r.record(context.WithoutCancel(ctx), agent.Event{Ref: decided, Call: c.Digest(), Body: &agent.CallEnd{
		Status: status, Code: "sandbox",
	}})
	if rerr != nil {
		return rerr
	}
	return fmt.Errorf("run %s: %w", c.Tool, err)
}

// observe adds a tool message to the conversation.
func (r *run) observe(ctx context.Context, c agent.ToolCall, text string, ref int64) error {
	_, err := r.say(ctx, agent.Message{Role: agent.Tool, Text: text, CallID: c.ID, Tool: c.Tool,
		Origin: agent.Origin{Source: agent.SourceTool, CallID: c.ID, Tool: c.Tool}}, ref)
	return err
}

// journal writes one call's events, bound to its decision.
type journal struct {
	r       *run
	call    [32]byte
	decided int64
	started bool
}

// Start implements agent.Journal.
func (j *journal) Start(ctx context.Context, e agent.CallStart) error {
	if _, err := j.r.record(ctx, agent.Event{Ref: j.decided, Call: j.call, Body: &e}); err != nil {
		return err
	}
	j.started = true
	return nil
}

// Ready implements agent.Journal.
func (j *journal) Ready(ctx context.Context, e agent.CallReady) error {
	_, err := j.r.record(ctx, agent.Event{Ref: j.decided, Call: j.call, Body: &e})
	return err
}

// settle notes whether a call was denied, for the breaker.
func (r *run) settle(denied bool) {
	r.lately = append(r.lately, denied)
	r.lately = r.lately[max(0, len(r.lately)-lastCalls):]
}

// deniedLately counts the denied among the last calls.
func (r *run) deniedLately() int {
	n := 0
	for _, d := range r.lately {
		if d {
			n++
		}
	}
	return n
}

package loop

import (
	"context"
	"errors"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// admit judges the user's request before the first turn: malicious ends the run,
// sensitive asks first, benign goes on. It also fixes what the request authorises.
func (r *run) admit(ctx context.Context, prompt string, said int64) error {
	a, seq, known := r.recallPrompt(said)
	if !known {
		var err error
		if a, seq, err = r.judgePrompt(ctx, said); err != nil {
			return err
		}
	}
	v := a.Verdict
	r.prompt, r.authority = v.Label, a.Authority
	switch v.Outcome {
	case agent.Allow:
	case agent.Ask:
		if err := r.confirm(ctx, prompt, v, seq); err != nil {
			return err
		}
	default:
		r.out.Denials++
		return &end{status: agent.StatusRefused, answer: refusal(v)}
	}
	if _, err := r.record(ctx, agent.Event{Ref: said, Body: &agent.Authorised{Tools: a.Authority.Tools, From: "plan"}}); err != nil {
		return err
	}
	_, err := r.record(ctx, agent.Event{Ref: said, Body: &agent.Tainted{Value: r.taint}})
	return err
}

// judgePrompt obtains and records label and verdict of the request.
func (r *run) judgePrompt(ctx context.Context, said int64) (agent.Assessment, int64, error) {
	if err := r.live(); err != nil {
		return agent.Assessment{}, 0, err
	}
	began := r.Now()
	a, err := guarded(func() (agent.Assessment, error) {
		return r.Judge.Prompt(ctx, generator{r}, r.conv)
	})
	by := "gate"
	if err != nil {
		if fatal(ctx, err) {
			return a, 0, err
		}
		by = "error"
		a = agent.Assessment{Verdict: agent.Verdict{Code: "judge_error", Reason: err.Error()}}
	}
	if err := r.label(ctx, agent.UserPrompt, a.Verdict, 0, said); err != nil {
		return a, 0, err
	}
	seq, err := r.record(ctx, agent.Event{Ref: said, Body: judged(by, a.Verdict, r.Now().Sub(began))})
	return a, seq, err
}

// refusal is the answer to a request that is refused: one sentence with the reason.
func refusal(v agent.Verdict) string {
	if v.Code == "judge_error" || v.Reason == "" {
		return "I will not do this: the request could not be judged as safe."
	}
	return "I will not do this: " + v.Reason
}

// confirm asks the user whether a sensitive request is meant.
func (r *run) confirm(ctx context.Context, prompt string, v agent.Verdict, verdict int64) error {
	a, _, err := r.ask(ctx, &agent.Asked{About: "prompt", Tools: r.authority.Tools}, agent.Question{
		Label: v.Label, Probs: v.Probs, Reason: v.Reason, Votes: v.Votes, Prompt: prompt,
	}, [32]byte{}, verdict)
	if err != nil {
		return err
	}
	if a.Choice != agent.ChoiceOnce {
		r.out.Denials++
		return &end{status: agent.StatusDenied, answer: "I did not do this: it was not confirmed."}
	}
	r.confirmed = true
	return nil
}

// askCall asks the user about one call; changed says that they wrote it.
func (r *run) askCall(ctx context.Context, c agent.ToolCall, v agent.Verdict, verdict int64, changed bool) (decision, error) {
	d := decision{outcome: agent.Deny, by: "user", code: "user_denied"}
	q := agent.Question{
		Call: &c, Effect: v.Effect, Sinks: v.Sinks, Label: v.Label, Probs: v.Probs,
		Reason: v.Reason, Votes: v.Votes, Grant: v.Grant, Changed: changed,
	}
	if x, ok := r.Executor.(Describer); ok {
		q.Runs, q.Input = x.Runs(c)
	}
	a, seq, err := r.ask(ctx, &agent.Asked{About: "call", Call: agent.JSON(c)}, q, c.Digest(), verdict)
	if err != nil {
		return d, err
	}
	d.ref = seq
	switch {
	case a.Choice == agent.ChoiceOnce:
		d.outcome, d.code, d.grant = agent.Allow, "", v.Grant
	case a.Choice == agent.ChoiceEdit && a.Args != "":
		d.args = a.Args
	case a.Via == agent.ViaNever:
		d.by, d.code = "policy", "nobody_to_ask"
	case a.Via == agent.ViaError:
		d.by, d.code = "error", "nobody_to_ask"
	}
	return d, nil
}

// ask puts one question, recorded before and after. Suspending and stopping end the run;
// an interrupt suspends it, so that it goes on with this question.
func (r *run) ask(ctx context.Context, body *agent.Asked, q agent.Question, call [32]byte, verdict int64) (agent.Answer, int64, error) {
	body.Question = questionBlob(q)
	asked, err := r.record(ctx, agent.Event{Ref: verdict, Call: call, Body: body})
	if err != nil {
		return agent.Answer{}, 0, err
	}
	if a, seq, known := r.recallAnswer(asked, call); known {
		return r.answered(a, seq)
	}
	if err := r.live(); err != nil {
		return agent.Answer{}, 0, err
	}
	a, err := r.Approver.Ask(ctx, q)
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // not answered and not refused: it stays open
		return agent.Answer{}, 0, &end{status: agent.StatusSuspended}
	case ctx.Err() != nil:
		return agent.Answer{}, 0, ctx.Err()
	}
	if err != nil {
		a = agent.Answer{Choice: agent.ChoiceDeny, Via: agent.ViaError, Note: err.Error()}
	}
	if a.Choice == agent.ChoiceSuspend {
		return a, 0, &end{status: agent.StatusSuspended}
	}
	ans := &agent.Answered{Choice: a.Choice, Who: a.Who, Via: a.Via}
	if a.Shown != "" {
		ans.Shown = agent.Text(a.Shown)
	}
	if a.Note != "" {
		ans.Note = agent.Text(a.Note)
	}
	if a.Choice == agent.ChoiceEdit {
		ans.Args = agent.Text(a.Args)
	}
	seq, err := r.record(ctx, agent.Event{Ref: asked, Call: call, Body: ans})
	if err != nil {
		return a, 0, err
	}
	return r.answered(a, seq)
}

func (r *run) answered(a agent.Answer, seq int64) (agent.Answer, int64, error) {
	if a.Choice == agent.ChoiceStop {
		r.out.Denials++
		return a, seq, &end{status: agent.StatusDenied, answer: "I stopped: you ended the run."}
	}
	return a, seq, nil
}

// questionBlob keeps a question so that another process can put it again. What the
// sandbox wrote about a cell stays with the call.
func questionBlob(q agent.Question) *agent.Blob {
	if q.Tool != nil {
		o := *q.Tool
		o.Sandbox = nil
		q.Tool = &o
	}
	return agent.JSON(q)
}

// label records a label with its probabilities.
func (r *run) label(ctx context.Context, ch agent.Channel, v agent.Verdict, withheld int, ref int64) error {
	b := &agent.Labelled{Channel: ch, Value: v.Label, P: v.Probs, Gens: v.Gens, Withheld: withheld}
	if v.Reason != "" {
		b.Reason = agent.Text(v.Reason)
	}
	_, err := r.record(ctx, agent.Event{Ref: ref, Body: b})
	return err
}

// receive screens what a call returned and adds to the conversation what the model
// may see of it. A judge that errs withholds all of it.
func (r *run) receive(ctx context.Context, o agent.Observation, ended int64) error {
	if done, err := r.recallResponse(ctx, o, ended); done || err != nil {
		return err
	}
	s, err := guarded(func() (agent.Screening, error) {
		return r.Judge.Response(ctx, generator{r}, r.conv, o)
	})
	if err != nil {
		if fatal(ctx, err) {
			return err
		}
		s = agent.Screening{Verdict: agent.Verdict{Reason: err.Error(), Code: "judge_error"}, All: true}
	}
	if err := r.label(ctx, agent.ToolResponse, s.Verdict, s.Withheld, ended); err != nil {
		return err
	}
	if err := r.taintBy(ctx, r.taintOf(o.Call), o.Call.ID, ended); err != nil {
		return err
	}
	show, err := r.mayShow(ctx, o, s, ended)
	if err != nil {
		return err
	}
	return r.release(ctx, o, s, show, ended)
}

// release tells the model what it may see of a response.
func (r *run) release(ctx context.Context, o agent.Observation, s agent.Screening, show bool, ended int64) error {
	if !show {
		r.out.Denials++
		return r.observe(ctx, o.Call, frame.WithheldAll, ended)
	}
	r.out.Denials += s.Withheld
	return r.observe(ctx, o.Call, frame.Data(o.Nonce, s.Text), ended)
}

// mayShow decides whether the screened text may be shown to the model at all, asking
// the user about sensitive data.
func (r *run) mayShow(ctx context.Context, o agent.Observation, s agent.Screening, ended int64) (bool, error) {
	switch {
	case s.All || s.Verdict.Outcome == agent.Deny:
		return false, nil
	case s.Verdict.Outcome == agent.Allow:
		return true, nil
	}
	seq, err := r.record(ctx, agent.Event{Ref: ended, Body: judged("gate", s.Verdict, 0)})
	if err != nil {
		return false, err
	}
	return r.askResponse(ctx, o, s, seq)
}

func (r *run) askResponse(ctx context.Context, o agent.Observation, s agent.Screening, verdict int64) (bool, error) {
	a, _, err := r.ask(ctx, &agent.Asked{About: "response", Release: agent.Text(s.Text)}, agent.Question{
		Label: s.Verdict.Label, Probs: s.Verdict.Probs, Reason: s.Verdict.Reason, Tool: &o,
	}, [32]byte{}, verdict)
	return a.Choice == agent.ChoiceOnce, err
}

// taintOf is what reading the response of a call does to the context.
func (r *run) taintOf(c agent.ToolCall) agent.Taint {
	if s := r.spec(c.Tool); s.Trusted || s.Effect == agent.Pure {
		return agent.TaintClean
	}
	return agent.TaintUntrusted
}

// taintBy records a taint, if it is worse than the context's. by is the call that
// brought it, "" for none.
func (r *run) taintBy(ctx context.Context, t agent.Taint, by string, ref int64) error {
	worse := r.taint.Worse(t)
	if worse == r.taint {
		return nil
	}
	r.taint = worse
	_, err := r.record(ctx, agent.Event{Ref: ref, Body: &agent.Tainted{Value: worse, By: by}})
	return err
}

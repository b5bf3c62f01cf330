package loop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

var (
	errTime  = errors.New("time limit reached")
	errModel = errors.New("model failed")
)

// record commits one event and returns its position.
func (r *run) record(ctx context.Context, e agent.Event) (int64, error) {
	if seq, known, err := r.recall(e); known || err != nil {
		r.open = r.open || known
		return seq, err
	}
	e.Step, e.At = r.step, r.Now()
	e.Mono = e.At.Sub(r.begun)
	seq, err := r.Recorder.Append(ctx, e)
	if cerr := ctx.Err(); err != nil && cerr != nil && errors.Is(err, cerr) {
		return 0, cerr // interrupted, not failed: the run can still be closed
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrRecord, e.Body.Kind(), err)
	}
	if seq <= 0 {
		return 0, fmt.Errorf("%w: %s: recorder gave position %d", ErrRecord, e.Body.Kind(), seq)
	}
	e.Seq, r.open = seq, true
	if r.Observe != nil {
		r.Observe(e)
	}
	return seq, nil
}

// say adds a message to the conversation, recorded first.
func (r *run) say(ctx context.Context, m agent.Message, ref int64) (int64, error) {
	if err := r.recallText(&m); err != nil {
		return 0, err
	}
	seq, err := r.record(ctx, agent.Event{Ref: ref, Body: &agent.Said{
		Role: m.Role, Text: agent.Text(m.Text), Origin: m.Origin,
	}})
	if err != nil {
		return 0, err
	}
	r.conv = r.conv.With(m)
	return seq, nil
}

// generate runs one generation within the token budget, recorded on both sides: the
// ledger is durable before the model runs, since an assertion in native code can end
// the process.
func (r *run) generate(ctx context.Context, m Model, q agent.Request) (agent.Turn, error) {
	spent := &end{status: agent.StatusLimit, limit: "tokens", value: int64(r.limits.Tokens)}
	left := r.limits.Tokens - r.tokens
	if left <= 0 {
		return agent.Turn{}, spent
	}
	if q.MaxTokens <= 0 {
		q.MaxTokens = DefaultMaxTokens
	}
	capped := left < q.MaxTokens
	q.MaxTokens = min(q.MaxTokens, left)
	start := &agent.GenStart{Purpose: q.Purpose, MaxTokens: q.MaxTokens, Temp: q.Temp, Seed: q.Seed}
	if s := q.Schema + q.Grammar; s != "" {
		start.Schema = agent.Text(s)
	}
	seq, err := r.record(ctx, agent.Event{Body: start})
	if err != nil {
		return agent.Turn{}, err
	}
	turn, gerr := m.Generate(ctx, q)
	r.tokens += turn.Tokens.Spent()
	if _, err := r.record(context.WithoutCancel(ctx), agent.Event{Ref: seq, Body: genEnd(turn, gerr)}); err != nil {
		return agent.Turn{}, err
	}
	if gerr != nil {
		return agent.Turn{}, fmt.Errorf("%w: generate %s: %w", errModel, q.Purpose, gerr)
	}
	if capped && turn.Tokens.Finish == agent.FinishLength {
		return agent.Turn{}, spent // what was cut off cannot be judged by
	}
	turn.Gen = seq
	return turn, nil
}

// DefaultMaxTokens bounds one generation that names no bound.
const DefaultMaxTokens = 1024

func genEnd(t agent.Turn, err error) *agent.GenEnd {
	k := t.Tokens
	b := &agent.GenEnd{
		N: len(k.Output), Cached: k.Cached, Evaluated: k.Evaluated, Finish: k.Finish, Probs: t.Probs,
		PrefillUS: k.Prefill.Microseconds(), GenUS: k.Generate.Microseconds(),
	}
	if err != nil {
		b.Error = agent.Text(err.Error())
	}
	if len(k.Prompt) > 0 {
		b.Prompt = int32Blob(k.Prompt)
	}
	if len(k.Output) > 0 {
		b.IDs, b.Raw, b.Sampled = int32Blob(k.Output), float32Blob(k.Raw), float32Blob(k.Sampled)
		b.Forced, b.Text = bitBlob(k.Forced), agent.Text(t.Text)
	}
	if k.Told != nil {
		b.Told, b.Text = k.Told, agent.Text(t.Text)
	}
	return b
}

func int32Blob(v []int32) *agent.Blob {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(x))
	}
	return &agent.Blob{Media: "x-i32le", Data: b}
}

func float32Blob(v []float32) *agent.Blob {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return &agent.Blob{Media: "x-f32le", Data: b}
}

// bitBlob packs flags least significant bit first.
func bitBlob(v []bool) *agent.Blob {
	b := make([]byte, (len(v)+7)/8)
	for i, x := range v {
		if x {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return &agent.Blob{Media: "x-bits", Data: b}
}

// guard is the model that judges.
func (r *run) guard() Model {
	if r.Guard != nil {
		return r.Guard
	}
	return r.Model
}

// generator hands the judge the run's model, recorded and within the budget.
type generator struct{ r *run }

// Generate implements agent.Generator for judges: only forks.
func (g generator) Generate(ctx context.Context, q agent.Request) (agent.Turn, error) {
	if !q.Fork() {
		return agent.Turn{}, errors.New("internal error: a judge may generate on forks only")
	}
	if q.Purpose == agent.PurposeReview && len(q.Labels) == 0 { // no judgement: a step of the agent's taken once more
		return g.r.generate(ctx, g.r.Model, q)
	}
	return g.r.generate(ctx, g.r.guard(), q)
}

// fatal reports whether an error from a judge ends the run rather than denying: the
// ledger or the model failed, a budget ended, or the run was interrupted.
func fatal(ctx context.Context, err error) bool {
	var e *end
	return errors.Is(err, ErrRecord) || errors.Is(err, errModel) || errors.As(err, &e) || ctx.Err() != nil
}

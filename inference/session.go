package inference

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// sequences is the number of KV sequences of a session: the conversation, and one for each purpose of a fork.
const sequences = 4

var forkSeq = map[agent.Purpose]int32{agent.PurposePlan: 1, agent.PurposeReview: 2, agent.PurposeLabel: 3}

// Session is one conversation with a model and implements agent.Generator. It is used by one goroutine at a time.
type Session struct {
	e     *Engine
	x     *llama.Context
	seqs  [sequences]sequence
	split bool // the memory can forget single positions, so a part of a sequence can be shared
}

// NewSession starts a conversation. Close it before the engine.
func (e *Engine) NewSession() (*Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, &Error{Op: "start session", Err: llama.ErrClosed}
	}
	x, err := llama.NewContext(e.model, e.opt.contextParams())
	if err != nil {
		return nil, &Error{Op: "start session", Hint: "choose a smaller context or another KV type", Err: err}
	}
	e.live++
	s := &Session{e: e, x: x, split: !e.model.Recurrent()}
	for i := range s.seqs {
		s.seqs[i].id = int32(i)
	}
	return s, nil
}

// Close frees the conversation's KV cache. It may be called twice.
func (s *Session) Close() error {
	if s.x == nil {
		return nil
	}
	err := s.x.Close()
	s.x = nil
	s.e.mu.Lock()
	s.e.live--
	s.e.mu.Unlock()
	return err
}

// Generate produces one turn. It returns ctx's cause when ctx ends, together with the tokens sampled until then, and an
// error that wraps agent.ErrContext when prompt and output do not fit the window.
func (s *Session) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	turn, err := s.generate(ctx, r)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return turn, err
	}
	var known *Error
	if errors.As(err, &known) {
		return turn, err
	}
	return turn, &Error{Op: "generate", Err: err}
}

func (s *Session) generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if s.x == nil {
		return agent.Turn{}, llama.ErrClosed
	}
	if r.Schema != "" && r.Grammar != "" {
		return agent.Turn{}, errors.New("both a schema and a grammar constrain the request")
	}
	seq := &s.seqs[0]
	if r.Fork() {
		id, ok := forkSeq[r.Purpose]
		if !ok {
			return agent.Turn{}, fmt.Errorf("unknown purpose %q", r.Purpose)
		}
		seq = &s.seqs[id]
	}
	p, err := s.e.render(r, true)
	if err != nil {
		return agent.Turn{}, err
	}
	prompt, err := s.e.words.tokenize(p.segments)
	if err != nil {
		return agent.Turn{}, err
	}
	if len(prompt.ids) == 0 {
		return agent.Turn{}, errors.New("the chat template printed nothing")
	}
	g := &generation{s: s, r: r, p: p, seq: seq, turn: agent.Turn{Tokens: agent.TokenRecord{Temp: r.Temp, Seed: r.Seed}}}
	if err := g.prepare(prompt); err != nil {
		if g.shared {
			seq.truncate(s.x, 0)
		}
		return agent.Turn{}, err
	}
	if err := s.e.acquire(ctx); err != nil {
		return agent.Turn{}, err
	}
	defer s.e.release()
	err = g.run(ctx)
	if r.Fork() {
		g.dropFork()
	}
	return g.turn, err
}

// turnKey is what makes a message of the history the turn that was generated.
type turnKey struct{ thought, text, calls string }

func keyOf(thought, text string, calls []agent.ToolCall) turnKey {
	var b strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&b, "%q %q\n", c.Tool, c.Args)
	}
	return turnKey{thought, text, b.String()}
}

// generation is the work on one request.
type generation struct {
	s       *Session
	r       agent.Request
	p       rendered
	seq     *sequence
	turn    agent.Turn
	ids     []llama.Token // the prompt
	limit   int           // of output tokens
	shared  bool          // the sequence begins with cells of another
	message int           // messages up to here were matched to generated turns
}

// prepare decides what of the prompt is reused, where the rest is evaluated, and whether all of it fits.
func (g *generation) prepare(prompt stream) error {
	w := g.s.e.words
	m := g.match(g.seq, prompt)
	for i := range g.s.seqs {
		if q := &g.s.seqs[i]; q != g.seq && q.done > m.tokens {
			if mm := g.match(q, prompt); mm.tokens > m.tokens && g.borrow(q, mm) {
				m = mm
				g.shared = true
			}
		}
	}
	rest, err := w.from(prompt, m.offset)
	if err != nil {
		return err
	}
	g.ids = append(append([]llama.Token(nil), g.seq.ids[:m.tokens]...), rest...)
	if err := g.fit(); err != nil {
		return err
	}
	lost := g.seq.replace(g.s.x, g.ids, m.tokens)
	t := &g.turn.Tokens
	t.Prompt = append([]int32(nil), g.ids...)
	t.Cached = g.seq.done
	t.Evaluated = len(g.ids) - g.seq.done
	if m.broken && lost > 0 && !g.shared {
		t.Break = &agent.PrefixBreak{Byte: w.bytesBefore(prompt.syms, m.at), Message: g.messageAt(prompt, m.at), Dropped: lost}
	}
	return nil
}

func (g *generation) match(s *sequence, prompt stream) match {
	g.message = 0
	return s.matchTo(g.s.e.words, prompt, func(r *run, offset int) int { return g.turnAt(r, prompt, offset) }).settle(g.s.e.words, s)
}

// borrow makes the sequence share the first m.tokens cells of another: a fork those of the conversation, and a first turn
// those of a fork that judged its request.
func (g *generation) borrow(from *sequence, m match) bool {
	n := min(m.tokens, from.done)
	if n == 0 || !g.s.split && n < from.done {
		return false
	}
	g.seq.truncate(g.s.x, 0)
	g.s.x.CopySeq(from.id, g.seq.id, -1, int32(n))
	g.seq.ids = append(g.seq.ids[:0], from.ids[:m.tokens]...)
	g.seq.done = n
	return true
}

// fit sets the limit of the output, or refuses.
func (g *generation) fit() error {
	o := g.s.e.opt
	room := o.Context - len(g.ids)
	g.limit = g.r.MaxTokens
	if g.limit <= 0 {
		g.limit = min(o.MaxTokens, room)
	}
	if g.limit <= 0 || g.limit > room {
		return &Error{Op: "generate", Hint: "use a larger context, or a shorter conversation",
			Err: fmt.Errorf("prompt of %d tokens and %d of output in a window of %d: %w", len(g.ids), max(g.limit, g.r.MaxTokens), o.Context, agent.ErrContext)}
	}
	return nil
}

// makeRoom frees cells until n more fit: first what other forks kept, then the end of the conversation itself, which is
// read again when it is needed.
func (g *generation) makeRoom(n int) {
	main := &g.s.seqs[0]
	over := func() int {
		total := n - g.s.x.Size()
		for i := range g.s.seqs {
			if q := &g.s.seqs[i]; q != g.seq || !g.shared {
				total += q.done
			}
		}
		return total
	}
	for i := sequences - 1; i > 0 && over() > 0; i-- {
		if q := &g.s.seqs[i]; q != g.seq {
			q.truncate(g.s.x, 0)
		}
	}
	if k := over(); k > 0 && g.seq != main {
		main.truncate(g.s.x, max(0, main.done-k))
	}
}

// dropFork leaves the conversation as it was. A prompt that shares nothing with it stays for the next request of its
// purpose, whose beginning is the same as a rule.
func (g *generation) dropFork() {
	keep := len(g.ids)
	if g.shared || g.s.x == nil {
		keep = 0
	}
	g.seq.truncate(g.s.x, keep)
	g.seq.runs = nil
}

// run evaluates the prompt and samples the turn.
func (g *generation) run(ctx context.Context) error {
	g.makeRoom(len(g.ids) - g.seq.done + g.limit)
	began := time.Now()
	logits, err := g.s.evaluate(ctx, g.seq)
	g.turn.Tokens.Prefill = time.Since(began)
	if err != nil {
		return err
	}
	began = time.Now()
	err = g.sample(ctx, logits)
	g.turn.Tokens.Generate = time.Since(began)
	return err
}

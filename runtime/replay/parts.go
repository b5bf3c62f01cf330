package replay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// performance is one replay: the parts of the run that are taken from the record.
type performance struct {
	p      *Player
	mode   Mode
	model  agent.Generator
	judge  loop.Judge
	report Report
	marks  map[string]string // of data frames: drawn now to recorded

	nextGen    int
	nextID     int
	nextAnswer int
	nextEvent  int
}

// newID gives the recorded identifiers, in their order.
func (f *performance) newID() string {
	if f.nextID < len(f.p.ids) {
		f.nextID++
		return f.p.ids[f.nextID-1]
	}
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Renewer is a model that can begin a new conversation, of which nothing was read yet. A
// run that went on in another process read all of it anew from there, in other pieces, and
// log-probabilities are the same to the last bit only if a replay does so too.
type Renewer interface{ Renew() error }

// Generate implements agent.Generator.
func (f *performance) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	if m, ok := f.model.(Renewer); ok && f.mode.live() && f.p.anew[f.nextGen] {
		if err := m.Renew(); err != nil {
			return agent.Turn{}, err
		}
	}
	var g *gen
	if f.nextGen < len(f.p.gens) {
		g = f.p.gens[f.nextGen]
		f.nextGen++
	}
	if f.mode.live() {
		turn, err := f.model.Generate(ctx, f.remarked(r))
		f.count(g, turn, err)
		if f.mode != ModelOnly {
			return turn, err
		}
	}
	switch {
	case g == nil:
		return agent.Turn{}, errEnded
	case g.end.Error != nil:
		return agent.Turn{}, errors.New(g.end.Error.String())
	}
	return g.recorded()
}

// errEnded means that the record is used up.
var errEnded = errors.New("the record ends here")

// count compares a generation with the recorded one.
func (f *performance) count(g *gen, t agent.Turn, err error) {
	f.report.Generations++
	if g == nil || err != nil {
		return
	}
	now := tokensOf(t.Tokens)
	if same(now.Prompt, g.end.Prompt) {
		f.report.Prompts++
	} else if f.mode == ModelOnly {
		f.note(Divergence{g.seq, "gen.end", "prompt", tokenText(g.end.Prompt), tokenText(now.Prompt)})
	}
	if !same(now.IDs, g.end.IDs) {
		if f.mode == ModelOnly {
			f.note(Divergence{g.seq, "gen.end", "ids", quote(g.end.Text.String()), quote(t.Text)})
		}
		return
	}
	f.report.Same++
	if same(now.Raw, g.end.Raw) && same(now.Sampled, g.end.Sampled) {
		f.report.Exact++
	}
}

// note keeps the first divergence.
func (f *performance) note(d Divergence) {
	if f.report.First == nil {
		f.report.First = &d
	}
}

// remarked gives the data frames of a request the marks they had.
func (f *performance) remarked(r agent.Request) agent.Request {
	if len(f.marks) == 0 {
		return r
	}
	list := make([]agent.Message, len(r.Messages))
	for i, m := range r.Messages {
		m.Text = f.remark(m.Text)
		list[i] = m
	}
	r.Messages = list
	return r
}

func (f *performance) remark(s string) string {
	for drawn, was := range f.marks {
		s = strings.ReplaceAll(s, "data "+drawn+">", "data "+was+">")
	}
	return s
}

// Prompt implements loop.Judge.
func (f *performance) Prompt(ctx context.Context, g agent.Generator, c agent.Conversation) (agent.Assessment, error) {
	return f.judge.Prompt(ctx, g, c)
}

// Call implements loop.Judge.
func (f *performance) Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (agent.Verdict, error) {
	f.p.current = nil
	if k := f.p.calls[p.Call.Digest()]; k != nil {
		f.p.current = k.verdict
	}
	return f.judge.Call(ctx, g, c, p)
}

// Response implements loop.Judge.
func (f *performance) Response(ctx context.Context, g agent.Generator, c agent.Conversation, o agent.Observation) (agent.Screening, error) {
	if k := f.p.calls[o.Call.Digest()]; k != nil && k.nonce != "" {
		f.marks[o.Nonce] = k.nonce
		o.Nonce = k.nonce
	}
	return f.judge.Response(ctx, g, c, o)
}

// Specs implements loop.Executor.
func (f *performance) Specs() []agent.ToolSpec { return f.p.specs }

// Check implements loop.Executor: what did not fit its tool does not fit it now.
func (f *performance) Check(c agent.ToolCall) error {
	k := f.p.calls[c.Digest()]
	if k != nil && k.verdict != nil && k.verdict.By == "loop" && k.verdict.Code == "bad_arguments" {
		return errors.New(k.verdict.Reason.String())
	}
	return nil
}

// Execute implements loop.Executor. It does nothing and returns what was returned.
func (f *performance) Execute(ctx context.Context, p agent.Permit, c agent.ToolCall, j agent.Journal) (agent.Observation, error) {
	if err := p.Spend(c.Digest()); err != nil {
		return agent.Observation{}, err
	}
	k := f.p.calls[c.Digest()]
	if k == nil || k.start == nil && k.end == nil {
		return agent.Observation{}, fmt.Errorf("%s: %w", c.Tool, errEnded)
	}
	if k.start != nil {
		if err := j.Start(ctx, *k.start); err != nil {
			return agent.Observation{}, err
		}
	}
	if k.ready != nil {
		if err := j.Ready(ctx, *k.ready); err != nil {
			return agent.Observation{}, err
		}
	}
	if k.end == nil || k.end.Status == agent.CallUnknown || k.end.Code == "sandbox" {
		return agent.Observation{}, fmt.Errorf("%s: its outcome is not known", c.Tool)
	}
	return agent.Observation{Status: k.end.Status, Text: k.end.Out.String(), Code: k.end.Code, Exit: k.end.Exit,
		Sandbox: k.end.Sandbox}, nil
}

// Ask implements loop.Approver with the recorded answers, in their order.
func (f *performance) Ask(context.Context, agent.Question) (agent.Answer, error) {
	if f.nextAnswer >= len(f.p.answers) {
		return agent.Answer{Choice: agent.ChoiceSuspend}, nil
	}
	a := f.p.answers[f.nextAnswer]
	f.nextAnswer++
	if a.Via == agent.ViaError {
		return agent.Answer{}, errors.New(a.Note.String())
	}
	return agent.Answer{Choice: a.Choice, Who: a.Who, Via: a.Via, Shown: a.Shown.String(), Note: a.Note.String(),
		Args: a.Args.String()}, nil
}

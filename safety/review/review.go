// Package review lets the model itself judge: the user's request, a call before it
// runs, a tool response before it is read, and which tools a request needs.
//
// It builds the question on a fork of the conversation, has it answered under a strict
// grammar in a bounded number of tokens, reads the probabilities of the labels, and
// parses the answer. It decides nothing: what a label means is the decision table's
// business, and an answer that cannot be read is an error. A Reviewer holds only its
// settings and is safe for concurrent use; a Generator is used by one call at a time.
package review

import (
	"context"
	"fmt"
	"regexp"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// Generator answers on a fork of the conversation. See agent.Generator.
type Generator interface {
	Generate(ctx context.Context, r agent.Request) (agent.Turn, error)
}

// Mode is how much the model writes before its label.
type Mode uint8

// The modes.
const (
	Reason Mode = iota // one sentence, then the label
	Logits             // the label alone, read from one forward pass
)

// logitsGrammar is frame.VerdictGrammar with an empty reason.
const logitsGrammar = `root ::= "{\"reason\": \"\", \"label\": \"" label "\"}"
label ::= "benign" | "sensitive" | "malicious"
`

// DefaultTokens bounds an answer where Options.MaxTokens is zero.
const DefaultTokens = 160

// Options are the settings of a Reviewer. The zero value is usable.
type Options struct {
	Thresholds Thresholds // zero means Uncalibrated
	MaxTokens  int        // of one answer, 0 means DefaultTokens
}

// Validate reports settings that mean nothing.
func (o Options) Validate() error {
	if o.MaxTokens < 0 {
		return fmt.Errorf("review of %d tokens is impossible", o.MaxTokens)
	}
	if o.Thresholds == (Thresholds{}) {
		return nil
	}
	return o.Thresholds.Validate()
}

// Reviewer asks the model for its judgement.
type Reviewer struct {
	cuts      Thresholds
	maxTokens int
}

// New returns a Reviewer, or the fault of its settings.
func New(o Options) (*Reviewer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Thresholds == (Thresholds{}) {
		o.Thresholds = Uncalibrated()
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = DefaultTokens
	}
	return &Reviewer{cuts: o.Thresholds, maxTokens: o.MaxTokens}, nil
}

// Opinion is one judgement of the model. The zero Opinion has no label.
type Opinion struct {
	Label  agent.Label // after the thresholds
	Word   agent.Label // as the model wrote it
	Probs  agent.LabelProbs
	Reason string  // the model's sentence: data, never shown to the model
	Gens   []int64 // ledger positions of the generations, also beside an error
}

// Prompt labels the user's request. Only what the operator and the user said is shown:
// no earlier tool response can speak for the request.
func (r *Reviewer) Prompt(ctx context.Context, g Generator, c agent.Conversation) (Opinion, error) {
	return r.verdict(ctx, g, agent.PurposeLabel, spoken(c).With(question(frame.Label)), r.cuts.Prompt, Reason)
}

// Plan asks which of the tools on offer the request needs, from the request alone. A
// tool whose name is not plain cannot be planned.
func (r *Reviewer) Plan(ctx context.Context, g Generator, c agent.Conversation) ([]string, []int64, error) {
	var names []string
	for _, s := range c.Tools {
		if plainName.MatchString(s.Name) {
			names = append(names, s.Name)
		}
	}
	f := spoken(c).With(question(frame.Plan))
	t, err := g.Generate(ctx, agent.Request{
		Purpose: agent.PurposePlan, Messages: f.Messages, Tools: f.Tools,
		Grammar: frame.PlanGrammar(names), MaxTokens: r.maxTokens,
	})
	gens := positions(t)
	if err != nil {
		return nil, gens, fmt.Errorf("plan the request: %w", err)
	}
	tools, err := parsePlan(output(t), names)
	return tools, gens, err
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_.:/-]{1,128}$`)

// Call reviews one call, which an assistant's message of c must hold. The fork shows
// that call alone as the last thing proposed.
func (r *Reviewer) Call(ctx context.Context, g Generator, c agent.Conversation, call agent.ToolCall, m Mode) (Opinion, error) {
	f, err := proposing(c, call)
	if err != nil {
		return Opinion{}, err
	}
	return r.verdict(ctx, g, agent.PurposeReview, f.With(question(frame.Review)), r.cuts.Call, m)
}

// Response labels what a call returned. framed is the text inside its data marks.
func (r *Reviewer) Response(ctx context.Context, g Generator, c agent.Conversation, call agent.ToolCall, framed string) (Opinion, error) {
	f, err := proposing(c, call)
	if err != nil {
		return Opinion{}, err
	}
	f = f.With(agent.Message{
		Role: agent.Tool, Text: framed, CallID: call.ID, Tool: call.Tool,
		Origin: agent.Origin{Source: agent.SourceTool, CallID: call.ID, Tool: call.Tool},
	}, question(frame.Screen))
	return r.verdict(ctx, g, agent.PurposeLabel, f, r.cuts.Response, Reason)
}

// verdict has one question answered and its answer read.
func (r *Reviewer) verdict(ctx context.Context, g Generator, p agent.Purpose, f agent.Conversation, cut Cut, m Mode) (Opinion, error) {
	grammar := frame.VerdictGrammar
	if m == Logits {
		grammar = logitsGrammar
	}
	t, err := g.Generate(ctx, agent.Request{
		Purpose: p, Messages: f.Messages, Tools: f.Tools, Grammar: grammar,
		LabelPrefix: frame.LabelPrefix, Labels: labelWords(), MaxTokens: r.maxTokens,
	})
	o := Opinion{Gens: positions(t)}
	if err != nil {
		return o, fmt.Errorf("ask for a %s: %w", p, err)
	}
	if o.Probs, err = parseProbs(t.Probs); err != nil {
		return o, err
	}
	o.Probs = o.Probs.At(r.cuts.Temp)
	if o.Word, o.Reason, err = parseVerdict(output(t)); err != nil {
		return o, err
	}
	o.Label = cut.Apply(o.Word, o.Probs)
	return o, nil
}

func labelWords() []string {
	words := make([]string, len(agent.Labels))
	for i, l := range agent.Labels {
		words[i] = l.String()
	}
	return words
}

func positions(t agent.Turn) []int64 {
	if t.Gen == 0 {
		return nil
	}
	return []int64{t.Gen}
}

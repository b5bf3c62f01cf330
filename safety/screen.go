package safety

import (
	"context"
	"errors"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety/review"
)

// maxPieces bounds how often one response is looked at piece by piece.
const maxPieces = 64

// Response labels what a call returned and takes out of it what the model may not see.
//
// Benign allows, sensitive asks. A malicious response keeps that label, but its
// Outcome is that of what is left after its malicious pieces were replaced: if that is
// malicious too, or all pieces or none were found guilty, everything is withheld. What cannot be
// labelled is withheld; a failing generator is also returned as the error.
func (g *Gate) Response(ctx context.Context, gen agent.Generator, c agent.Conversation, o agent.Observation) (agent.Screening, error) {
	if g.review == nil {
		return withhold(unjudged(errNoGate)), nil
	}
	if rule := exempt(c, o); rule != "" {
		return agent.Screening{Text: o.Text, Verdict: agent.Verdict{
			Outcome: agent.Allow, Label: agent.Benign,
			Votes: []agent.Vote{{Rule: rule, Outcome: agent.Allow, Reason: "this response is not screened"}},
		}}, nil
	}
	if strings.Contains(o.Text, o.Nonce) { // also when there is no nonce
		return withhold(unjudged(errors.New("the response could close its own marks"))), nil
	}
	s := screener{g: g, gen: gen, c: c, o: o}
	out, err := s.screen(ctx)
	out.Verdict.Gens = s.gens
	return out, err
}

// exempt names the rule under which a response needs no screening, "" if none.
func exempt(c agent.Conversation, o agent.Observation) string {
	switch {
	case o.Text == "":
		return "response.empty"
	case o.Status == agent.CallDenied, o.Status == agent.CallError && o.Code != "" && o.Text == frame.Denied(o.Code):
		return "response.runtime" // the call did not run: the text is the runtime's
	}
	for _, s := range c.Tools {
		if s.Name == o.Call.Tool && s.Trusted {
			return "response.trusted"
		}
		if s.Name == o.Call.Tool && s.Effect == agent.Pure {
			return "response.pure"
		}
	}
	return ""
}

// screener screens one response.
type screener struct {
	g    *Gate
	gen  agent.Generator
	c    agent.Conversation
	o    agent.Observation
	gens []int64
}

func (s *screener) screen(ctx context.Context) (agent.Screening, error) {
	whole, err := s.label(ctx, s.o.Text)
	v := ofOpinion(whole, "response")
	if err != nil {
		return withhold(failed(v, err)), broken("label the response", err)
	}
	if whole.Label != agent.Malicious {
		return agent.Screening{Verdict: v, Text: s.o.Text}, nil
	}
	text, n, left, err := s.redact(ctx)
	if err != nil {
		return withhold(failed(v, err)), broken("label a piece of the response", err)
	}
	if n == 0 || left == 0 {
		return withhold(v), nil
	}
	rest, err := s.label(ctx, text)
	if err != nil {
		return withhold(failed(v, err)), broken("label the rest of the response", err)
	}
	again := ofOpinion(rest, "response.redacted")
	v.Votes = append(v.Votes, again.Votes...)
	if again.Outcome == agent.Deny {
		return withhold(v), nil
	}
	v.Outcome, v.Code = again.Outcome, ""
	return agent.Screening{Verdict: v, Text: text, Withheld: n}, nil
}

func (s *screener) label(ctx context.Context, text string) (review.Opinion, error) {
	o, err := s.g.review.Response(ctx, s.gen, s.c, s.o.Call, frame.Data(s.o.Nonce, text))
	s.gens = append(s.gens, o.Gens...)
	return o, err
}

// redact replaces every piece that the model calls malicious, however sure it is. It
// returns how many it replaced and how many are left that are not blank. Equal pieces
// are looked at once.
func (s *screener) redact(ctx context.Context) (text string, replaced, left int, err error) {
	pieces := split(s.o.Text)
	guilty := map[string]bool{}
	for i, p := range pieces {
		if strings.TrimSpace(p) == "" {
			continue
		}
		bad, seen := guilty[p]
		if !seen {
			o, err := s.label(ctx, p)
			if err != nil {
				return "", 0, 0, err
			}
			bad = o.Word == agent.Malicious || o.Label == agent.Malicious
			guilty[p] = bad
		}
		if !bad {
			left++
			continue
		}
		pieces[i] = frame.Withheld
		replaced++
	}
	return strings.Join(pieces, "\n"), replaced, left, nil
}

// split cuts a text into its lines, or into at most maxPieces runs of lines. Joined
// with line breaks the pieces are the text.
func split(text string) []string {
	lines := strings.Split(text, "\n")
	per := (len(lines) + maxPieces - 1) / maxPieces
	if per <= 1 {
		return lines
	}
	var pieces []string
	for len(lines) > 0 {
		n := min(per, len(lines))
		pieces = append(pieces, strings.Join(lines[:n], "\n"))
		lines = lines[n:]
	}
	return pieces
}

// withhold holds everything back, whatever the verdict allowed.
func withhold(v agent.Verdict) agent.Screening {
	v.Outcome = agent.Deny
	if v.Code == "" {
		v.Code = "unsafe"
	}
	return agent.Screening{Verdict: v, All: true}
}

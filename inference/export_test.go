package inference

import (
	"github.com/holdfast-run/holdfast/inference/internal/llama"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Parse reads text as the output of a request, with the given end.
func Parse(e *Engine, r agent.Request, text string, end agent.Finish) (agent.Turn, error) {
	p, err := e.render(r, true)
	turn := agent.Turn{Text: text}
	turn.Tokens.Finish = end
	if err == nil {
		e.parse(&turn, r, p.ChatParams)
	}
	return turn, err
}

// Tokens renders and tokenises a request.
func Tokens(e *Engine, r agent.Request) ([]int32, error) {
	p, err := e.render(r, true)
	if err != nil {
		return nil, err
	}
	s, err := e.words.tokenize(p.segments)
	return s.ids, err
}

// Special lists the spellings of all special tokens, and counts them in a prompt.
func Special(e *Engine) (spellings []string) {
	for id, is := range e.words.special {
		if is {
			spellings = append(spellings, e.words.pieces[id])
		}
	}
	return spellings
}

// CountSpecial counts the special tokens of a prompt.
func CountSpecial(e *Engine, ids []int32) int {
	n := 0
	for _, id := range ids {
		if e.words.special[id] {
			n++
		}
	}
	return n
}

// Feed runs the constraint of a request over the tokens of text and reports, for each, whether it was constrained,
// allowed and forced. It stops at the first token that is not allowed.
func Feed(e *Engine, r agent.Request, text string) (constrained, forced []bool, refused string, err error) {
	p, err := e.render(r, true)
	if err != nil {
		return nil, nil, "", err
	}
	c, err := e.newConstraint(r, p.ChatParams)
	if err != nil || c == nil {
		return nil, nil, "", err
	}
	defer c.close()
	ids, err := e.words.join(text, true)
	if err != nil {
		return nil, nil, "", err
	}
	for _, id := range ids {
		g := c.current()
		if g != nil {
			ok := []bool{false}
			if err := g.Allows([]llama.Token{id}, ok); err != nil {
				return constrained, forced, "", err
			}
			if !ok[0] {
				return constrained, forced, e.words.pieces[id], nil
			}
		}
		f, err := c.forcedToken(id)
		if err != nil {
			return constrained, forced, "", err
		}
		constrained, forced = append(constrained, g != nil), append(forced, f)
		if err := c.accept(id); err != nil {
			return constrained, forced, "", err
		}
	}
	return constrained, forced, "", nil
}

// ReadLabels gives a label reader the tokens of text with the same logits at every step.
func ReadLabels(e *Engine, prefix string, labels []string, ids []int32, logits []float32) []float64 {
	l := newLabelReader(e.words, prefix, labels)
	sum := llama.LogitStats(logits, 1).LogSum
	for _, id := range ids {
		l.observe(id, logits, sum)
	}
	return l.probs
}

// Encode tokenises plain text.
func Encode(e *Engine, text string) []int32 {
	ids, err := e.words.join(text, true)
	if err != nil {
		panic(err)
	}
	return ids
}

// Sample draws once from logits under a constraint that allows what allow says.
func Sample(narrow Sampling, temp float64, seed uint64, logits []float32, allow func(int32) bool) (int32, float32, error) {
	var g allower
	if allow != nil {
		g = allowFunc(allow)
	}
	c, err := newSampler(narrow, temp, seed, nil).sample(logits, g)
	return c.id, c.sampled, err
}

type allowFunc func(int32) bool

func (f allowFunc) Allows(ids []llama.Token, ok []bool) error {
	for i, id := range ids {
		ok[i] = f(id)
	}
	return nil
}

// Shielded covers content, renders it between two marks, and splits it again: the text that the template sees, and the
// plain and other segments that come back.
func Shielded(e *Engine, content string, isJSON bool) (seen string, plain []string, whole string, err error) {
	h := newShield(e.words)
	seen = h.cover(content)
	if isJSON {
		if seen, err = h.coverJSON(content); err != nil {
			return "", nil, "", err
		}
	}
	parts, err := h.split(seen)
	for _, p := range parts {
		if p.plain {
			plain = append(plain, p.text)
		}
		whole += p.text
	}
	return seen, plain, whole, err
}

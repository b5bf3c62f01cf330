package inference

import (
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// constraint is the grammar of one generation and what it waits for.
type constraint struct {
	w *vocabulary
	g *llama.Grammar // nil while a lazy grammar waits for its words

	lazy     bool
	gbnf     string
	patterns []string
	words    []string // the texts one of which must appear before a lazy grammar can begin; empty: it sees every token

	thinkOpen  string
	thinkClose []string
	thinking   bool

	text string // output so far
	seen []llama.Token
	from []int // start of each token in text
	base int   // tokens before base have been fed or skipped for good
	on   bool  // a lazy grammar began
}

// newConstraint builds the constraint of a request: its own grammar or schema, strict from the first token, or what the
// template derives from the tools.
func (e *Engine) newConstraint(r agent.Request, p llama.ChatParams) (*constraint, error) {
	c := &constraint{w: e.words}
	switch {
	case r.Grammar != "":
		c.gbnf = r.Grammar
	case r.Schema != "":
		g, err := llama.SchemaGrammar(r.Schema, e.budget())
		if err != nil {
			return nil, err
		}
		c.gbnf = g
	case p.Grammar == "":
		return nil, nil
	default:
		c.gbnf, c.lazy = p.Grammar, p.GrammarLazy
		c.thinkOpen, c.thinkClose = p.ThinkingStart, p.ThinkingEnds
		c.addTriggers(p.Triggers)
		c.observe(p.GenerationPrompt)
		c.text = ""
	}
	if c.lazy {
		if len(c.words) > 0 {
			return c, nil
		}
		var err error
		c.g, err = llama.NewLazyGrammar(e.words.v, c.gbnf, c.patterns, nil)
		return c, err
	}
	g, err := llama.NewGrammar(e.words.v, c.gbnf)
	if err != nil {
		return nil, err
	}
	c.g = g
	if r.Grammar == "" && r.Schema == "" { // the template's grammar begins with what the prompt already holds
		ids, err := e.words.join(p.GenerationPrompt, true)
		for _, id := range ids {
			if err == nil {
				err = g.Accept(id)
			}
		}
		if err != nil {
			g.Close()
			return nil, err
		}
	}
	return c, nil
}

// addTriggers turns the triggers into patterns as llama.cpp does. Words are also kept, so that the patterns need not
// be tried before one appears.
func (c *constraint) addTriggers(ts []llama.ChatTrigger) {
	onlyWords := true
	for _, t := range ts {
		switch t.Type {
		case llama.TriggerWord, llama.TriggerToken:
			c.words = append(c.words, t.Value)
			c.patterns = append(c.patterns, regexp.QuoteMeta(t.Value))
		case llama.TriggerPatternFull:
			onlyWords = false
			p := t.Value
			if !strings.HasPrefix(p, "^") {
				p = "^" + p
			}
			if !strings.HasSuffix(p, "$") {
				p += "$"
			}
			c.patterns = append(c.patterns, p)
		default:
			onlyWords = false
			c.patterns = append(c.patterns, t.Value)
		}
	}
	if !onlyWords {
		c.words = nil
	}
}

// observe adds text to the output and follows whether it is inside a reasoning block. It reports whether a block was
// closed by this text.
func (c *constraint) observe(text string) (closed bool) {
	before := len(c.text)
	c.text += text
	for c.thinkOpen != "" {
		mark := []string{c.thinkOpen}
		if c.thinking {
			mark = c.thinkClose
		}
		at, n := -1, 0
		for _, m := range mark {
			tail := c.text[max(0, before-len(m)+1):]
			if i := strings.Index(tail, m); m != "" && i >= 0 {
				at, n = len(c.text)-len(tail)+i, len(m)
			}
		}
		if at < 0 {
			return closed
		}
		closed = c.thinking
		c.thinking = !c.thinking
		before = at + n
		if before >= len(c.text) {
			return closed
		}
	}
	return closed
}

// current is what the next token must obey, nil if anything goes.
func (c *constraint) current() allower {
	if c == nil || c.g == nil || c.lazy && !c.on {
		return nil
	}
	return c.g
}

// accept moves past a sampled token.
func (c *constraint) accept(id llama.Token) error {
	if c == nil || c.w.ends[id] {
		return nil
	}
	if !c.lazy {
		return c.g.Accept(id)
	}
	if c.on {
		return c.g.Accept(id)
	}
	c.seen = append(c.seen, id)
	c.from = append(c.from, len(c.text))
	closed := c.observe(c.w.pieces[id])
	if c.thinking {
		c.base = len(c.seen)
		return nil
	}
	if closed { // what closed the block may also begin a call
		c.base = len(c.seen) - 1
	}
	return c.tryStart()
}

// tryStart feeds a lazy grammar what it has not seen, once there is reason to.
func (c *constraint) tryStart() error {
	start := len(c.text)
	if c.base < len(c.from) {
		start = c.from[c.base]
	}
	if len(c.words) > 0 {
		at := -1
		for _, word := range c.words {
			if i := strings.Index(c.text[start:], word); i >= 0 && (at < 0 || start+i < at) {
				at = start + i
			}
		}
		if at < 0 {
			return nil
		}
		for c.base+1 < len(c.from) && c.from[c.base+1] <= at {
			c.base++
		}
		var err error
		if c.g, err = llama.NewLazyGrammar(c.w.v, c.gbnf, c.patterns, nil); err != nil {
			return err
		}
	}
	c.on = true
	for ; c.base < len(c.seen); c.base++ {
		if err := c.g.Accept(c.seen[c.base]); err != nil {
			return err
		}
	}
	return nil
}

func (c *constraint) close() {
	if c != nil && c.g != nil {
		c.g.Close()
	}
}

// forcedToken reports whether the constraint dictated the text of token id: at every byte of it no other byte was allowed.
// That the same text could also be cut into tokens differently does not count as a choice. It is asked before accept.
func (c *constraint) forcedToken(id llama.Token) (bool, error) {
	if c.current() == nil || len(c.w.bytes) < 95 {
		return false, nil
	}
	probe := append(append([]llama.Token(nil), c.w.bytes...), c.w.endIDs...)
	ok := make([]bool, len(probe))
	g := c.g
	piece := c.w.pieces[id]
	if c.w.ends[id] {
		piece = ""
	}
	for i := 0; ; i++ {
		if err := g.Allows(probe, ok); err != nil {
			return false, err
		}
		only := -1
		for j := range probe {
			switch {
			case !ok[j]:
			case only < 0:
				only = j
			case !c.w.ends[probe[j]] || !c.w.ends[probe[only]]: // several tokens that end are one choice
				return false, nil
			}
		}
		switch {
		case only < 0:
			return false, nil
		case piece == "":
			return c.w.ends[probe[only]], nil
		case c.w.ends[probe[only]] || c.w.pieces[probe[only]] != piece[i:i+1]:
			return false, nil
		case i == len(piece)-1:
			return true, nil
		}
		if g == c.g {
			var err error
			if g, err = c.g.Clone(); err != nil {
				return false, err
			}
			defer g.Close()
		}
		if err := g.Accept(probe[only]); err != nil {
			return false, err
		}
	}
}

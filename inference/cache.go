package inference

import (
	"slices"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

// sequence mirrors one sequence of the KV cache: the tokens that were evaluated on it, or are about to be.
type sequence struct {
	id   int32
	ids  []llama.Token // the first done are in the KV cache; the last sampled token may not be
	done int
	runs []run // generated turns, in order
}

// run is a turn that was generated on the sequence: tokens [from, to). It ends before the token that ended the turn.
type run struct {
	from, to int
	turn     turnKey
	raw      string // the text as generated
	// printed is how the template prints the turn in the history, once that is known: then it is recognised without
	// rendering again.
	printed []symbol
}

// truncate drops the tokens from n on and reports how many evaluated ones were lost. Memories that cannot forget a part
// forget everything.
func (s *sequence) truncate(x *llama.Context, n int) int {
	lost := s.forget(x, n)
	s.ids = s.ids[:min(n, s.done, len(s.ids))]
	s.runs = slices.DeleteFunc(s.runs, func(r run) bool { return r.to > len(s.ids) })
	return lost
}

// forget takes the tokens from n on out of the KV cache, without taking them off the sequence.
func (s *sequence) forget(x *llama.Context, n int) int {
	lost := max(0, s.done-n)
	if lost > 0 && !x.RemoveSeq(s.id, int32(n), -1) {
		lost, n = s.done, 0
		x.RemoveSeq(s.id, -1, -1)
	}
	s.done = min(s.done, n)
	return lost
}

// replace makes ids the tokens of the sequence; the first same of them are those it has.
func (s *sequence) replace(x *llama.Context, ids []llama.Token, same int) int {
	lost := s.forget(x, min(same, len(ids)-1)) // the logits of the last are needed
	s.ids = append(s.ids[:0:0], ids...)
	s.runs = slices.DeleteFunc(s.runs, func(r run) bool { return r.to > same })
	return lost
}

// match is how far a prompt is already on a sequence.
type match struct {
	tokens int // of the sequence that the prompt begins with
	offset int // symbols of the prompt they stand for
	floor  int // tokens before which sequence and prompt do not correspond token by token
	broken bool
	at     int // symbol of the prompt where it departs, if broken
}

// matchTo compares the prompt p with the sequence. turnAt is asked, at the start of a generated turn that the prompt
// does not repeat symbol for symbol, where the prompt's own print of that turn ends; it returns -1 if the prompt does
// not hold the turn there.
func (s *sequence) matchTo(w *vocabulary, p stream, turnAt func(r *run, offset int) int) match {
	var m match
	next := 0
	buf := make([]symbol, 0, 64)
	for m.tokens < len(s.ids) {
		if next < len(s.runs) && s.runs[next].from == m.tokens {
			r := &s.runs[next]
			next++
			if end := s.sameRun(w, r, p, m.offset); end >= 0 {
				m.tokens, m.offset = r.to, end
				continue
			}
			if end := turnAt(r, m.offset); end >= 0 {
				m.tokens, m.offset, m.floor = r.to, end, r.to
				continue
			}
		}
		buf = w.symbols(buf[:0], s.ids[m.tokens])
		n := len(buf)
		if m.offset+n > len(p.syms) || !slices.Equal(buf, p.syms[m.offset:m.offset+n]) {
			m.broken, m.at = true, m.offset+commonLen(buf, p.syms[m.offset:])
			break
		}
		m.tokens++
		m.offset += n
	}
	return m
}

// sameRun returns the offset after the run if p repeats it symbol for symbol, else -1. What p goes on with is not
// looked at.
func (s *sequence) sameRun(w *vocabulary, r *run, p stream, offset int) int {
	buf := make([]symbol, 0, 64)
	for _, id := range s.ids[r.from:r.to] {
		buf = w.symbols(buf[:0], id)
		if offset+len(buf) > len(p.syms) || !slices.Equal(buf, p.syms[offset:offset+len(buf)]) {
			return -1
		}
		offset += len(buf)
	}
	return offset
}

// settle moves a broken match back to just after the last special token, so that the new text is cut into tokens as it
// would be alone.
func (m match) settle(w *vocabulary, s *sequence) match {
	if !m.broken {
		return m
	}
	for m.tokens > m.floor && !w.special[s.ids[m.tokens-1]] {
		m.tokens--
		m.offset -= w.width(s.ids[m.tokens])
	}
	return m
}

func commonLen(a, b []symbol) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

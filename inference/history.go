package inference

import (
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// turnAt returns where, in the prompt, the template's print of a generated turn ends that begins at offset; -1 if the
// prompt does not hold that turn there, or holds less of it than was generated. The tokens of the turn then stand for
// the print: they are what the model said, and the template's print of what was understood of it may differ in spaces,
// in the order of members or in broken characters.
func (g *generation) turnAt(r *run, prompt stream, offset int) int {
	i := g.messageOf(r)
	if i < 0 {
		return -1
	}
	w := g.s.e.words
	follows := func(print []symbol) bool {
		end := offset + len(print)
		return end <= len(prompt.syms) && commonLen(print, prompt.syms[offset:]) == len(print) &&
			(end == len(prompt.syms) || prompt.syms[end] >= specialBase)
	}
	if r.printed == nil {
		part := g.r
		part.Messages = g.r.Messages[:i+1]
		p, err := g.s.e.render(part, false)
		if err != nil {
			return -1
		}
		alone, err := w.tokenize(p.segments)
		if err != nil || len(alone.syms) < offset || commonLen(alone.syms, prompt.syms) < offset {
			return -1
		}
		end := len(alone.syms)
		for k := len(alone.syms) - 1; k >= offset; k-- {
			if c := alone.syms[k]; c >= specialBase && w.ends[c-specialBase] {
				end = k
				break
			}
		}
		print := alone.syms[offset:end]
		if !holds(spell(w, print), g.r.Messages[i]) {
			return -1
		}
		r.printed = print
	}
	if !follows(r.printed) {
		return -1
	}
	g.message = i + 1
	return offset + len(r.printed)
}

// messageOf finds the message that is the generated turn, after those already found.
func (g *generation) messageOf(r *run) int {
	for i := g.message; i < len(g.r.Messages); i++ {
		m := g.r.Messages[i]
		if m.Role != agent.Assistant {
			continue
		}
		if keyOf(m.Thought, m.Text, m.Calls) == r.turn || m.Thought == "" && len(m.Calls) == 0 && m.Text == r.raw {
			return i
		}
	}
	return -1
}

// holds reports whether a print has the thought, the text and the tools of a message: templates drop reasoning from the history, and such a
// print must not be taken for the whole turn.
func holds(print string, m agent.Message) bool {
	print = whole(print)
	for _, part := range strings.Split(m.Thought+"\n\n"+m.Text, "\n\n") {
		if !strings.Contains(print, whole(strings.TrimSpace(part))) {
			return false
		}
	}
	for _, c := range m.Calls {
		if !strings.Contains(print, c.Tool) {
			return false
		}
	}
	return true
}

// whole makes broken UTF-8 comparable: encoders differ in how many replacement characters they write for it.
func whole(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	for strings.Contains(s, "\uFFFD\uFFFD") {
		s = strings.ReplaceAll(s, "\uFFFD\uFFFD", "\uFFFD")
	}
	return s
}

func spell(w *vocabulary, syms []symbol) string {
	var b strings.Builder
	for _, c := range syms {
		if c >= specialBase {
			b.WriteString(w.pieces[c-specialBase])
		} else {
			b.WriteByte(byte(c))
		}
	}
	return b.String()
}

// messageAt returns the index of the message in which symbol at of the prompt lies, -1 if it lies in none. Prompts break
// near their end as a rule, so the search goes backwards.
func (g *generation) messageAt(prompt stream, at int) int {
	found := -1
	for i := len(g.r.Messages) - 1; i >= 0; i-- {
		part := g.r
		part.Messages = g.r.Messages[:i+1]
		p, err := g.s.e.render(part, false)
		if err != nil {
			continue // some templates refuse a conversation that stops here
		}
		s, err := g.s.e.words.tokenize(p.segments)
		if err != nil || commonLen(s.syms, prompt.syms) <= at {
			break
		}
		found = i
	}
	return found
}

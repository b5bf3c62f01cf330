package provenance

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// shingle is how many words in a row make a passage that is not there by chance.
const shingle = 4

// Borrows reports whether an argument that does not direct the effect (content, or a
// selector) was taken verbatim from an untrusted text: as a whole, in a passage of four
// words, or in one word that looks like a value. What the user wrote too does not count.
func (r *Record) Borrows(call agent.ToolCall, spec agent.ToolSpec) (bool, error) {
	args, err := decode(call)
	if err != nil {
		return true, err
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		role := spec.Roles[name]
		if role.Sink() {
			continue
		}
		w := walker{role: role}
		w.walk("", args[name])
		for _, l := range w.leaves {
			if r.borrowed(bare(l.value)) {
				return true, nil
			}
		}
	}
	return false, nil
}

// borrowed looks for the marks of one value in every untrusted text.
func (r *Record) borrowed(v string) bool {
	if v == "" || len(r.foreign) == 0 {
		return false
	}
	marks, first := r.marks(v)
	for _, t := range r.foreign {
		if !r.userWrote(v) && (named(t.normal(), v) || len(v) >= 4 && strings.Contains(t.normal(), v)) {
			return true
		}
		if holds(t.normal(), marks, first) {
			return true
		}
	}
	return false
}

// marks lists what in a value would not stand in another text by chance: its passages,
// and the words that look like values. first holds the words that passages begin with.
func (r *Record) marks(v string) (marks, first map[string]bool) {
	marks, first = map[string]bool{}, map[string]bool{}
	words := strings.Split(v, " ")
	for i, w := range words {
		if w = strings.Trim(w, trimmed); valueLike(w) && !r.userWrote(w) {
			marks[w] = true
		}
		if i+shingle <= len(words) {
			p := strings.Join(words[i:i+shingle], " ")
			if !r.userHolds(p) {
				marks[p], first[words[i]] = true, true
			}
		}
	}
	return marks, first
}

const trimmed = `.,;:!?'()[]{}<>`

// valueLike knows words that carry data: an address, a path, anything with a digit.
func valueLike(w string) bool { return len(w) >= 6 && strings.ContainsAny(w, "0123456789@/") }

// holds reports whether the text has one of the marks. In normal form words stand one
// blank apart, so that a passage is a piece of the text.
func holds(txt string, marks, first map[string]bool) bool {
	if len(marks) == 0 {
		return false
	}
	for at := 0; at < len(txt); {
		end := wordEnd(txt, at)
		w := txt[at:end]
		if valueLike(w) && marks[strings.Trim(w, trimmed)] {
			return true
		}
		if first[w] {
			last := end
			for n := 1; n < shingle && last < len(txt); n++ {
				last = wordEnd(txt, last+1)
			}
			if marks[txt[at:last]] {
				return true
			}
		}
		at = end + 1
	}
	return false
}

func wordEnd(s string, at int) int {
	if i := strings.IndexByte(s[at:], ' '); i >= 0 {
		return at + i
	}
	return len(s)
}

func (r *Record) userWrote(v string) bool {
	return slices.ContainsFunc(r.user, func(t *text) bool { return named(t.normal(), v) })
}

func (r *Record) userHolds(passage string) bool {
	return slices.ContainsFunc(r.user, func(t *text) bool { return strings.Contains(t.normal(), passage) })
}

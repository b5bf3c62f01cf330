package provenance

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Says reports whether a call says anything that may not leave the machine unseen: what is
// Unwritten, or what Borrows finds in words of the user's and pieces of others.
func (r *Record) Says(call agent.ToolCall, spec agent.ToolSpec) (bool, error) {
	if added, err := r.Unwritten(call, spec); err != nil || added {
		return true, err
	}
	return r.Borrows(call, spec)
}

// Unwritten reports whether an argument that does not direct the effect says something that
// the user did not write, after somebody else has spoken: a word of four letters or more, a
// number, or a day. Words that only hold others together do not count. Whose words they are instead cannot be known, as a model that follows
// an untrusted text may put it in words of its own. A time of day, which is worked out from
// others, and how many results are wanted do not count.
func (r *Record) Unwritten(call agent.ToolCall, spec agent.ToolSpec) (bool, error) {
	args, err := r.decoded(call)
	if err != nil {
		return true, err
	}
	if len(r.foreign) == 0 {
		return false, nil
	}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		role := spec.Roles[name]
		if role.Sink() {
			continue
		}
		w := walker{role: role, schema: string(spec.Schema)}
		w.walk("", args[name])
		if slices.ContainsFunc(w.leaves, func(l leaf) bool { return !r.written(l, name) }) {
			return true, nil
		}
	}
	return false, nil
}

// written reports whether the user wrote all that a leaf of an argument says.
func (r *Record) written(l leaf, arg string) bool {
	switch l.kind {
	case kindSwitch:
		return true
	case kindNumber:
		return bounds(arg) || slices.ContainsFunc(r.user, func(t *text) bool { return sameNumber(t.raw, l.value) })
	}
	if d := dayOf(l.value); d != "" {
		return r.userNamed(l.value) || slices.ContainsFunc(r.user, func(t *text) bool { return named(t.raw, d) || day(t.normal(), d) })
	}
	for _, w := range strings.Fields(Normal(l.value)) {
		if w = strings.Trim(w, trimmed); len(w) < telltale || filler[w] || clock(w) || r.userWrote(w) {
			continue
		}
		// Parts of a compound, such as check-up.
		parts := plainWords(w)
		if valueLike(w) || len(parts) < 2 || slices.ContainsFunc(parts, func(p string) bool { return len(p) >= telltale && !r.userWrote(p) }) {
			return false
		}
	}
	return true
}

// filler are words that hold others together and say nothing themselves.
var filler = set("about also been could dear each from have hello here into just more only please regards shall should some such than " +
	"thank thanks that their them then there these they this those upon very were what when which will with would your yours")

// clock knows a time of day.
func clock(w string) bool {
	h, m, ok := strings.Cut(w, ":")
	return ok && len(h) <= 2 && len(m) == 2 && digits(h) && digits(m)
}

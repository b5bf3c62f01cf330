package provenance

import (
	"maps"
	"regexp"
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
// number, four digits in whatever pieces, or a day. Words that only hold others together do not count. Whose words they are
// instead cannot be known, as a model that follows an untrusted text may put it in words of
// its own. A time of day, which is worked out from others, and how many results are wanted do
// not count.
func (r *Record) Unwritten(call agent.ToolCall, spec agent.ToolSpec) (bool, error) {
	args, err := r.decoded(call)
	if err != nil {
		return true, err
	}
	if len(r.foreign) == 0 {
		return false, nil
	}
	figures := 0 // of numbers too short to say something alone
	for _, name := range slices.Sorted(maps.Keys(args)) {
		role := spec.Roles[name]
		if role.Sink() {
			continue
		}
		w := walker{role: role, schema: string(spec.Schema)}
		w.walk("", args[name])
		for _, l := range w.leaves {
			ok, n := r.written(l, name)
			if figures += n; !ok || figures >= telltale {
				return true, nil
			}
		}
	}
	return false, nil
}

// written reports whether the user wrote all that a leaf of an argument says, but for words
// of less than four letters, and how many digits are in those.
func (r *Record) written(l leaf, arg string) (ok bool, figures int) {
	switch l.kind {
	case kindSwitch:
		return true, 0
	case kindNumber:
		return wanted(arg, l.value) || slices.ContainsFunc(r.user, func(t *text) bool { return sameNumber(t.raw, l.value) }), 0
	}
	if d := dayOf(l.value); d != "" {
		return r.userNamed(l.value) || slices.ContainsFunc(r.user, func(t *text) bool { return named(t.raw, d) || day(t.normal(), d) }), 0
	}
	for _, w := range strings.Fields(Normal(l.value)) {
		if w = strings.Trim(w, trimmed); filler[w] || clock(w) || r.userWrote(w) {
			continue
		}
		parts := []string{w}
		if more := plainWords(w); len(more) > 1 && !valueLike(w) { // a compound, such as check-up
			parts = slices.DeleteFunc(more, r.userWrote)
		}
		for _, p := range parts {
			if len(p) >= telltale {
				return false, 0
			}
			figures += countDigits(p)
		}
	}
	return true, figures
}

func countDigits(s string) (n int) {
	for i := range len(s) {
		if '0' <= s[i] && s[i] <= '9' {
			n++
		}
	}
	return n
}

// filler are words that hold others together and say nothing themselves.
var filler = set("about also been could dear each from have hello here into just more only please regards shall should some such than " +
	"thank thanks that their them then there these they this those upon very were what when which will with would your yours")

var timeOfDay = regexp.MustCompile(`^([01]?[0-9]|2[0-3]):[0-5][0-9]$`)

// clock knows a time of day.
func clock(w string) bool { return timeOfDay.MatchString(w) }

// wanted reports whether a number, by the name of its argument, says how many results are
// wanted, and no more than a person would look through.
func wanted(arg, v string) bool {
	words := nameWords(arg)
	return digits(v) && len(v) <= 3 && slices.ContainsFunc(words, func(w string) bool { return ofResults[w] }) &&
		!slices.ContainsFunc(words, func(w string) bool { return !ofResults[w] && !besideResults[w] })
}

var (
	ofResults     = set("limit max maximum page pages results top")
	besideResults = set("count hits items n num number of per rows size")
)

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
// number, a day, or more scraps than a few. Words that only hold others together do not
// count. Whose words they are instead cannot be known, as a model that follows an untrusted
// text may put it in words of its own. How many results are wanted does not count.
func (r *Record) Unwritten(call agent.ToolCall, spec agent.ToolSpec) (bool, error) {
	args, err := r.decoded(call)
	if err != nil {
		return true, err
	}
	if len(r.foreign) == 0 {
		return false, nil
	}
	var all scraps
	for _, name := range slices.Sorted(maps.Keys(args)) {
		role := spec.Roles[name]
		if role.Sink() {
			continue
		}
		w := walker{role: role, schema: string(spec.Schema)}
		w.walk("", args[name])
		for _, l := range w.leaves {
			if !r.written(l, name, &all) || all.say() {
				return true, nil
			}
		}
	}
	return false, nil
}

// scraps are what a call says in pieces that say nothing alone: words of less than four
// letters, the digits in them, and times of day, which are worked out from others.
type scraps struct{ letters, digits, times int }

// say reports whether there are so many that they may say something together.
func (s scraps) say() bool { return s.letters > 12 || s.digits >= telltale || s.times > 4 }

// written reports whether the user wrote all that a leaf of an argument says, but for
// scraps, which it adds to those there are.
func (r *Record) written(l leaf, arg string, all *scraps) bool {
	switch l.kind {
	case kindSwitch:
		return true
	case kindNumber:
		return wanted(arg, l.value) || slices.ContainsFunc(r.user, func(t *text) bool { return sameNumber(t.raw, l.value) })
	}
	if d := dayOf(l.value); d != "" {
		return r.userNamed(l.value) || slices.ContainsFunc(r.user, func(t *text) bool { return named(t.raw, d) || day(t.normal(), d) })
	}
	for _, w := range strings.Fields(Normal(l.value)) {
		if w = strings.Trim(w, trimmed); filler[w] || r.userWrote(w) {
			continue
		}
		if clock(w) {
			all.times++
			continue
		}
		parts := []string{w}
		if more := plainWords(w); len(more) > 1 && !valueLike(w) { // a compound, such as check-up
			parts = slices.DeleteFunc(more, r.userWrote)
		}
		for _, p := range parts {
			if len(p) >= telltale {
				return false
			}
			if n := countDigits(p); !filler[p] {
				all.digits += n
				all.letters += len(p) - n
			}
		}
	}
	return true
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
	"thank thanks that their them then there these they this those upon very were what when which will with would your yours " +
	"a all am an and any are as at be but by can did do for get go got had has he her hers hi him his how i if in is it " +
	"its let may me my no nor not now of off oh ok on or our out own per put so the to too up us via was way we who why yes yet you")

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

package provenance

import (
	"regexp"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// chosen reports that an untrusted text, and not the user, chose a value that selects how
// an effect turns out: a number, a day in whatever form, or a text of some length. Such a
// value directs the effect as a target does. What a call says is Unwritten's concern.
func (r *Record) chosen(l leaf, role agent.ArgRole, e agent.Effect) (agent.Origin, bool) {
	if role != agent.RoleSelector || e == agent.Pure || e == agent.Read || len(r.foreign) == 0 {
		return agent.Origin{}, false
	}
	switch {
	case l.kind == kindNumber:
		return r.theirs(func(t *text) bool { return sameNumber(t.raw, l.value) })
	case l.kind != kindText || len(l.value) < telltale:
		return agent.Origin{}, false
	}
	if d := dayOf(l.value); d != "" {
		return r.theirs(func(t *text) bool { return named(t.raw, d) || named(t.raw, l.value) || day(t.normal(), d) })
	}
	v := bare(l.value)
	return r.theirs(func(t *text) bool { return holds(t.normal(), v) })
}

// theirs is the latest untrusted text for which says holds, if it holds for none of the
// user's.
func (r *Record) theirs(says func(*text) bool) (agent.Origin, bool) {
	if slices.ContainsFunc(r.user, says) {
		return agent.Origin{}, false
	}
	for _, t := range r.foreign {
		if says(t) {
			return t.origin, true
		}
	}
	return agent.Origin{}, false
}

var dated = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2}| ?[AaPp][Mm])?)?$`)

// dayOf is the day of a date, or of a date with a time, "" if a value is neither.
func dayOf(v string) string {
	if m := dated.FindStringSubmatch(v); m != nil {
		return m[1]
	}
	return ""
}

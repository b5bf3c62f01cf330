package provenance

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// recorded finds a value in a record that the user named: a field, which says who or
// which, of the one record of a response that also holds, as a name of its own, a
// selector of the call which the user wrote. Everything else that selected must be the
// user's too, and no call up to that one may have brought the value.
// A response with several such records names none. Responses of tools that read a path or
// run a command are contents of files, not records; those of tools that reach out, or of
// which nothing is declared, are what somebody else chose to answer.
func (r *Record) recorded(v string) (agent.Origin, bool) {
	if v == "" || len(v) > 128 || strings.Count(v, " ") > 3 {
		return agent.Origin{}, false
	}
	for _, t := range r.foreign {
		if !strings.Contains(t.raw, v) {
			continue
		}
		keys := r.selectors(t.origin.CallID)
		if len(keys) == 0 {
			continue
		}
		for _, f := range matching(t.memo.entries(t.raw), keys) {
			if f.text == v && identifies(f.field) && !r.put(v, t.origin.CallID) {
				o := t.origin
				o.Source = agent.SourceUser
				return o, true
			}
		}
	}
	return agent.Origin{}, false
}

// matching is the one entry that holds a selector as a whole field, or, where none does,
// the one that holds its words in a short field. nil if there is none or several are.
func matching(all []entry, keys []string) entry {
	for _, holds := range []func(field, key string) bool{
		func(field, key string) bool { return Normal(field) == key },
		func(field, key string) bool { return short(field) && wordsIn(field, key) },
	} {
		var found []entry
		for _, e := range all {
			if slices.ContainsFunc(e, func(f value) bool {
				return slices.ContainsFunc(keys, func(k string) bool { return holds(f.text, k) })
			}) {
				found = append(found, e)
			}
		}
		if len(found) == 1 {
			return found[0]
		}
		if len(found) > 1 {
			return nil
		}
	}
	return nil
}

// short knows titles and names from prose.
func short(field string) bool { return len(field) <= 80 && len(plainWords(field)) <= 6 }

// wordsIn reports whether the words of a key stand in a row in a field, whatever marks
// are between them.
func wordsIn(field, key string) bool {
	f, k := " "+strings.Join(plainWords(field), " ")+" ", strings.Join(plainWords(key), " ")
	return k != "" && strings.Contains(f, " "+k+" ")
}

func plainWords(s string) []string {
	return strings.FieldsFunc(Normal(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// selectors are the values, in normal form, by which a call chose what it returned. nil
// unless the user wrote them all and one of them tells one thing from others.
func (r *Record) selectors(call string) []string {
	if keys, ok := r.keys[call]; ok {
		return keys
	}
	keys := r.selected(call)
	if r.keys == nil {
		r.keys = map[string][]string{}
	}
	r.keys[call] = keys
	return keys
}

func (r *Record) selected(call string) []string {
	c, ok := r.calls[call]
	if !ok || call == "" || c.spec.Effect.Rank() >= agent.Outward.Rank() {
		return nil
	}
	args, err := decode(c.call)
	if err != nil {
		return nil
	}
	var keys []string
	for name, arg := range args {
		switch c.spec.Roles[name] {
		case agent.RoleContent:
			continue
		case agent.RolePath, agent.RoleCommand:
			return nil
		}
		w := walker{role: agent.RoleSelector, schema: string(c.spec.Schema)}
		w.walk("", arg)
		for _, l := range w.leaves {
			if l.value == "" || l.kind == kindSwitch || l.kind == kindNumber && bounds(name) {
				continue
			}
			if !r.userNamed(l.value) {
				return nil
			}
			if l.kind == kindText && telling(l.value) {
				keys = append(keys, Normal(l.value))
			}
		}
	}
	return keys
}

// userNamed reports whether the user wrote a value, or the day it stands for.
func (r *Record) userNamed(v string) bool {
	return slices.ContainsFunc(r.user, func(t *text) bool { return named(t.raw, v) || day(t.normal(), v) })
}

// telling reports whether a value tells one thing from others: an address, a file, a
// name of two words. A day or a number does not, nor one word.
func telling(v string) bool {
	if _, err := time.Parse(time.DateOnly, v); err == nil {
		return false
	}
	letters := strings.ContainsFunc(v, unicode.IsLetter)
	return letters && len(v) >= 5 && (strings.ContainsAny(strings.Trim(v, " "), " @") || strings.ContainsAny(v[1:], "0123456789._-"))
}

// bounds knows arguments of reads that say how much to return, not what: the number of
// something, but not one that something has.
func bounds(name string) bool {
	words := nameWords(name)
	return slices.ContainsFunc(words, func(w string) bool { return amounts[w] || w == "number" && slices.Contains(words, "of") })
}

var amounts = set("n limit max maximum count top num size page pages results")

// nameWords are the words of an argument's name.
func nameWords(name string) []string {
	return strings.FieldsFunc(strings.ToLower(separated(name)), func(r rune) bool { return !unicode.IsLetter(r) })
}

var month = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)

// day reports whether a text in normal form names a day by its month, as in may 26th or
// 26 may. A year beside it must be the same.
func day(text, v string) bool {
	if !month.MatchString(v) {
		return false
	}
	d, err := time.Parse(time.DateOnly, v)
	if err != nil {
		return false
	}
	long := strings.ToLower(d.Month().String())
	for _, m := range []string{long, long[:3]} {
		n := strconv.Itoa(d.Day())
		for _, form := range []string{m + " " + n, n + " " + m, n + " of " + m} {
			for _, suffix := range []string{"", "st", "nd", "rd", "th"} {
				f := strings.Replace(form, n, n+suffix, 1)
				if i := strings.Index(text, f); i >= 0 && named(text, f) && sameYear(text[i+len(f):], d.Year()) {
					return true
				}
			}
		}
	}
	return false
}

var yearBehind = regexp.MustCompile(`^,? (\d{4})\b`)

func sameYear(rest string, year int) bool {
	m := yearBehind.FindStringSubmatch(rest)
	return m == nil || m[1] == strconv.Itoa(year)
}

// kind is what a leaf of an argument was before it was written as text.
type kind uint8

const (
	kindText kind = iota
	kindNumber
	kindSwitch // true, false and null
	kindName   // of a member that the model chose
)

func kindOf(v any) kind {
	switch v.(type) {
	case string:
		return kindText
	case json.Number:
		return kindNumber
	}
	return kindSwitch
}

// proposed is a call of the conversation with its tool's declaration.
type proposed struct {
	call agent.ToolCall
	spec *agent.ToolSpec
	nth  int
}

// put reports whether a value stands in the arguments of the call that a response answers,
// or of one before it. What such a response says of it may be an echo of the model.
func (r *Record) put(v, call string) bool {
	last := len(r.calls)
	if c, ok := r.calls[call]; ok {
		last = c.nth
	}
	v = bare(v)
	for _, c := range r.calls {
		args, err := decode(c.call)
		if c.nth > last || err != nil {
			continue
		}
		var w walker
		w.walk("", args)
		if slices.ContainsFunc(w.leaves, func(l leaf) bool { return l.kind != kindSwitch && holds(Normal(l.value), v) }) {
			return true
		}
	}
	return false
}

// aimless is the sink of an effectful call that has none: what directs it is that it was
// made at all. That is the user's where nobody else has spoken, where the user wrote every
// argument, or where they wrote one that is more than a word in passing.
func (r *Record) aimless(call agent.ToolCall, spec agent.ToolSpec, args map[string]any) []agent.Sink {
	if len(r.foreign) == 0 || spec.Effect == agent.Pure || spec.Effect == agent.Read {
		return nil
	}
	w := walker{role: agent.RoleContent, schema: string(spec.Schema)}
	for _, arg := range args {
		w.walk("", arg)
	}
	all, some, said := true, false, false
	for _, l := range w.leaves {
		if l.kind == kindName || l.kind == kindSwitch {
			continue
		}
		said = true
		switch {
		case l.kind == kindNumber:
			same := slices.ContainsFunc(r.user, func(t *text) bool { return sameNumber(t.raw, l.value) })
			all, some = all && same, some || same && len(l.value) > 3
		default:
			same := r.userNamed(strings.TrimSpace(l.value))
			all, some = all && same, some || same && len(l.value) > 4
		}
	}
	if some || all && said {
		return nil
	}
	return []agent.Sink{{Value: call.Tool, Role: agent.RoleTarget, Origin: agent.Origin{Source: agent.SourceModel}}}
}

package provenance

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Origin traces one value that has the given role. It is the user's, or that of a tool
// the operator trusts, only if one of their texts holds it to the byte: blanks around it
// and one pair of quotation marks may be missing there, of a path nothing but ./ before
// it, a slash behind it or a doubled one. A target is the user's also if it stands in a
// record that the user named; its origin then names the response with that record.
func (r *Record) Origin(value string, role agent.ArgRole) agent.Origin {
	switch role {
	case agent.RoleCommand:
		return r.command(value)
	case agent.RolePath:
		return r.path(value)
	}
	if o, ok := r.trusted(unquoted(value)); ok {
		return o
	}
	if role == agent.RoleTarget {
		if o, ok := r.recorded(value); ok {
			return o
		}
	}
	return r.foreignOrigin(bare(value))
}

// origin is Origin of a leaf. A number is the user's also where they wrote the same one
// with other digits behind its point or with commas between its thousands.
func (r *Record) origin(l leaf, role agent.ArgRole) agent.Origin {
	o := r.Origin(l.value, role)
	if l.kind == kindNumber && !o.Trusted() && slices.ContainsFunc(r.user, func(t *text) bool { return sameNumber(t.raw, l.value) }) {
		return agent.Origin{Source: agent.SourceUser}
	}
	return o
}

// path traces a path. One that climbs means what links make of it, and has no other
// spelling; one that begins or ends in a blank, or holds a control character, is a text
// cut wrongly and not what the user named.
func (r *Record) path(value string) agent.Origin {
	if strings.TrimSpace(value) != value || strings.ContainsFunc(value, unicode.IsControl) {
		return r.foreignOrigin(bare(value))
	}
	spellings := []string{value}
	if p := path.Clean(value); p != "." && !strings.Contains(p, "..") && !strings.Contains(value, "..") {
		spellings = append(spellings, p, "./"+p, p+"/")
	}
	if o, ok := r.trusted(spellings...); ok {
		return o
	}
	return r.foreignOrigin(bare(value))
}

// trusted finds one of the values, to the byte, in what the user or a trusted tool wrote,
// the latter unless a call brought it there.
func (r *Record) trusted(values ...string) (agent.Origin, bool) {
	if slices.ContainsFunc(values, func(v string) bool { return slices.Contains(r.wrote, v) }) {
		return agent.Origin{Source: agent.SourceUser}, true
	}
	for _, t := range r.user {
		if slices.ContainsFunc(values, func(v string) bool { return named(t.raw, v) }) {
			return agent.Origin{Source: agent.SourceUser}, true
		}
	}
	for _, t := range r.vouched {
		if slices.ContainsFunc(values, func(v string) bool { return named(t.raw, v) && !r.put(v, t.origin.CallID) }) {
			return t.origin, true
		}
	}
	return agent.Origin{}, false
}

// unquoted takes blanks and one pair of quotation marks off a value.
func unquoted(s string) string {
	s = strings.Trim(s, blanks)
	if n := len(s); n >= 2 && s[0] == s[n-1] && strings.IndexByte("'\"`", s[0]) >= 0 {
		return s[1 : n-1]
	}
	return s
}

const blanks = " \t"

// foreignOrigin finds the latest untrusted text that holds v.
func (r *Record) foreignOrigin(v string) agent.Origin {
	for _, t := range r.foreign {
		if holds(t.normal(), v) {
			return t.origin
		}
	}
	return agent.Origin{Source: agent.SourceModel}
}

// holds reports whether an untrusted text holds v, both in normal form. Here a part of a
// word is enough, unless v is so short that it stands everywhere.
func holds(text, v string) bool {
	if len(v) >= 4 {
		return strings.Contains(text, v)
	}
	return named(text, v)
}

// command traces a command line. It is the user's if the user wrote all of it, or every
// word that says what it is aimed at; else the worst origin among those words.
func (r *Record) command(line string) agent.Origin {
	if o, ok := r.trusted(strings.Trim(line, blanks)); ok && o.Source == agent.SourceUser {
		return o
	}
	v := bare(line)
	c := ParseCommand(line)
	if !c.Reads() { // a tool that spelled out what to run chose it, whoever named its words
		if o := r.foreignOrigin(v); o.Source != agent.SourceModel {
			return o
		}
	}
	if c.Opaque {
		return r.pieces(v)
	}
	worst := agent.Origin{Source: agent.SourceUser}
	for _, w := range c.Words {
		if w.idle() {
			continue
		}
		o := r.Origin(w.Text, agent.RolePath)
		if o.Source < worst.Source && worst.Source != agent.SourceTool || o.Source == agent.SourceTool {
			worst = o
		}
	}
	return worst
}

// pieces traces a command that could not be split: to a tool if one of its longer words
// stands in a response, else to the model.
func (r *Record) pieces(v string) agent.Origin {
	for _, w := range strings.FieldsFunc(v, func(c rune) bool { return strings.ContainsRune(" ;|&<>()'$", c) }) {
		if o := r.Origin(w, agent.RoleTarget); len(w) >= 4 && o.Source <= agent.SourceTool && o.Source != agent.SourceModel {
			return o
		}
	}
	return agent.Origin{Source: agent.SourceModel}
}

package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// slots are values for the places of a template.
type slots map[string]string

// expand chooses among the alternatives of a template: "(a|b|)" draws one of its
// parts, and parts may hold alternatives themselves.
func (s *source) expand(t string) string {
	var b strings.Builder
	for i := 0; i < len(t); {
		if t[i] != '(' {
			b.WriteByte(t[i])
			i++
			continue
		}
		end, parts := alternatives(t, i)
		if len(parts) < 2 { // a parenthesis that means itself
			b.WriteString("(" + s.expand(parts[0]) + ")")
		} else {
			b.WriteString(s.expand(one(s, parts)))
		}
		i = end
	}
	return b.String()
}

// alternatives splits the group that opens at t[i]. It returns the position after the
// group and its parts.
func alternatives(t string, i int) (int, []string) {
	var parts []string
	depth, from := 0, i+1
	for j := i; j < len(t); j++ {
		switch t[j] {
		case '(':
			depth++
		case '|':
			if depth == 1 {
				parts, from = append(parts, t[from:j]), j+1
			}
		case ')':
			if depth--; depth == 0 {
				return j + 1, append(parts, t[from:j])
			}
		}
	}
	panic("internal error: open group in template " + t)
}

// cut splits a line at a "|" that stands outside every group.
func cut(t string) (before, after string) {
	depth := 0
	for i := range len(t) {
		switch t[i] {
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth == 0 {
				return t[:i], t[i+1:]
			}
		}
	}
	return t, ""
}

// fill expands a template and puts values in its places. Places that v does not name
// are drawn afresh, each time they occur.
func (s *source) fill(t string, v slots) string {
	t = tidy(s.expand(t))
	var b strings.Builder
	for {
		i := strings.IndexByte(t, '{')
		if i < 0 {
			return b.String() + t
		}
		j := strings.IndexByte(t[i:], '}')
		if j < 0 {
			return b.String() + t
		}
		name := t[i+1 : i+j]
		b.WriteString(t[:i])
		if x, ok := v[name]; ok {
			b.WriteString(x)
		} else if isName(name) {
			b.WriteString(s.place(name))
		} else {
			b.WriteString(t[i : i+j+1])
		}
		t = t[i+j+1:]
	}
}

// tidy removes the blanks that empty alternatives leave, but for those at the ends,
// where a prefix or suffix may need them.
func tidy(t string) string {
	for strings.Contains(t, "  ") {
		t = strings.ReplaceAll(t, "  ", " ")
	}
	return strings.NewReplacer(" ,", ",", " ;", ";", " .", ".", " ?", "?").Replace(t)
}

// place draws a value for a common place of a template.
func (s *source) place(name string) string {
	switch name {
	case "w":
		return s.word0()
	case "n":
		return s.person()
	case "x":
		return s.number0()
	case "d":
		return s.folder()
	case "f", "f2":
		return s.pick(s.base)
	case "m":
		return s.mail()
	case "u":
		return s.url()
	case "date":
		return s.date()
	case "time":
		return s.clock()
	case "code":
		return one(s, []string{"200", "301", "404", "500", "503"})
	case "s":
		return s.fill(s.line("note"), nil)
	case "day", "month", "adj", "city", "country", "lang", "lang2":
		return one(s, s.p[name])
	}
	panic(fmt.Sprintf("internal error: no value for {%s}", name))
}

// request builds a user's request from a line of a section. The line's first
// character says what may stand around it: "?" a question or statement, "!" nothing,
// otherwise it is an imperative.
func (s *source) request(section string, v slots) string {
	return s.dress(s.line(section), v)
}

// dress fills a template and adds what people put around a request.
func (s *source) dress(t string, v slots) string {
	kind := "imp"
	switch t[0] {
	case '!':
		kind, t = "", t[1:]
	case '?':
		kind, t = "ask", t[1:]
	}
	t = strings.TrimSpace(s.expand(t))
	if f, ok := v["f"]; ok && led.MatchString(t) { // "the file my file a.txt"
		v["f"] = leads.ReplaceAllString(f, "")
	}
	fixed := startsWithValue(t, v)
	body := s.fill(t, v)
	bare := kind == "" || s.chance(0.4)
	if !bare && !fixed && s.chance(0.6) {
		body = s.fill(s.line(kind+".pre"), nil) + body
	}
	if !bare && s.chance(0.25) {
		if suffix := s.fill(s.line(kind+".suf"), nil); mayFollow(t, body, suffix) {
			body += suffix
		}
	}
	if !fixed {
		body = s.capital(body)
	}
	last := body[len(body)-1]
	switch {
	case strings.HasSuffix(t, "{x}"): // a full stop would belong to the text
	case last == '?' || last == '.' || last == '!':
	case kind == "ask" && s.chance(0.6):
		body += "?"
	case kind == "imp" && s.chance(0.35):
		body += one(s, []string{".", ".", ".", "!"})
	}
	return body
}

// led matches a template whose file has words before it, and leads those that a file
// brings along.
var (
	led   = regexp.MustCompile(`\b(file|note|document|old|unused|outdated|obsolete|stale|temporary|extra|silly|empty|ancient|leftover) \{f\}`)
	leads = regexp.MustCompile(`^(the file|my file|file|my|our|the) `)
)

// startsWithValue reports whether a template begins with a value whose case must stay.
// A file's name keeps its case by itself, and words of ours may lead a file or a folder,
// as in "the folder docs".
func startsWithValue(t string, v slots) bool {
	if !strings.HasPrefix(t, "{") {
		return false
	}
	name := t[1:strings.IndexByte(t, '}')]
	return name != "f" && (name != "d" || !strings.Contains(v[name], " "))
}

// mayFollow reports whether a suffix may stand behind a body made from a template: where
// it ends in a value without quotes, words would read as part of that value.
func mayFollow(t, body, suffix string) bool {
	if strings.HasSuffix(t, "{x}") || strings.HasSuffix(t, "{t}") {
		return false
	}
	if strings.ContainsAny(body[len(body)-1:], "\"'`") {
		return true
	}
	for _, open := range []string{"{c}", "{q}", "{w}", "{k}"} {
		if strings.HasSuffix(t, open) {
			return !strings.HasPrefix(suffix, " ")
		}
	}
	return true
}

// capital makes the first letter large most of the time. A text that starts with a
// name of a file keeps it.
func (s *source) capital(t string) string {
	first, _, _ := strings.Cut(t, " ")
	if strings.ContainsAny(first, "./_-0123456789\"'`") || !s.chance(0.62) || first == "" {
		return t
	}
	return upper(t)
}

// upper makes the first letter of a text large.
func upper(t string) string {
	r, n := utf8.DecodeRuneInString(t)
	return string(unicode.ToUpper(r)) + t[n:]
}

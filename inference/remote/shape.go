package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// errShape means that the documents of a grammar have no JSON Schema that is known here.
var errShape = errors.New("the grammar cannot be sent to a server: it is not a JSON document of fixed members")

// schemaOf returns the JSON Schema of the documents of a GBNF grammar: objects of fixed
// members in order, lists, strings, words to choose from. Free text keeps its bounds of
// length, and may hold any character; all else is as strict as the grammar, but for white
// space between the marks of JSON.
func schemaOf(grammar string) (string, error) {
	rules, err := parseGrammar(grammar)
	if err != nil {
		return "", err
	}
	r := &reader{rules: rules}
	s, err := r.whole(ref("root"), 0)
	if err != nil {
		return "", err
	}
	return s.json(), nil
}

// shape is a schema as text, or the values there are to choose from.
type shape struct {
	schema string
	words  []string // as JSON
}

func (s shape) json() string {
	if s.words == nil {
		return s.schema
	}
	return `{"type":"string","enum":[` + strings.Join(s.words, ",") + `]}`
}

// part is a character that every document has, or a node that stands for several.
type part struct {
	char rune
	node node
}

// reader reads JSON off the flattened parts of a grammar.
type reader struct {
	rules map[string]node
	parts []part
	depth int
}

// flatten writes a node as parts. Rules without a choice are written out.
func (r *reader) flatten(n node, depth int) ([]part, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: it is nested deeper than %d", errShape, maxNesting)
	}
	switch n := n.(type) {
	case text:
		var list []part
		for _, c := range string(n) {
			list = append(list, part{char: c})
		}
		return list, nil
	case sequence:
		var list []part
		for _, k := range n {
			more, err := r.flatten(k, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, more...)
		}
		return list, nil
	case ref:
		rule, ok := r.rules[string(n)]
		if !ok {
			return nil, fmt.Errorf("%w: it has no rule %s", errShape, string(n))
		}
		return r.flatten(rule, depth+1)
	}
	return []part{{node: n}}, nil
}

// whole reads a node that is one JSON value and nothing else.
func (r *reader) whole(n node, depth int) (shape, error) {
	parts, err := r.flatten(n, depth)
	if err != nil {
		return shape{}, err
	}
	sub := &reader{rules: r.rules, parts: parts, depth: depth}
	s, err := sub.value()
	if err != nil {
		return shape{}, err
	}
	if len(sub.parts) > 0 {
		return shape{}, errShape
	}
	return s, nil
}

// next passes over spaces and returns the next part, the zero part at the end.
func (r *reader) next() part {
	for len(r.parts) > 0 && r.parts[0].char != 0 && strings.ContainsRune(" \t\n\r", r.parts[0].char) {
		r.parts = r.parts[1:]
	}
	if len(r.parts) == 0 {
		return part{}
	}
	return r.parts[0]
}

func (r *reader) mark(c rune) bool {
	if r.next().char != c {
		return false
	}
	r.parts = r.parts[1:]
	return true
}

func (r *reader) value() (shape, error) {
	switch p := r.next(); {
	case p.char == '{':
		return r.object()
	case p.char == '[':
		return r.list()
	case p.char == '"':
		return r.str()
	case p.node != nil:
		c, ok := p.node.(choice)
		if !ok {
			return shape{}, errShape
		}
		r.parts = r.parts[1:]
		var s shape
		for _, k := range c {
			one, err := r.whole(k, r.depth+1)
			if err != nil {
				return shape{}, err
			}
			if one.words == nil {
				return shape{}, errShape
			}
			s.words = append(s.words, one.words...)
		}
		return s, nil
	}
	return shape{}, errShape
}

func (r *reader) object() (shape, error) {
	r.mark('{')
	var names, members []string
	for !r.mark('}') {
		if len(names) > 0 && !r.mark(',') || r.next().char != '"' {
			return shape{}, errShape
		}
		key, err := r.str()
		if err != nil || len(key.words) != 1 || !r.mark(':') {
			return shape{}, errShape
		}
		v, err := r.value()
		if err != nil {
			return shape{}, err
		}
		names = append(names, key.words[0])
		members = append(members, key.words[0]+":"+v.json())
	}
	return shape{schema: `{"type":"object","properties":{` + strings.Join(members, ",") + `},"required":[` +
		strings.Join(names, ",") + `],"additionalProperties":false}`}, nil
}

// str reads a string: fixed, free between bounds, or one of several words.
func (r *reader) str() (shape, error) {
	r.mark('"')
	var fixed strings.Builder
	var inside node
	for n := 0; ; n++ {
		if len(r.parts) == 0 || inside != nil && r.parts[0].char != '"' {
			return shape{}, errShape
		}
		p := r.parts[0]
		r.parts = r.parts[1:]
		if p.char == '"' {
			break
		}
		if p.node != nil {
			if n > 0 {
				return shape{}, errShape
			}
			inside = p.node
			continue
		}
		fixed.WriteRune(p.char)
		if p.char == '\\' && len(r.parts) > 0 {
			fixed.WriteRune(r.parts[0].char)
			r.parts = r.parts[1:]
		}
	}
	switch k := inside.(type) {
	case nil:
		return words(fixed.String())
	case choice:
		var all []string
		for _, w := range k {
			t, ok := w.(sequence)
			if !ok || len(t) != 1 {
				return shape{}, errShape
			}
			word, ok := t[0].(text)
			if !ok {
				return shape{}, errShape
			}
			all = append(all, string(word))
		}
		return words(all...)
	case repeat:
		return r.free(k)
	}
	return shape{}, errShape
}

// free is text of any characters but some.
func (r *reader) free(k repeat) (shape, error) {
	of, err := r.flatten(k.of, r.depth)
	if err != nil || len(of) != 1 {
		return shape{}, errShape
	}
	if c, ok := of[0].node.(class); !ok || !c.not {
		return shape{}, errShape
	}
	s := fmt.Sprintf(`{"type":"string","minLength":%d`, k.min)
	if k.max >= 0 {
		s += fmt.Sprintf(`,"maxLength":%d`, k.max)
	}
	return shape{schema: s + "}"}, nil
}

// words are strings as they stand between the quotes of a JSON text.
func words(inner ...string) (shape, error) {
	s := shape{words: []string{}}
	for _, w := range inner {
		q := `"` + w + `"`
		if !json.Valid([]byte(q)) {
			return shape{}, errShape
		}
		s.words = append(s.words, q)
	}
	return s, nil
}

// list reads an empty list, or an optional one of values of one kind: (v (", " v){0,n})?
func (r *reader) list() (shape, error) {
	r.mark('[')
	if r.mark(']') {
		return shape{schema: `{"type":"array","items":{"type":"string"},"maxItems":0}`}, nil
	}
	opt, ok := r.next().node.(repeat)
	if !ok || opt.min != 0 || opt.max != 1 {
		return shape{}, errShape
	}
	r.parts = r.parts[1:]
	if !r.mark(']') {
		return shape{}, errShape
	}
	parts, err := r.flatten(opt.of, r.depth)
	if err != nil {
		return shape{}, err
	}
	sub := &reader{rules: r.rules, parts: parts, depth: r.depth + 1}
	first, err := sub.value()
	if err != nil {
		return shape{}, err
	}
	more, ok := sub.next().node.(repeat)
	if !ok || more.min != 0 || len(sub.parts) != 1 {
		return shape{}, errShape
	}
	rest := &reader{rules: r.rules, depth: r.depth + 1}
	if rest.parts, err = r.flatten(more.of, r.depth); err != nil {
		return shape{}, err
	}
	if !rest.mark(',') {
		return shape{}, errShape
	}
	again, err := rest.value()
	if err != nil || len(rest.parts) > 0 || again.json() != first.json() {
		return shape{}, errShape
	}
	s := `{"type":"array","items":` + first.json()
	if more.max >= 0 {
		s += fmt.Sprintf(`,"maxItems":%d`, more.max+1)
	}
	return shape{schema: s + "}"}, nil
}

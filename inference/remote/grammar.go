package remote

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// node is a part of a GBNF grammar: text, class, ref, sequence, choice or repeat.
type node any

type (
	text     string
	class    struct{ not bool } // which characters it holds is not kept
	ref      string
	sequence []node
	choice   []node
	repeat   struct {
		of       node
		min, max int // max is -1 without bound
	}
)

// parser reads a grammar in the notation of llama.cpp's grammars/README.md.
type parser struct {
	src string
	pos int
	err error
}

const maxNesting = 16

// parseGrammar returns the rules of a grammar by name.
func parseGrammar(src string) (map[string]node, error) {
	p := &parser{src: src}
	rules := map[string]node{}
	for p.space(true); p.err == nil && p.pos < len(p.src); p.space(true) {
		name := p.name()
		p.space(false)
		if p.err == nil && !p.take("::=") {
			p.fail("::= is missing")
		}
		p.space(true)
		body := p.choice(0)
		p.space(false)
		if p.err == nil && p.pos < len(p.src) && p.src[p.pos] != '\n' {
			p.fail("unexpected text")
		}
		if _, twice := rules[name]; twice {
			p.fail("rule %s is there twice", name)
		}
		rules[name] = body
	}
	return rules, p.err
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("read grammar at byte %d: %s", p.pos, fmt.Sprintf(format, args...))
	}
}

// space passes over blanks and comments, over the ends of lines too if lines is set.
func (p *parser) space(lines bool) {
	for p.pos < len(p.src) {
		switch c := p.src[p.pos]; {
		case c == '#':
			for p.pos < len(p.src) && p.src[p.pos] != '\n' {
				p.pos++
			}
		case c == ' ', c == '\t', lines && (c == '\n' || c == '\r'):
			p.pos++
		default:
			return
		}
	}
}

func (p *parser) take(s string) bool {
	ok := strings.HasPrefix(p.src[p.pos:], s)
	if ok {
		p.pos += len(s)
	}
	return ok
}

func (p *parser) peek() byte {
	if p.err != nil || p.pos >= len(p.src) {
		return 0
	}
	return p.src[p.pos]
}

func (p *parser) name() string {
	start := p.pos
	for c := p.peek(); c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'; c = p.peek() {
		p.pos++
	}
	if p.pos == start {
		p.fail("a name is missing")
	}
	return p.src[start:p.pos]
}

func (p *parser) choice(depth int) node {
	if depth > maxNesting {
		p.fail("nested deeper than %d", maxNesting)
		return nil
	}
	list := choice{p.sequence(depth)}
	for p.space(depth > 0); p.err == nil && p.take("|"); p.space(depth > 0) {
		p.space(true)
		list = append(list, p.sequence(depth))
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func (p *parser) sequence(depth int) node {
	var list sequence
	for {
		p.space(depth > 0)
		var n node
		switch c := p.peek(); {
		case c == '"':
			n = p.literal()
		case c == '[':
			n = p.class()
		case c == '(':
			p.pos++
			n = p.choice(depth + 1)
			p.space(true)
			if p.err == nil && !p.take(")") {
				p.fail(") is missing")
			}
		case c != 0 && strings.IndexByte("|)\n\r", c) < 0:
			n = ref(p.name())
		default:
			return list
		}
		if p.err != nil {
			return list
		}
		list = append(list, p.repeats(n))
	}
}

// repeats reads what may follow an item: * + ? {n} {n,} {n,m}.
func (p *parser) repeats(n node) node {
	switch p.peek() {
	case '*':
		p.pos++
		return repeat{n, 0, -1}
	case '+':
		p.pos++
		return repeat{n, 1, -1}
	case '?':
		p.pos++
		return repeat{n, 0, 1}
	case '{':
		body, _, ok := strings.Cut(p.src[p.pos+1:], "}")
		low, high, ranged := strings.Cut(body, ",")
		least, err := strconv.Atoi(strings.TrimSpace(low))
		most := least
		if ranged && strings.TrimSpace(high) == "" {
			most = -1
		} else if ranged && err == nil {
			most, err = strconv.Atoi(strings.TrimSpace(high))
		}
		if !ok || err != nil || least < 0 || most >= 0 && most < least {
			p.fail("bad repetition")
			return n
		}
		p.pos += len(body) + 2
		return repeat{n, least, most}
	}
	return n
}

func (p *parser) literal() node {
	p.pos++
	var b strings.Builder
	for c := p.peek(); c != '"'; c = p.peek() {
		if c == 0 || c == '\n' {
			p.fail("a literal does not end")
			return nil
		}
		b.WriteRune(p.char())
	}
	p.pos++
	return text(b.String())
}

func (p *parser) class() node {
	p.pos++
	c := class{not: p.take("^")}
	for k := p.peek(); k != ']'; k = p.peek() {
		if k == 0 || k == '\n' {
			p.fail("a class does not end")
			return nil
		}
		p.char()
	}
	p.pos++
	return c
}

var escapes = map[byte]rune{'n': '\n', 't': '\t', 'r': '\r', '"': '"', '\\': '\\', '[': '[', ']': ']'}
var escapeDigits = map[byte]int{'x': 2, 'u': 4, 'U': 8}

// char reads one character, escaped or not.
func (p *parser) char() rune {
	if p.src[p.pos] != '\\' {
		r, n := utf8.DecodeRuneInString(p.src[p.pos:])
		p.pos += n
		return r
	}
	if p.pos+1 >= len(p.src) {
		p.fail("an escape does not end")
		return 0
	}
	c := p.src[p.pos+1]
	p.pos += 2
	if r, ok := escapes[c]; ok {
		return r
	}
	n := escapeDigits[c]
	if n == 0 || p.pos+n > len(p.src) {
		p.fail("unknown escape")
		return 0
	}
	v, err := strconv.ParseUint(p.src[p.pos:p.pos+n], 16, 32)
	if err != nil {
		p.fail("unknown escape")
	}
	p.pos += n
	return rune(v)
}

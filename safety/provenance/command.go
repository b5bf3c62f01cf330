package provenance

import "strings"

// Command is a shell command line, split far enough to say which of its words direct
// it. It is not a shell parser: what it does not understand makes it Opaque, and an
// opaque command is nobody's but whoever wrote it as a whole.
type Command struct {
	Words  []Word
	Opaque bool // expansions, substitutions, groups, background jobs, comments
	Writes bool // redirects output to a file
}

// Word is one word of a command line, quotation marks removed.
type Word struct {
	Text   string
	Verb   string // the first word of the simple command this one belongs to
	Part   int    // which simple command of the line this one belongs to, from 0
	Target bool   // a file that output is redirected to
	Append bool   // a Target that keeps what it held
	Input  bool   // a file that input is redirected from
	Loose  bool   // the shell may put something else in its place: a pattern, a tilde
}

// ParseCommand splits a command line. It never fails: what cannot be read is Opaque.
func ParseCommand(line string) Command {
	s := splitter{line: line, verb: true}
	for s.at < len(s.line) && !s.out.Opaque {
		s.next()
	}
	s.flush()
	if len(s.out.Words) == 0 || s.target || s.input {
		s.out.Opaque = true
	}
	return s.out
}

type splitter struct {
	line   string
	at     int
	word   strings.Builder
	open   bool   // a word has begun
	verb   bool   // the next word is the name of a command
	name   string // of the simple command being read
	target bool   // the next word is where output goes
	append bool   // it is added to what is there
	input  bool   // the next word is where input comes from
	loose  bool   // the word has begun and holds a pattern or a tilde
	quotes bool   // the word has begun and holds quotation marks
	part   int
	out    Command
}

func (s *splitter) next() {
	c := s.line[s.at]
	s.at++
	switch c {
	case ' ', '\t':
		s.flush()
	case '\n', ';':
		s.endSimple()
	case '|':
		s.skip('|')
		s.endSimple()
	case '&':
		if !s.skip('&') {
			s.out.Opaque = true
		}
		s.endSimple()
	case '<':
		s.flush()
		if s.target || s.input || s.at < len(s.line) && strings.IndexByte("<(&>", s.line[s.at]) >= 0 {
			s.out.Opaque = true
		}
		s.input = true
	case '>':
		s.redirect()
	case '\'', '"':
		s.quoted(c)
	case '$', '`', '\\', '(', ')':
		s.out.Opaque = true
	case '*', '?', '[', '~':
		s.add(c)
		s.loose = true
	case '#', '{', '}', '!':
		if !s.open || c == '{' { // a comment, a group, brace expansion, a negation
			s.out.Opaque = true
		}
		s.add(c)
	default:
		if c < ' ' || c == 0x7F {
			s.out.Opaque = true
		}
		s.add(c)
	}
}

func (s *splitter) add(c byte) {
	s.open = true
	s.word.WriteByte(c)
}

// skip consumes c if it comes next.
func (s *splitter) skip(c byte) bool {
	if s.at < len(s.line) && s.line[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *splitter) quoted(q byte) {
	i := strings.IndexByte(s.line[s.at:], q)
	if i < 0 {
		s.out.Opaque = true
		return
	}
	in := s.line[s.at : s.at+i]
	if q == '"' && strings.ContainsAny(in, "$`\\") {
		s.out.Opaque = true
	}
	s.open, s.quotes = true, true
	s.word.WriteString(in)
	s.at += i + 1
}

// redirect reads what follows a >. A copy of a descriptor (2>&1) writes nowhere new; a
// longer word behind >& may name a file.
func (s *splitter) redirect() {
	if n := s.word.String(); s.open && !s.quotes && (n == "1" || n == "2") {
		s.word.Reset() // the number of a descriptor, not a word
		s.open = false
	}
	s.flush()
	if s.target || s.input {
		s.out.Opaque = true
	}
	s.append = s.skip('>')
	if s.skip('&') {
		if s.append || !s.skip('1') && !s.skip('2') || s.at < len(s.line) && strings.IndexByte(" \t\n;|&<>", s.line[s.at]) < 0 {
			s.out.Opaque = true
		}
		return
	}
	if s.at < len(s.line) && (s.line[s.at] == '(' || s.line[s.at] == '|') {
		s.out.Opaque = true
	}
	s.target = true
}

func (s *splitter) flush() {
	if !s.open {
		return
	}
	w := Word{Text: s.word.String(), Part: s.part, Target: s.target, Append: s.target && s.append, Input: s.input, Loose: s.loose}
	s.word.Reset()
	s.open, s.loose, s.quotes = false, false, false
	switch {
	case s.target:
		s.target = false
		s.out.Writes = s.out.Writes || w.Text != null
	case s.input:
		s.input = false
	case s.verb:
		s.name, s.verb = w.Text, false
	}
	w.Verb = s.name
	s.out.Words = append(s.out.Words, w)
}

func (s *splitter) endSimple() {
	s.flush()
	if s.target || s.input {
		s.out.Opaque = true // a redirection with nothing behind it
	}
	s.verb, s.name = true, ""
	s.part++
}

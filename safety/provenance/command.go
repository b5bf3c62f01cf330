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
	Target bool   // a file that output is redirected to
}

// ParseCommand splits a command line. It never fails: what cannot be read is Opaque.
func ParseCommand(line string) Command {
	s := splitter{line: line, verb: true}
	for s.at < len(s.line) && !s.out.Opaque {
		s.next()
	}
	s.flush()
	if len(s.out.Words) == 0 || s.target {
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
		if s.at < len(s.line) && strings.IndexByte("<(&>", s.line[s.at]) >= 0 {
			s.out.Opaque = true
		}
	case '>':
		s.redirect()
	case '\'', '"':
		s.quoted(c)
	case '$', '`', '\\', '(', ')', '\r', 0:
		s.out.Opaque = true
	case '#', '{', '}', '!':
		if !s.open || c == '{' { // a comment, a group, brace expansion, a negation
			s.out.Opaque = true
		}
		s.add(c)
	default:
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
	s.open = true
	s.word.WriteString(in)
	s.at += i + 1
}

// redirect reads what follows a >. A copy of a descriptor (2>&1) writes nowhere new.
func (s *splitter) redirect() {
	if n := s.word.String(); s.open && (n == "1" || n == "2") {
		s.word.Reset() // the number of a descriptor, not a word
		s.open = false
	}
	s.flush()
	s.skip('>')
	if s.skip('&') {
		if !s.skip('1') && !s.skip('2') {
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
	w := Word{Text: s.word.String(), Target: s.target}
	s.word.Reset()
	s.open = false
	switch {
	case s.target:
		s.target = false
		w.Verb = s.name
		s.out.Writes = s.out.Writes || w.Text != "/dev/null"
	case s.verb:
		s.name, s.verb = w.Text, false
		w.Verb = s.name
	default:
		w.Verb = s.name
	}
	s.out.Words = append(s.out.Words, w)
}

func (s *splitter) endSimple() {
	s.flush()
	if s.target {
		s.out.Opaque = true // > with nothing behind it
	}
	s.verb, s.name = true, ""
}

// readers only read what they are pointed at, whatever their arguments: none of them
// has an option that writes a file or starts a program.
var readers = set("basename cat cd cmp cut dirname du echo false grep head ls md5sum nl printf pwd " +
	"realpath seq sha256sum stat tail tr true wc")

// plain do what they say with the operands they are given, and no more.
var plain = set("basename cat cd cmp cp cut df diff dirname du echo false grep head ls md5sum mkdir mv nl " +
	"printf pwd realpath seq sha256sum sort stat tail touch tr true uniq wc")

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// Reads reports whether the command is known to do nothing but read.
func (c Command) Reads() bool {
	if c.Opaque || c.Writes {
		return false
	}
	for _, w := range c.Words {
		if !w.Target && !readers[w.Verb] {
			return false
		}
	}
	return true
}

// idle reports whether the word says nothing about what the command is aimed at: the
// name of a plain command, or a simple flag or count of one.
func (w Word) idle() bool {
	switch {
	case !plain[w.Verb]:
		return false
	case w.Target:
		return w.Text == "/dev/null"
	}
	return w.Text == w.Verb || simpleFlag(w.Text) || len(w.Text) <= 6 && digits(w.Text)
}

// simpleFlag knows -la, -n5, -20 and --long-name; a flag that carries a value does not
// pass.
func simpleFlag(s string) bool {
	if long, ok := strings.CutPrefix(s, "--"); ok {
		return long != "" && strings.Trim(long, "abcdefghijklmnopqrstuvwxyz-") == ""
	}
	short, ok := strings.CutPrefix(s, "-")
	if !ok || short == "" {
		return false
	}
	letters := strings.TrimRight(short, "0123456789")
	if len(letters) == len(short) {
		return len(letters) <= 3 && alphabetic(letters)
	}
	return len(letters) <= 1 && alphabetic(letters)
}

func alphabetic(s string) bool {
	return strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz") == ""
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

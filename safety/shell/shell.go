// Package shell takes a shell command line apart: its simple commands, what they read
// and write by redirection, and the dangers that are known by name.
//
// It is for written rules and for whoever is asked about a command. It runs nothing,
// expands nothing, and allows nothing: a command in which it finds no danger is not
// thereby harmless. What only a running shell could tell is marked as such. A line that
// it cannot parse is an error, and callers count it as the worst. The package is pure
// and safe for concurrent use.
package shell

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Command is one simple command of a line.
type Command struct {
	Name   string   // "" if only the shell can tell
	Words  []string // that follow the name; "" stands for one that only the shell can tell
	Plain  bool     // name and words are all literal, without patterns
	Writes []string // files that output is redirected to
	Reads  []string // files that input comes from
	Sets   []string // variables that are set for it, or for all that follow where it has no name
	Nested bool     // inside a substitution, a function or the background
	Piped  bool     // its input comes from the command before it
}

// Bounds of a line.
const (
	maxLine     = 1 << 18 // bytes
	maxCommands = 1024
	maxNesting  = 200 // brackets and quotation marks, against deep recursion
)

// ErrLine means that a line cannot be taken apart.
var ErrLine = errors.New("not a shell line that can be read")

// Parse takes a line for a POSIX shell apart, in the order the commands are written.
func Parse(line string) ([]Command, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrLine, len(line), maxLine)
	}
	if n := strings.Count(line, "(") + strings.Count(line, "{") + strings.Count(line, "`"); n > maxNesting {
		return nil, fmt.Errorf("%w: %d openings, at most %d", ErrLine, n, maxNesting)
	}
	if strings.ContainsRune(line, 0) || strings.ContainsRune(line, '\r') {
		return nil, fmt.Errorf("%w: holds a NUL or a carriage return", ErrLine)
	}
	f, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrLine, err)
	}
	r := reader{}
	for _, s := range f.Stmts {
		r.stmt(s, false, false)
	}
	if len(r.out) > maxCommands {
		return nil, fmt.Errorf("%w: %d commands, at most %d", ErrLine, len(r.out), maxCommands)
	}
	return r.out, nil
}

// reader collects the simple commands of a syntax tree.
type reader struct{ out []Command }

// stmt reads one statement and everything within it.
func (r *reader) stmt(s *syntax.Stmt, nested, piped bool) {
	nested = nested || s.Background || s.Coprocess
	switch c := s.Cmd.(type) {
	case *syntax.CallExpr:
		r.simple(c, s.Redirs, nested, piped)
		return
	case *syntax.BinaryCmd:
		r.redirects(s.Redirs, nested)
		r.stmt(c.X, nested, piped)
		r.stmt(c.Y, nested, c.Op == syntax.Pipe || c.Op == syntax.PipeAll)
		return
	case *syntax.Block:
		r.redirects(s.Redirs, nested)
		for _, in := range c.Stmts {
			r.stmt(in, nested, piped)
		}
		return
	case nil:
		r.redirects(s.Redirs, nested)
		return
	}
	r.redirects(s.Redirs, nested)
	r.within(s.Cmd, true, piped)
}

// within reads every statement below a node that is not a list of statements itself.
func (r *reader) within(n syntax.Node, nested, piped bool) {
	syntax.Walk(n, func(n syntax.Node) bool {
		if s, ok := n.(*syntax.Stmt); ok {
			r.stmt(s, nested, piped)
			return false
		}
		return true
	})
}

// redirects notes redirections that belong to no simple command.
func (r *reader) redirects(list []*syntax.Redirect, nested bool) {
	if len(list) > 0 {
		r.simple(&syntax.CallExpr{}, list, nested, false)
	}
}

// simple notes one simple command, then what its words run.
func (r *reader) simple(c *syntax.CallExpr, redirs []*syntax.Redirect, nested, piped bool) {
	out := Command{Plain: len(c.Assigns) == 0, Nested: nested, Piped: piped}
	for i, w := range c.Args {
		s, plain := literal(w)
		out.Plain = out.Plain && plain
		if !plain {
			s = ""
		}
		if i == 0 {
			out.Name = s
		} else {
			out.Words = append(out.Words, s)
		}
	}
	for _, d := range redirs {
		s, plain := "", true
		if d.Word != nil {
			s, plain = literal(d.Word)
		}
		switch d.Op {
		case syntax.RdrIn, syntax.WordHdoc, syntax.RdrInOut:
			out.Reads = append(out.Reads, s)
		case syntax.Hdoc, syntax.DashHdoc: // text of the line itself
		case syntax.DplIn, syntax.DplOut:
			out.Plain = out.Plain && (s == "1" || s == "2")
		default:
			out.Writes = append(out.Writes, s)
		}
		if d.Op == syntax.RdrInOut {
			out.Writes = append(out.Writes, s)
		}
		out.Plain = out.Plain && plain
	}
	for _, a := range c.Assigns {
		if a.Name != nil {
			out.Sets = append(out.Sets, a.Name.Value)
		}
	}
	r.out = append(r.out, out)
	for _, a := range c.Assigns {
		r.within(a, true, false)
	}
	for _, w := range c.Args {
		r.within(w, true, false)
	}
	for _, d := range redirs {
		r.within(d, true, false)
	}
}

// literal is the text a word stands for, if it stands for one text whatever the shell's
// state: no expansion, no pattern, no tilde.
func literal(w *syntax.Word) (string, bool) {
	var b strings.Builder
	ok := true
	for i, p := range w.Parts {
		switch p := p.(type) {
		case *syntax.Lit:
			s := unescape(p.Value, "")
			ok = ok && !strings.ContainsAny(strings.NewReplacer(`\*`, "", `\?`, "", `\[`, "").Replace(p.Value), "*?[") &&
				!(i == 0 && strings.HasPrefix(p.Value, "~"))
			b.WriteString(s)
		case *syntax.SglQuoted:
			ok = ok && !p.Dollar
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, in := range p.Parts {
				l, isLit := in.(*syntax.Lit)
				if !isLit {
					return "", false
				}
				b.WriteString(unescape(l.Value, "$`\"\\\n"))
			}
		default:
			return "", false
		}
	}
	return b.String(), ok
}

// unescape takes the backslashes off that quote a character of special, or any character
// where special is empty.
func unescape(s, special string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (special == "" || strings.IndexByte(special, s[i+1]) >= 0) {
			i++
			if s[i] == '\n' {
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

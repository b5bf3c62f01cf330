package main

import (
	"bytes"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// timelineIndent is where the text of an event stands in a timeline.
const timelineIndent = 24

// folder is an output that breaks long lines between words, so that they go on below
// their own text. It keeps an unfinished line until its end is written.
type folder struct {
	to     *output
	width  int                   // of the terminal in columns
	indent func(line string) int // where the text of a line stands
	rest   []byte
}

// foldedFor returns an output like t's, folded where it is a terminal.
func foldedFor(t *terminal) *output {
	width := widthOf(t.out.w)
	if width < 2*timelineIndent {
		return t.out
	}
	return &output{w: &folder{to: t.out, width: width, indent: func(string) int { return timelineIndent }}}
}

// foldedTo returns an output like t's, folded to a width; lines go on a little to the right
// of where they begin. What is written to it must end with a line.
func foldedTo(t *terminal, width int) *output {
	return &output{w: &folder{to: t.out, width: width, indent: func(line string) int {
		return min(len(line)-len(strings.TrimLeft(line, " "))+2, width/2)
	}}}
}

// widthOf is how many columns an output has, 0 if it is no terminal.
func widthOf(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// fit breaks the lines of a text that goes to standard error so that none is wider than
// its terminal.
func (t *terminal) fit(text string, indent int) string {
	width := widthOf(t.err)
	if width < 2*indent+2 {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = fold(line, width, indent)
	}
	return strings.Join(lines, "\n")
}

// Write implements io.Writer.
func (f *folder) Write(b []byte) (int, error) {
	f.rest = append(f.rest, b...)
	for {
		line, rest, whole := bytes.Cut(f.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		text := fold(string(line), f.width, f.indent(string(line))) + "\n"
		f.rest = bytes.Clone(rest)
		if _, err := f.to.Write([]byte(text)); err != nil {
			return 0, err
		}
	}
}

// fold breaks a line at spaces, or within a word that is too long, so that no part is
// wider than width columns. Parts but the first begin with indent spaces. Sequences that
// style text have no width, and go on over breaks.
func fold(line string, width, indent int) string {
	f := folding{width: width, indent: indent}
	for len(line) > 0 {
		n := escapeLen(line)
		switch {
		case n > 0:
			f.word += line[:n]
		case line[0] == ' ':
			n = 1
			f.flush()
			f.gap++
		default:
			var r rune
			r, n = utf8.DecodeRuneInString(line)
			f.add(line[:n], columns(r))
		}
		line = line[n:]
	}
	f.flush()
	return f.out.String()
}

// folding is the work of fold.
type folding struct {
	width, indent int
	out           strings.Builder
	at, start     int    // columns of the line so far, and where its text begins
	gap           int    // spaces before the word, which a break takes the place of
	word          string // not written yet
	wide          int    // its columns
}

// add adds a character to the word, on a new line if it does not fit this one.
func (f *folding) add(char string, wide int) {
	if f.at+f.gap+f.wide+wide > f.width && f.at > f.start {
		f.next()
	}
	if f.at+f.gap+f.wide+wide > f.width { // a word wider than a line
		f.flush()
		f.next()
	}
	f.word += char
	f.wide += wide
}

func (f *folding) next() {
	f.out.WriteString("\n" + strings.Repeat(" ", f.indent))
	f.at, f.start, f.gap = f.indent, f.indent, 0
}

func (f *folding) flush() {
	if f.word == "" {
		return
	}
	f.out.WriteString(strings.Repeat(" ", f.gap) + f.word)
	f.at += f.gap + f.wide
	f.gap, f.word, f.wide = 0, "", 0
}

// escapeLen is the length of the styling sequence that a text begins with, 0 for none.
func escapeLen(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	return strings.IndexByte(s, 'm') + 1
}

// columns is how many columns a terminal gives a character.
func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r < 0x1100:
		return 1
	case r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff, r >= 0xfe30 && r <= 0xfe6f,
		r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

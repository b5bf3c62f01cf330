package main

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// screenFilter passes on what a program in a cell shows on a person's terminal, and keeps
// back whatever would act beyond the screen: clipboard, title, links, printers, queries that
// a terminal answers as if the person had typed, other protocols. Text is passed, moving
// about, colors, erasing, scrolling, and the modes that full-screen programs need.
//
// It is used by one goroutine. The zero screenFilter is not usable; see newScreenFilter.
type screenFilter struct {
	to    io.Writer
	state func(*screenFilter, byte)
	seq   []byte // of the sequence or character so far
	out   []byte
}

func newScreenFilter(to io.Writer) *screenFilter {
	return &screenFilter{to: to, state: (*screenFilter).ground}
}

// Write implements io.Writer. Sequences may come in pieces.
func (f *screenFilter) Write(b []byte) (int, error) {
	f.out = f.out[:0]
	for _, c := range b {
		f.state(f, c)
	}
	if _, err := f.to.Write(f.out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// end is what brings a terminal back to how it is usually: nothing of what may be passed
// outlives it.
const end = "\x1b[0m\x1b(B\x0f\x1b[r\x1b[?1l\x1b[?7h\x1b[?25h\x1b[?2004l\x1b[4l\x1b>\x1b[?1049l\r"

// finish leaves the terminal as it was found.
func (f *screenFilter) finish() error {
	f.state = (*screenFilter).ground
	_, err := io.WriteString(f.to, end)
	return err
}

// plainControls are bell, backspace, tab, the line breaks and the two character sets.
const plainControls = "\a\b\t\n\v\f\r\x0e\x0f"

func (f *screenFilter) ground(c byte) {
	switch {
	case c == 0x1b:
		f.seq, f.state = f.seq[:0], (*screenFilter).escape
	case c < 0x20:
		if strings.IndexByte(plainControls, c) >= 0 {
			f.out = append(f.out, c)
		}
	case c < 0x7f:
		f.out = append(f.out, c)
	case c >= 0xc0:
		f.seq, f.state = append(f.seq[:0], c), (*screenFilter).character
	case c >= 0x80: // the rest of no character, or a control of eight bits
		f.out = utf8.AppendRune(f.out, utf8.RuneError)
	}
}

// character collects one of several bytes.
func (f *screenFilter) character(c byte) {
	if c < 0x80 || c >= 0xc0 { // the former is cut short
		f.out = utf8.AppendRune(f.out, utf8.RuneError)
		f.state = (*screenFilter).ground
		f.ground(c)
		return
	}
	f.seq = append(f.seq, c)
	if !utf8.FullRune(f.seq) {
		return
	}
	r, n := utf8.DecodeRune(f.seq)
	if n != len(f.seq) || turns(r) {
		r = utf8.RuneError
	}
	f.out = utf8.AppendRune(f.out, r)
	f.state = (*screenFilter).ground
}

// turns reports whether a character is a control, or turns the direction of others.
func turns(r rune) bool {
	return r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c
}

// escape stands behind ESC.
func (f *screenFilter) escape(c byte) {
	f.state = (*screenFilter).ground
	switch {
	case c == '[':
		f.state = (*screenFilter).control
	case strings.IndexByte("]PX^_", c) >= 0:
		f.state = (*screenFilter).text
	case strings.IndexByte("()", c) >= 0:
		f.seq, f.state = append(f.seq[:0], c), (*screenFilter).charset
	case c >= 0x20 && c < 0x30:
		f.state = (*screenFilter).other
	case strings.IndexByte("78DEM=>", c) >= 0:
		f.out = append(f.out, 0x1b, c)
	case c == 0x1b:
		f.state = (*screenFilter).escape
	}
}

// charset passes ASCII, British and line drawing.
func (f *screenFilter) charset(c byte) {
	if strings.IndexByte("AB0", c) >= 0 {
		f.out = append(f.out, 0x1b, f.seq[0], c)
	}
	f.state = (*screenFilter).ground
}

// other drops a sequence with bytes between.
func (f *screenFilter) other(c byte) {
	if c < 0x20 || c >= 0x30 {
		f.state = (*screenFilter).ground
	}
}

// text drops what stands up to BEL or ESC: a string for the terminal's other abilities.
// The ESC begins what follows, which for its usual end is nothing.
func (f *screenFilter) text(c byte) {
	switch c {
	case 0x07, 0x18, 0x1a:
		f.state = (*screenFilter).ground
	case 0x1b:
		f.seq, f.state = f.seq[:0], (*screenFilter).escape
	}
}

const maxControl = 64 // bytes of parameters

// control collects a control sequence.
func (f *screenFilter) control(c byte) {
	switch {
	case c == 0x1b:
		f.seq, f.state = f.seq[:0], (*screenFilter).escape
	case c >= 0x20 && c < 0x40:
		if len(f.seq) <= maxControl {
			f.seq = append(f.seq, c)
		}
	default:
		if c >= 0x40 && c < 0x7f && len(f.seq) <= maxControl && passes(string(f.seq), c) {
			f.out = append(append(append(f.out, 0x1b, '['), f.seq...), c)
		}
		f.state = (*screenFilter).ground
	}
}

// screenModes are those of full-screen programs: keys, wrapping, cursor, the other screen,
// marks around what is pasted.
var screenModes = []string{"1", "7", "12", "25", "47", "1047", "1048", "1049", "2004"}

// passes reports whether a control sequence moves, erases, scrolls, colors, or sets a mode of
// the screen.
func passes(params string, final byte) bool {
	private := strings.HasPrefix(params, "?")
	list := strings.FieldsFunc(strings.TrimPrefix(params, "?"), func(r rune) bool { return r == ';' || r == ':' })
	for _, p := range list {
		if len(p) > 4 || strings.Trim(p, "0123456789") != "" {
			return false
		}
	}
	switch {
	case private && (final == 'h' || final == 'l'):
		return len(list) > 0 && !slices.ContainsFunc(list, func(p string) bool { return !slices.Contains(screenModes, p) })
	case private:
		return final == 'J' || final == 'K'
	case final == 'h' || final == 'l':
		return len(list) == 1 && list[0] == "4"
	}
	if final == 'T' && len(list) > 1 { // not scrolling: the mouse
		return false
	}
	return strings.IndexByte("ABCDEFGHIJKLMPSTXZ`abdefmrsu@", final) >= 0
}

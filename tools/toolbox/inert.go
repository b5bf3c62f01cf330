package toolbox

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// Inert returns s as valid UTF-8 in which nothing acts on a terminal or reorders
// what a reader sees: control characters other than those in keep, line and
// paragraph separators, bidirectional controls, invisible format characters and
// bytes that are no UTF-8 become visible escapes such as \x1b and \u202e.
func Inert(s, keep string) string {
	if plain(s, keep) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1, acts(r, keep) && r < 0x80:
			escapeByte(&b, s[i])
		case acts(r, keep):
			escapeRune(&b, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

// plain reports whether Inert has nothing to do.
func plain(s, keep string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return acts(r, keep) }) < 0
}

// acts reports whether a character does something other than being seen.
// U+200C and U+200D shape letters and emoji and are left alone.
func acts(r rune, keep string) bool {
	switch {
	case r >= 0x20 && r < 0x7f:
		return false
	case strings.ContainsRune(keep, r) && r != utf8.RuneError:
		return false
	case r == 0x200c || r == 0x200d:
		return false
	case r >= 0xe0100 && r <= 0xe01ef: // variation selectors that can carry a hidden text
		return true
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func escapeByte(b *strings.Builder, c byte) {
	b.WriteString(`\x`)
	b.WriteByte(hexDigits[c>>4])
	b.WriteByte(hexDigits[c&15])
}

// escapeRune writes \uXXXX, or \UXXXXXXXX above U+FFFF.
func escapeRune(b *strings.Builder, r rune) {
	width, mark := 4, `\u`
	if r > 0xffff {
		width, mark = 8, `\U`
	}
	b.WriteString(mark)
	for i := width - 1; i >= 0; i-- {
		b.WriteByte(hexDigits[r>>(4*i)&15])
	}
}

package provenance

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normal is the form in which texts are compared: Unicode NFKC, lower case, white
// space collapsed to single blanks, every kind of quotation mark as ', characters
// without width removed. It is idempotent.
func Normal(s string) string {
	if t, ok := normalASCII(s); ok {
		return t
	}
	// Lower case can undo NFKC and the reverse, so that one round is not always enough.
	for range 3 {
		t := fold(norm.NFKC.String(s))
		if t == s {
			break
		}
		s = t
	}
	return s
}

// normalASCII is Normal for plain text, which most of a history is: one pass.
func normalASCII(s string) (string, bool) {
	b := make([]byte, len(s))
	n := 0
	for i := 0; i < len(s); i++ {
		c := plainForm[s[i]]
		if c == 0 {
			return "", false
		}
		if c == ' ' && (n == 0 || b[n-1] == ' ') {
			continue
		}
		b[n] = c
		n++
	}
	if n > 0 && b[n-1] == ' ' {
		n--
	}
	return string(b[:n]), true
}

// plainForm maps the bytes of plain text to their normal form. Bytes that need Unicode,
// and NUL, map to 0.
var plainForm = func() (t [256]byte) {
	for c := byte(1); c < utf8.RuneSelf; c++ {
		t[c] = c
	}
	for c := byte('A'); c <= 'Z'; c++ {
		t[c] = c + 'a' - 'A'
	}
	for _, c := range "\t\n\v\f\r" {
		t[c] = ' '
	}
	t['"'], t['`'] = '\'', '\''
	return t
}()

func fold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	blank := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			blank = b.Len() > 0
			continue
		case widthless(r):
			continue
		case quote(r):
			r = '\''
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

func widthless(r rune) bool {
	return r == 0x00AD || r == 0x034F || r == 0x180E || r == 0xFEFF ||
		0x200B <= r && r <= 0x200F || 0x202A <= r && r <= 0x202E || 0x2060 <= r && r <= 0x2064
}

func quote(r rune) bool {
	switch r {
	case '"', '`', '\'', '«', '»', '‹', '›', '„', '“', '”', '‟', '‘', '’', '‚', '‛':
		return true
	}
	return false
}

// bare is the normal form of one value, without quotation marks around it.
func bare(s string) string { return strings.Trim(Normal(s), "' ") }

// named reports whether value stands in text as a whole: not inside a longer word,
// path, address or URL. It compares bytes. A value without a letter or a digit is
// never named: dots and slashes stand everywhere.
func named(text, value string) bool { return timesNamed(text, value, 1) > 0 }

// timesNamed is how often value stands in text as named says, counted up to enough.
func timesNamed(text, value string, enough int) (times int) {
	if !strings.ContainsFunc(value, wordRune) {
		return 0
	}
	first, n := utf8.DecodeRuneInString(value)
	last, _ := utf8.DecodeLastRuneInString(value)
	for at := 0; at < len(text) && times < enough; {
		i := strings.Index(text[at:], value)
		if i < 0 {
			break
		}
		i += at
		if openBefore(text[:i], first) && openAfter(text[i+len(value):], last) {
			times++
		}
		at = i + n
	}
	return times
}

// joints tie what stands on both sides of them into one longer name.
const joints = `-./@+~%&=#?:\`

func openBefore(s string, edge rune) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n == 0 || !joins(r, edge) && (r == ':' || r == '=' || !strings.ContainsRune(joints, r))
}

func openAfter(s string, edge rune) bool {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return true
	}
	if joins(r, edge) {
		return false
	}
	if !strings.ContainsRune(joints, r) {
		return true
	}
	next, n := utf8.DecodeRuneInString(s[n:])
	return n == 0 || !wordRune(next) && !strings.ContainsRune(joints, next) || r == '.' && next == '.'
}

func wordRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

// joins reports whether a rune next to a value makes it part of a longer word. One
// without width does: a name may hide in another. Scripts
// without spaces set names in other scripts directly beside their own words.
func joins(r, edge rune) bool {
	return widthless(r) || wordRune(r) && !(unicode.In(r, spaceless...) && edge < utf8.RuneSelf)
}

var spaceless = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

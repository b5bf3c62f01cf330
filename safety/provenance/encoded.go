package provenance

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what is decoded: a shorter run of code characters is a word, a longer one
// a file.
const (
	shortestCode = 8
	longestCode  = 16 << 10
	longestLine  = 512 // that is read backwards
	shortestText = 6   // of what was decoded
)

// decodings are the texts that a value may stand for: what its runs of base64, of hex and
// of percent signs decode to, what it reads backwards, each in normal form. Only what is
// text counts. An encoding within another is found to a depth of two.
func decodings(v string) []string {
	found := decodeOnce(v)
	for _, d := range slices.Clone(found) {
		found = append(found, decodeOnce(d)...)
	}
	for i, d := range found {
		found[i] = bare(d)
	}
	return found
}

func decodeOnce(v string) []string {
	if len(v) < shortestCode || len(v) > longestCode {
		return nil
	}
	out := decodeCodes(v)
	if len(v) <= longestLine && readable(v) {
		out = append(out, backwards(v))
	}
	return out
}

// decodeCodes is what the codes in a text decode to, once.
func decodeCodes(v string) []string {
	var out []string
	add := func(b []byte, err error) {
		if s := string(b); err == nil && len(b) >= shortestText && readable(s) {
			out = append(out, s)
		}
	}
	if strings.Contains(v, "%") {
		if s, err := url.QueryUnescape(v); err == nil && s != v {
			out = append(out, s)
		}
	}
	for _, run := range codeRuns(v) {
		if s := strings.TrimPrefix(run, "0x"); len(s)%2 == 0 {
			add(hex.DecodeString(s))
		}
		s := strings.TrimRight(run, "=")
		add(base64.RawStdEncoding.DecodeString(s))
		add(base64.RawURLEncoding.DecodeString(s))
	}
	return out
}

// codeRuns are the runs of code characters in a text that are long enough.
func codeRuns(s string) []string {
	var out []string
	start := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && codeByte[s[i]] {
			continue
		}
		if i-start >= shortestCode {
			out = append(out, s[start:i])
		}
		start = i + 1
	}
	return out
}

var codeByte = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=") {
		t[c] = true
	}
	return t
}()

// readable reports whether bytes are text: what decodes to anything else was no code.
func readable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) })
}

func backwards(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

// codedWord is the length in bytes from which a word of a text is looked at as a code.
const codedWord = 16

// uncoded is what the long words of a text stand for where they are codes, in normal form
// with a blank before each: base64, hex and percent signs to a depth of two, and what is
// written backwards with underscores for its blanks. Plain text backwards is found from the
// other side, by decodings. It is at most four times as long as the text.
func uncoded(s string) string {
	var b strings.Builder
	for _, w := range strings.Fields(s) {
		if len(w) < codedWord || len(w) > longestCode {
			continue
		}
		found := decodeCodes(w)
		for _, d := range slices.Clone(found) {
			found = append(found, decodeCodes(d)...)
		}
		if strings.Count(w, "_") > 1 && len(w) <= longestLine {
			found = append(found, strings.ReplaceAll(backwards(w), "_", " "))
		}
		for _, d := range found {
			if d = bare(d); b.Len()+len(d) < 4*len(s) {
				b.WriteString(" " + d)
			}
		}
	}
	return b.String()
}

package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFold(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"ShortStays":         {"one two", "one two"},
		"BetweenWords":       {"one two three four", "one two\n  three\n  four"},
		"LongWordIsBroken":   {"abcdefghijklmnop", "abcdefgh\n  ijklmn\n  op"},
		"StylesHaveNoWidth":  {"\x1b[1mone\x1b[0m two", "\x1b[1mone\x1b[0m two"},
		"WideTakesTwo":       {"日本語日本語", "日本語日\n  本語"},
		"MarksTakeNone":      {"e\u0301e\u0301e\u0301e\u0301 xyz", "e\u0301e\u0301e\u0301e\u0301 xyz"},
		"SpaceAtTheBreak":    {"12345678 abc", "12345678\n  abc"},
		"NothingIsNothing":   {"", ""},
		"UnfinishedSequence": {"\x1b[1 x", "\x1b[1 x"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fold(c.in, 8, 2); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// FuzzFold holds folding to what it promises of any text: nothing is lost, and no line is
// wider than the terminal.
func FuzzFold(f *testing.F) {
	f.Add("  12     0.28s verdict  allow  benign and a long word: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.Add("\x1b[2m   1 \x1b[0m日本語 text")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x1b") {
			t.Skip("a line is text without breaks; its styles are ours")
		}
		got := fold(s, 48, timelineIndent)
		for _, line := range strings.Split(got, "\n") {
			n := 0
			for _, r := range line {
				n += columns(r)
			}
			if n > 48 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
		bare := func(s string) string { return strings.NewReplacer(" ", "", "\n", "").Replace(s) }
		if bare(got) != bare(s) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

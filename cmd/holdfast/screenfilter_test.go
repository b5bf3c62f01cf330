package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

func filtered(pieces ...string) string {
	var b bytes.Buffer
	f := newScreenFilter(&b)
	for _, p := range pieces {
		f.Write([]byte(p))
	}
	return b.String()
}

func TestScreenFilter(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"Text":             {"hello\r\nwörld → 日本", "hello\r\nwörld → 日本"},
		"Colors":           {"\x1b[1;31mred\x1b[0m \x1b[38:5:9mx", "\x1b[1;31mred\x1b[0m \x1b[38:5:9mx"},
		"Movement":         {"\x1b[2J\x1b[10;20H\x1b[K\x1b[3A\x1b7\x1b8\x1bM", "\x1b[2J\x1b[10;20H\x1b[K\x1b[3A\x1b7\x1b8\x1bM"},
		"FullScreen":       {"\x1b[?1049h\x1b[?25l\x1b[?1;7h\x1b=", "\x1b[?1049h\x1b[?25l\x1b[?1;7h\x1b="},
		"LineDrawing":      {"\x1b(0lqk\x1b(B", "\x1b(0lqk\x1b(B"},
		"Clipboard":        {"a\x1b]52;c;aGk=\x07b", "ab"},
		"ClipboardBySTs":   {"a\x1b]52;c;aGk=\x1b\\b", "ab"},
		"Title":            {"\x1b]0;title\x07x", "x"},
		"Link":             {"\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"},
		"DeviceString":     {"\x1bP$q\"p\x1b\\x", "x"},
		"OtherStrings":     {"\x1b_G..\x1b\\\x1b^p\x1b\\\x1bXs\x1b\\x", "x"},
		"UnendedString":    {"a\x1b]0;never ends", "a"},
		"StringThenEscape": {"\x1b]0;t\x1b[6nx", "x"},
		"Status":           {"\x1b[6n\x1b[5n\x1b[?6nx", "x"},
		"Attributes":       {"\x1b[c\x1b[>c\x1b[=c\x1b[0cx", "x"},
		"Window":           {"\x1b[21t\x1b[8;50;100tx", "x"},
		"Printer":          {"\x1b[5i\x1b[?5ix", "x"},
		"Mouse":            {"\x1b[?1000h\x1b[?1006h\x1b[?25;1000hx", "x"},
		"MouseBySpans":     {"\x1b[1;1;1;1;1Tx\x1b[2T", "x\x1b[2T"},
		"TabStops":         {"\x1b[3g\x1b[g\x1bHx", "x"},
		"Keys":             {"\x1b[>4;2m\x1b[>1ux", "x"},
		"Reset":            {"\x1bc\x1b[!px", "x"},
		"SelfTest":         {"\x1b#8x", "x"},
		"EightBitControl":  {"\x9b6nx\u009b6n", "\ufffd6nx\ufffd6n"},
		"Direction":        {"a\u202eb\u2066c", "a\ufffdb\ufffdc"},
		"Controls":         {"a\x00\x05\x11\x13\x7fb\a\b\t", "ab\a\b\t"},
		"CutCharacter":     {"\xe6\x97x", "\ufffdx"},
		"OverlongSlash":    {"\xc0\xafx", "\ufffdx"},
		"HugeRepeat":       {"x\x1b[99999999b", "x"},
		"ManyParameters":   {"\x1b[" + strings.Repeat("1;", 100) + "mx", "x"},
		"EscapeInEscape":   {"\x1b\x1b[31mx", "\x1b[31mx"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := filtered(tt.in); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			if got := filtered(strings.Split(tt.in, "")...); utf8.ValidString(tt.in) && got != tt.want {
				t.Errorf("in pieces %q, want %q", got, tt.want)
			}
		})
	}
}

// safe is all that may reach a terminal.
var safe = regexp.MustCompile("^(?:[\\x07-\\x0f\\x20-\\x7e\u00a0-\U0010ffff]|\x1b[78DEM=>]|\x1b[()][AB0]|\x1b\\[[0-9;:]*[A-MPSTXZ`abdefmrsu@]|\x1b\\[4[hl]|\x1b\\[\\?[0-9;:]*[hlJK])*$")

func FuzzScreenFilter(f *testing.F) {
	f.Add([]byte("\x1b[?25;1000h\x1b]52;c;x\x07\x1b[6n"), uint8(1))
	f.Add([]byte("\xe6\x97\xa5\x1b(0\x1b[38;5;9m"), uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, cut uint8) {
		at := min(int(cut), len(b))
		got := filtered(string(b[:at]), string(b[at:]))
		if !utf8.ValidString(got) || !safe.MatchString(got) {
			t.Errorf("%q becomes %q", b, got)
		}
		if again := filtered(got); again != got {
			t.Errorf("%q is not left as it is: %q", got, again)
		}
		if whole := filtered(string(b)); whole != got {
			t.Errorf("in two pieces %q, in one %q", got, whole)
		}
	})
}

func TestTranscriptKeepsBothEnds(t *testing.T) {
	tr := &transcript{}
	for i := range 3000 {
		tr.Write(bytes.Repeat([]byte{byte('a' + i%26)}, 1000))
	}
	c := tr.capture()
	if len(c.Head) != kept || len(c.Tail) != kept || c.Total != 3_000_000 || c.Head[0] != 'a' || c.Tail[len(c.Tail)-1] != byte('a'+2999%26) {
		t.Errorf("%d, %d of %d", len(c.Head), len(c.Tail), c.Total)
	}
	short := &transcript{}
	short.Write([]byte("hello"))
	if c := short.capture(); string(c.Bytes()) != "hello" {
		t.Errorf("%q", c.Bytes())
	}
}

package approval_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/approval"
)

// hostile are values that try to act on a terminal or to pass for something else.
var hostile = map[string]string{
	"EscapeCodes":     "a\x1b[2J\x1b[1;1HAllow? y\x1b]0;title\x07\x9b31m",
	"CarriageReturn":  "rm -rf /\rls         ",
	"Backspaces":      "rm x\b\b\b\bls  ",
	"Bidi":            "safe\u202eevil\u2066x\u2069",
	"Tags":            "ls\U000e0072\U000e006d",
	"ZeroWidth":       "a\u200b\u200d\u2060\ufeffb",
	"Fillers":         "a\u3164\u115f\u2800\u00a0b",
	"Combining":       "a" + strings.Repeat("\u0301", 40),
	"Newlines":        "one\ntwo\n\n[y] once  [n] no\nlabel     benign\n",
	"LineSeparators":  "a\u2028b\u2029c\u0085d\vd\fe",
	"TenThousand":     strings.Repeat("0123456789", 1000),
	"LongWithTail":    strings.Repeat(" ", 5000) + "; rm -rf /",
	"NotUTF8":         "a\xff\xfeb",
	"Quotes":          `a" , "path": "b\`,
	"EscapeLookalike": `a\x1b\n\u{202e}`,
	"Wide":            strings.Repeat("漢字", 200),
	"Empty":           "",
	"EmptyLines":      "ls" + strings.Repeat("\n", 200) + "rm -rf .",
	"CountLookalike":  "x\nthe line above 9 times more\n",
}

func question(value string) agent.Question {
	args := string(agent.JSON(map[string]any{"command": value}).Data)
	return agent.Question{
		Call:   &agent.ToolCall{ID: "1", Tool: "run_command", Args: args},
		Effect: agent.Irreversible, Label: agent.Benign, Reason: value,
		Sinks: []agent.Sink{{Arg: "/command", Value: value, Role: agent.RoleCommand, Origin: agent.Origin{Source: agent.SourceTool, Tool: value}}},
		Votes: []agent.Vote{{Rule: "sinks.untrusted", Outcome: agent.Ask, Reason: "why"}, {Rule: "user/x", Outcome: agent.Ask, Reason: value}},
		Grant: agent.Grant{Write: true},
	}
}

// unquote puts the pieces of a value together again.
func unquote(t *testing.T, lines []string) string {
	t.Helper()
	var b strings.Builder
	before := 0 // where the last line began
	for _, l := range lines {
		if i := strings.IndexByte(l, '"'); i < 0 {
			var n int
			if k, err := fmt.Sscanf(strings.TrimSpace(l), "the line above %d times more", &n); k != 1 || err != nil {
				t.Fatalf("line %q", l)
			}
			b.WriteString(strings.Repeat(b.String()[before:], n))
			continue
		}
		before = b.Len()
		i := strings.IndexByte(l, '"')
		p := l[i+1 : len(l)-1]
		for len(p) > 0 {
			switch {
			case strings.HasPrefix(p, `\u{`):
				end := strings.IndexByte(p, '}')
				n, err := strconv.ParseInt(p[3:end], 16, 32)
				if err != nil {
					t.Fatal(err)
				}
				b.WriteRune(rune(n))
				p = p[end+1:]
			case strings.HasPrefix(p, `\x`):
				n, err := strconv.ParseUint(p[2:4], 16, 8)
				if err != nil {
					t.Fatal(err)
				}
				b.WriteByte(byte(n))
				p = p[4:]
			case p[0] == '\\':
				b.WriteString(map[byte]string{'n': "\n", 't': "\t", '"': `"`, '\\': `\`}[p[1]])
				p = p[2:]
			default:
				b.WriteByte(p[0])
				p = p[1:]
			}
		}
	}
	return b.String()
}

// TestRenderShowsExactlyWhatRuns reads every hostile value back from the screen, and
// wants no line that acts, is too wide or passes for the runtime's.
func TestRenderShowsExactlyWhatRuns(t *testing.T) {
	for name, v := range hostile {
		t.Run(name, func(t *testing.T) {
			q := question(v)
			s := approval.Render(q, 80)
			for i, l := range append(slices.Clone(s.Body), s.Sum...) {
				if strings.ContainsFunc(l, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) }) {
					t.Errorf("line %d acts: %q", i, l)
				}
				if i > 0 && !strings.HasPrefix(l, "  ") {
					t.Errorf("line %d has no margin: %q", i, l)
				}
			}
			for i, l := range s.Body {
				if n := len([]rune(l)); n > 82 {
					t.Errorf("line %d has %d characters", i, n)
				}
			}
			if len(s.Sum) > 14 {
				t.Errorf("the sum has %d lines", len(s.Sum))
			}
			// Only what JSON can carry reaches a tool; the screen shows that, to the byte.
			var sent struct{ Command string }
			if err := json.Unmarshal([]byte(q.Call.Args), &sent); err != nil {
				t.Fatal(err)
			}
			lines := s.Body[2:]
			if strings.HasSuffix(lines[0], ":") {
				lines = lines[1:]
			}
			if got := unquote(t, lines); got != sent.Command {
				t.Errorf("the screen says %q, the call is %q", got, sent.Command)
			}
			if got := unquote(t, []string{approval.Quote(v)}); got != v {
				t.Errorf("quoted %q reads %q", v, got)
			}
		})
	}
}

func TestRenderOfOtherQuestions(t *testing.T) {
	for name, q := range map[string]agent.Question{
		"Request":    {Prompt: "pay\x1b[2J\nAllow?", Label: agent.Sensitive},
		"Response":   {Tool: &agent.Observation{Call: agent.ToolCall{Tool: "x\ny"}, Text: "a\rb"}, Label: agent.Sensitive},
		"Unreadable": {Call: &agent.ToolCall{Tool: "x", Args: "{\"a\":\x1b"}},
		"Nested":     {Call: &agent.ToolCall{Tool: "x", Args: `{"a b":{"c":[1,true,null,{},"\u202e"]}}`}},
	} {
		s := approval.Render(q, 0).String()
		if strings.ContainsFunc(strings.ReplaceAll(s, "\n", ""), unicode.IsControl) || strings.Contains(s, "\u202e") {
			t.Errorf("%s: %q", name, s)
		}
		if name == "Nested" {
			for _, want := range []string{`"a b/c/0" = 1`, `= true`, `= null`, `= {}`, `\u{202e}`} {
				if !strings.Contains(s, want) {
					t.Errorf("%q lacks %q", s, want)
				}
			}
		}
	}
}

func TestBewareOfLookalikes(t *testing.T) {
	for v, want := range map[string]bool{"paypal.com": false, "p\u0430ypal.com": true, "\uff50aypal.com": true, "почта": false} {
		if got := strings.Contains(approval.Render(question(v), 80).String(), "beware"); got != want {
			t.Errorf("%q: beware %v", v, got)
		}
	}
}

func write(path, content string) agent.Question {
	q := question("")
	q.Call = &agent.ToolCall{ID: content, Tool: "write_file", Args: string(agent.JSON(map[string]string{"path": path, "content": content}).Data)}
	q.Sinks = []agent.Sink{{Arg: "/path", Value: path, Role: agent.RolePath, Origin: agent.Origin{Source: agent.SourceModel}}}
	q.Votes = q.Votes[:1]
	return q
}

func TestClass(t *testing.T) {
	c, ok := approval.ClassOf(write("a.txt", "x"))
	if !ok {
		t.Fatal("no class")
	}
	words := strings.Join(c.Words(), "\n")
	for _, want := range []string{`"write_file"`, `/path "a.txt"`, "will match: the same with any other content", "will not match"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q lacks %q", words, want)
		}
	}
	edit := func(f func(*agent.Question)) agent.Question {
		q := write("a.txt", "y")
		f(&q)
		return q
	}
	for name, tt := range map[string]struct {
		q    agent.Question
		want bool
	}{
		"OtherContent":  {write("a.txt", "y"), true},
		"BetterOrigin":  {edit(func(q *agent.Question) { q.Sinks[0].Origin.Source = agent.SourceUser }), true},
		"OtherPath":     {write("b.txt", "x"), false},
		"OtherTool":     {edit(func(q *agent.Question) { q.Call.Tool = "rm" }), false},
		"WorseLabel":    {edit(func(q *agent.Question) { q.Label = agent.Sensitive }), false},
		"UnknownLabel":  {edit(func(q *agent.Question) { q.Label = agent.Unknown }), false},
		"WorseEffect":   {edit(func(q *agent.Question) { q.Effect = agent.EffectUnknown }), true}, // ranks with the worst, as here
		"WorseOrigin":   {edit(func(q *agent.Question) { q.Sinks[0].Origin.Source = agent.SourceUnknown }), false},
		"OtherProfile":  {edit(func(q *agent.Question) { q.Grant.Profile = agent.Reduced }), false},
		"SecretGranted": {edit(func(q *agent.Question) { q.Grant.Secrets = []string{"x"} }), false},
		"MoreGranted":   {edit(func(q *agent.Question) { q.Grant.Hosts = []string{"x"} }), false},
		"AnotherRule":   {edit(func(q *agent.Question) { q.Votes = append(q.Votes, agent.Vote{Rule: "user/y", Outcome: agent.Ask}) }), false},
		"MoreArguments": {edit(func(q *agent.Question) { q.Call.Args = `{"path":"a.txt","content":"y","mode":"x"}` }), false},
		"NoCall":        {agent.Question{Prompt: "x"}, false},
	} {
		if got := c.Matches(tt.q); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (approval.Class{}).Matches(write("a.txt", "x")) {
		t.Error("the zero class matches")
	}
	for name, q := range map[string]agent.Question{
		"Malicious": edit(func(q *agent.Question) { q.Label = agent.Malicious }),
		"NoAim":     edit(func(q *agent.Question) { q.Sinks = nil }),
		"Aimless":   edit(func(q *agent.Question) { q.Sinks[0].Arg = "" }),
		"NoCall":    {Prompt: "x"},
	} {
		if _, ok := approval.ClassOf(q); ok {
			t.Errorf("%s may be agreed to for a run", name)
		}
	}
	var m approval.Memory
	if _, ok := m.Covers(write("a.txt", "z")); ok {
		t.Error("an empty memory covers a call")
	}
	m.Add(c)
	if _, ok := m.Covers(write("a.txt", "z")); !ok {
		t.Error("the memory lost a class")
	}
}

func TestDiff(t *testing.T) {
	got := strings.Join(approval.Diff("a\nb\nc\nd\ne\n", "a\nb\nX\x1b\nd\ne\nf\n", 80), "\n")
	want := "  …\n" + `    "b\n"` + "\n" + `  - "c\n"` + "\n" + `  + "X\x1b\n"` + "\n" + `    "d\n"`
	if !strings.HasPrefix(got, want) || !strings.Contains(got, `+ "f`) || strings.Contains(got, "\x1b") {
		t.Errorf("got\n%s", got)
	}
}

// FuzzRender looks for panics and for characters that act.
func FuzzRender(f *testing.F) {
	for _, v := range hostile {
		f.Add("run", `{"a":"`+v+`"}`, v)
	}
	f.Fuzz(func(t *testing.T, tool, args, value string) {
		q := question(value)
		q.Call = &agent.ToolCall{Tool: tool, Args: args}
		s := approval.Render(q, 60)
		for _, l := range append(s.Body, s.Sum...) {
			if strings.ContainsFunc(l, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Mn) }) {
				t.Fatalf("line acts: %q", l)
			}
		}
		if c, ok := approval.ClassOf(q); ok && !c.Matches(q) {
			t.Fatal("a call does not match its own class")
		}
	})
}

// TestRenderCountsRepeatedLines hides a command behind empty lines: their number is told, and
// what stands behind them is on the same screen.
func TestRenderCountsRepeatedLines(t *testing.T) {
	for n, want := range map[int]int{2: 5, 500: 6} {
		if s := approval.Render(question("ls\n"+strings.Repeat("\n", n)+"rm -rf ."), 80); len(s.Body) > want+2 {
			t.Errorf("%d empty lines take %d lines:\n%s", n, len(s.Body), strings.Join(s.Body, "\n"))
		}
	}
}

// TestUndoIsToldAsItIs wants a question to say that a call can be undone where its cell can
// change the workspace alone, and that it cannot wherever it can do more.
func TestUndoIsToldAsItIs(t *testing.T) {
	for name, c := range map[string]struct {
		grant agent.Grant
		undo  bool
	}{
		"WorkspaceAlone": {agent.Grant{Write: true}, true},
		"Hosts":          {agent.Grant{Write: true, Hosts: []string{"example.com:443"}}, false},
		"NoWorkspace":    {agent.Grant{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			q := question("mv a b")
			q.Grant = c.grant
			text := approval.Render(q, 80).String()
			if strings.Contains(text, "holdfast sandbox undo") != c.undo || strings.Contains(text, "cannot be undone") == c.undo {
				t.Errorf("undo %v:\n%s", c.undo, text)
			}
		})
	}
}

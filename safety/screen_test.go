package safety_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety"
)

// returned is a conversation whose last call is of the tool, and what it returned.
func returned(tool, text string) (agent.Conversation, agent.Observation) {
	c, p := propose(asked("go on"), tool, `{}`)
	return c, agent.Observation{Call: p.Call, Status: agent.CallOK, Text: text, Nonce: frame.Nonce(text)}
}

// sees is a model that calls malicious what holds one of the words, sensitive what
// holds "secret".
func sees(words ...string) *model {
	m := benign()
	m.screen = func(text string) agent.Label {
		if slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) }) {
			return agent.Malicious
		}
		if strings.Contains(text, "secret") {
			return agent.Sensitive
		}
		return agent.Benign
	}
	return m
}

func TestResponse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		m          *model
		want       agent.Outcome
		label      agent.Label
		shown      string
		withheld   int
		questions  int
	}{
		{"ShowsPlainText", "a\nb\n", sees("bad"), agent.Allow, agent.Benign, "a\nb\n", 0, 1},
		{"AsksAboutSecrets", "a\nsecret\n", sees("bad"), agent.Ask, agent.Sensitive, "a\nsecret\n", 0, 1},
		{"TakesOutBadLines", "a\nbad one\n\nb\nbad two", sees("bad"), agent.Allow, agent.Malicious, "a\n[withheld]\n\nb\n[withheld]", 2, 6},
		{"LooksAtEqualLinesOnce", "bad\na\nbad\na\nbad", sees("bad"), agent.Allow, agent.Malicious,
			"[withheld]\na\n[withheld]\na\n[withheld]", 3, 4},
		{"AsksAboutSecretsBesideBadLines", "bad\nsecret", sees("bad"), agent.Ask, agent.Malicious, "[withheld]\nsecret", 1, 4},
		{"WithholdsAllOfOneBadLine", "bad\n", sees("bad"), agent.Deny, agent.Malicious, "", 0, 2},
		{"WithholdsAllWhereNoLineIsGuilty", "do\nit", sees("do\nit"), agent.Deny, agent.Malicious, "", 0, 3},
		{"WithholdsAllWhereTheRestIsBad", "bad\ndo\nit", sees("bad", "do\nit"), agent.Deny, agent.Malicious, "", 0, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, o := returned("read_file", tt.text)
			s, err := newGate(t, safety.Options{}).Response(t.Context(), tt.m, c, o)
			if err != nil {
				t.Fatal(err)
			}
			v := s.Verdict
			if v.Outcome != tt.want || v.Label != tt.label || s.Text != tt.shown || s.Withheld != tt.withheld || s.All != (tt.want == agent.Deny) {
				t.Fatalf("%+v", s)
			}
			if (v.Code == "unsafe") != s.All || len(v.Gens) != tt.questions || len(tt.m.asked) != tt.questions {
				t.Errorf("code %q, %d generations for %d questions, want %d", v.Code, len(v.Gens), len(tt.m.asked), tt.questions)
			}
		})
	}
}

// TestResponseTakesOutWhatIsProbablyBad has a model that is sure about the whole and
// less so about the line: the word is enough to hold the line back.
func TestResponseTakesOutWhatIsProbablyBad(t *testing.T) {
	c, o := returned("read_file", "a\nbad")
	m := sees("bad")
	m.unsure = func(text string) bool { return text == "bad" }
	s, err := newGate(t, safety.Options{}).Response(t.Context(), m, c, o)
	if err != nil || s.Text != "a\n[withheld]" || s.Withheld != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
}

func TestResponseBoundsItsQuestions(t *testing.T) {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	text := strings.Replace(b.String(), "line 5000\n", "bad\n", 1)
	c, o := returned("read_file", text)
	m := sees("bad")
	s, err := newGate(t, safety.Options{}).Response(t.Context(), m, c, o)
	if err != nil || s.Verdict.Outcome != agent.Allow || s.Withheld != 1 {
		t.Fatalf("%+v, %v", s.Verdict, err)
	}
	if strings.Contains(s.Text, "bad") || !strings.Contains(s.Text, "line 4000\n") || !strings.HasSuffix(s.Text, "line 9999\n") {
		t.Error("the wrong part was withheld")
	}
	if len(m.asked) > 66 {
		t.Errorf("%d questions about one response", len(m.asked))
	}
}

func TestResponseWithoutScreening(t *testing.T) {
	for name, edit := range map[string]func(*agent.Observation){
		"TrustedTool": func(o *agent.Observation) { o.Call.Tool = "vouched" },
		"PureTool":    func(o *agent.Observation) { o.Call.Tool = "calculator" },
		"Denied":      func(o *agent.Observation) { o.Status, o.Code = agent.CallDenied, "unsafe" },
		"CouldNotStart": func(o *agent.Observation) {
			o.Status, o.Code, o.Text = agent.CallError, "sandbox", frame.Denied("sandbox")
		},
		"Empty": func(o *agent.Observation) { o.Text = "" },
	} {
		t.Run(name, func(t *testing.T) {
			c, o := returned("read_file", "text")
			edit(&o)
			m := &model{err: errors.New("must not be asked")}
			s, err := newGate(t, safety.Options{}).Response(t.Context(), m, c, o)
			if err != nil || s.Verdict.Outcome != agent.Allow || s.Text != o.Text || s.Verdict.Label != agent.Benign || len(m.asked) != 0 {
				t.Fatalf("%+v, %v after %d questions", s, err, len(m.asked))
			}
		})
	}
}

func TestResponseIsScreenedThoughTheCallFailed(t *testing.T) {
	for name, edit := range map[string]func(*agent.Observation){
		"ToolError":       func(o *agent.Observation) { o.Status = agent.CallError },
		"CodeAndToolText": func(o *agent.Observation) { o.Status, o.Code = agent.CallError, "sandbox" },
		"CutShort":        func(o *agent.Observation) { o.Status, o.Code = agent.CallTimeout, "timeout" },
		"UnknownTool":     func(o *agent.Observation) { o.Call.Tool = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			c, o := returned("read_file", "bad")
			edit(&o)
			s, err := newGate(t, safety.Options{}).Response(t.Context(), sees("bad", "[withheld]"), c, o)
			if err != nil || !s.All || s.Verdict.Outcome != agent.Deny || s.Text != "" {
				t.Fatalf("%+v, %v; want everything withheld", s, err)
			}
		})
	}
}

func TestResponseWithholdsWhatCannotBeJudged(t *testing.T) {
	broken := errors.New("engine broke")
	for name, tt := range map[string]struct {
		m     *model
		nonce string
		err   error
	}{
		"EngineErrs":    {&model{err: broken}, "0badf00d", broken},
		"AnswerIsProse": {&model{raw: "benign"}, "0badf00d", nil},
		"NoNonce":       {sees(), "", nil},
		"NonceInText":   {sees(), "feed", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, o := returned("read_file", "feed the cat")
			o.Nonce = tt.nonce
			s, err := newGate(t, safety.Options{}).Response(t.Context(), tt.m, c, o)
			if !errors.Is(err, tt.err) || !s.All || s.Text != "" || s.Verdict.Outcome != agent.Deny || s.Verdict.Code != "judge_error" {
				t.Fatalf("%+v, %v; want everything withheld with judge_error and %v", s, err, tt.err)
			}
		})
	}
}

// TestResponseErrorAtEveryQuestion breaks the engine at each question in turn.
func TestResponseErrorAtEveryQuestion(t *testing.T) {
	const questions = 5 // whole, three lines, what is left
	for i := range questions {
		c, o := returned("read_file", "a\nbad\nb")
		m := sees("bad")
		inner, n := m.screen, 0
		m.screen = func(text string) agent.Label {
			if n++; n == i+1 {
				return agent.Unknown // not one of the words: unreadable
			}
			return inner(text)
		}
		s, err := newGate(t, safety.Options{}).Response(t.Context(), m, c, o)
		if err != nil || !s.All || s.Verdict.Code != "judge_error" || n != i+1 {
			t.Errorf("question %d unreadable: %+v, %v after %d questions", i+1, s, err, n)
		}
	}
}

package review_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/frame"
	"github.com/holdfast-run/holdfast/safety/review"
)

// fixed answers every request with one turn and keeps the last request.
type fixed struct {
	turn agent.Turn
	err  error
	got  agent.Request
}

func (f *fixed) Generate(_ context.Context, r agent.Request) (agent.Turn, error) {
	f.got = r
	return f.turn, f.err
}

var call = agent.ToolCall{ID: "k1", Tool: "write_file", Args: `{"path":"a.txt"}`}

func said(role agent.Role, text string, s agent.Source) agent.Message {
	return agent.Message{Role: role, Text: text, Origin: agent.Origin{Source: s}}
}

func conversation() agent.Conversation {
	c := agent.Conversation{Tools: []agent.ToolSpec{{Name: "read_file"}, {Name: "write_file"}, {Name: `bad" | "x`}}}
	return c.With(
		said(agent.System, "system", agent.SourceOperator),
		said(agent.User, "first", agent.SourceUser),
		agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{{ID: "k0", Tool: "read_file", Args: "{}"}}},
		agent.Message{Role: agent.Tool, Text: "INJECTED", CallID: "k0", Tool: "read_file"},
		said(agent.User, "INJECTED", agent.SourceTool),
		said(agent.User, "second", agent.SourceUser),
	)
}

func newReviewer(t *testing.T) *review.Reviewer {
	t.Helper()
	r, err := review.New(review.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPromptAsksOnWhatTheUserSaid(t *testing.T) {
	g := &fixed{turn: agent.Turn{Answer: `{"reason": "r", "label": "benign"}`, Probs: []float64{0.9, 0.08, 0.02}, Gen: 7}}
	o, err := newReviewer(t).Prompt(t.Context(), g, conversation())
	if err != nil {
		t.Fatal(err)
	}
	want := review.Opinion{Label: agent.Benign, Word: agent.Benign, Probs: agent.LabelProbs{0.9, 0.08, 0.02}, Reason: "r", Gens: []int64{7}}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("opinion %+v, want %+v", o, want)
	}
	r := g.got
	if r.Purpose != agent.PurposeLabel || r.Grammar != frame.VerdictGrammar || r.LabelPrefix != frame.LabelPrefix ||
		!slices.Equal(r.Labels, []string{"benign", "sensitive", "malicious"}) || r.MaxTokens != review.DefaultTokens ||
		r.Temp != 0 || r.Schema != "" || len(r.Tools) != 3 {
		t.Errorf("request %+v", r)
	}
	var texts []string
	for _, m := range r.Messages {
		texts = append(texts, m.Text)
	}
	if want := []string{"system", "first", "second", frame.Label}; !slices.Equal(texts, want) {
		t.Errorf("messages %q, want %q", texts, want)
	}
}

func TestPlanListsOfferedTools(t *testing.T) {
	g := &fixed{turn: agent.Turn{Text: ` {"tools": ["write_file", "read_file", "write_file"]}` + "\n", Gen: 3}}
	names, gens, err := newReviewer(t).Plan(t.Context(), g, conversation())
	if err != nil || !slices.Equal(names, []string{"read_file", "write_file"}) || !slices.Equal(gens, []int64{3}) {
		t.Fatalf("plan %v, %v, %v", names, gens, err)
	}
	if g.got.Purpose != agent.PurposePlan || g.got.Grammar != frame.PlanGrammar([]string{"read_file", "write_file"}) {
		t.Errorf("request %+v: a name that is not plain must not reach the grammar", g.got)
	}
	for _, m := range g.got.Messages {
		if strings.Contains(m.Text, "INJECTED") {
			t.Error("the plan was made with a tool response in sight")
		}
	}
}

func TestPlanRefusesWhatIsNotAPlan(t *testing.T) {
	for _, s := range []string{
		``, `{}`, `{"tools": null}`, `{"tools": "write_file"}`, `{"tools": ["rm"]}`, `{"tools": [null]}`, `{"tools": [["write_file"]]}`,
		`{"tools": [], "tools": ["write_file"]}`, `{"TOOLS": ["write_file"]}`, `{"tools": []} x`, `{"tools": ["write_file"`, `{"tools": [], "x": 1}`,
	} {
		g := &fixed{turn: agent.Turn{Answer: s, Gen: 3}}
		names, gens, err := newReviewer(t).Plan(t.Context(), g, conversation())
		if !errors.Is(err, review.ErrUnreadable) || names != nil || len(gens) != 1 {
			t.Errorf("%s: plan %v, %v, %v; want ErrUnreadable beside the generation", s, names, gens, err)
		}
	}
}

func TestCallShowsOneCall(t *testing.T) {
	first := agent.ToolCall{ID: "k2", Tool: "read_file", Args: "{}"}
	third := agent.ToolCall{ID: "k3", Tool: "read_file", Args: "{}"}
	c := conversation().With(
		agent.Message{Role: agent.Assistant, Thought: "t", Calls: []agent.ToolCall{first, call, third}},
		agent.Message{Role: agent.Tool, Text: "answer", CallID: "k2", Tool: "read_file"},
	)
	before := len(c.Messages[6].Calls)
	g := &fixed{turn: agent.Turn{Answer: `{"reason": "r", "label": "sensitive"}`}}
	o, err := newReviewer(t).Call(t.Context(), g, c, call, review.Reason)
	if err != nil || o.Label != agent.Sensitive {
		t.Fatalf("opinion %+v, %v", o, err)
	}
	m := g.got.Messages
	if n := len(m); n != 10 || m[n-1].Text != frame.Review || !slices.Equal(m[n-2].Calls, []agent.ToolCall{call}) ||
		m[n-3].CallID != "k2" || !slices.Equal(m[n-4].Calls, []agent.ToolCall{first}) {
		t.Errorf("messages %+v", m)
	}
	if len(c.Messages[6].Calls) != before {
		t.Error("the conversation was changed")
	}
}

func TestCallRefusesAnotherCall(t *testing.T) {
	c := conversation().With(agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{call}})
	other := call
	other.Args = `{"path":"b.txt"}`
	g := &fixed{turn: agent.Turn{Answer: `{"reason": "r", "label": "benign"}`}}
	if o, err := newReviewer(t).Call(t.Context(), g, c, other, review.Reason); !errors.Is(err, review.ErrNoCall) || o.Label != agent.Unknown {
		t.Fatalf("opinion %+v, %v; want ErrNoCall", o, err)
	}
	if g.got.Purpose != "" {
		t.Error("the model was asked about a call that was not proposed")
	}
}

func TestLogitsModeAsksForTheLabelAlone(t *testing.T) {
	c := conversation().With(agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{call}})
	g := &fixed{turn: agent.Turn{Answer: `{"reason": "", "label": "benign"}`, Probs: []float64{1, 0, 0}}}
	if _, err := newReviewer(t).Call(t.Context(), g, c, call, review.Logits); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(g.got.Grammar, `\"reason\": \"\"`) || strings.Contains(g.got.Grammar, "char") {
		t.Errorf("grammar %s leaves room for a reason", g.got.Grammar)
	}
}

func TestResponseShowsTheFramedText(t *testing.T) {
	c := conversation().With(agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{call}})
	g := &fixed{turn: agent.Turn{Answer: `{"reason": "r", "label": "malicious"}`, Probs: []float64{0.05, 0.05, 0.9}}}
	o, err := newReviewer(t).Response(t.Context(), g, c, call, "<data x>\ny\n</data x>")
	if err != nil || o.Label != agent.Malicious {
		t.Fatalf("opinion %+v, %v", o, err)
	}
	m := g.got.Messages
	tool := m[len(m)-2]
	if tool.Role != agent.Tool || tool.Text != "<data x>\ny\n</data x>" || tool.CallID != call.ID || m[len(m)-1].Text != frame.Screen {
		t.Errorf("messages %+v", m)
	}
}

func TestVerdictRefusesWhatIsNotOne(t *testing.T) {
	good := `{"reason": "r", "label": "benign"}`
	for name, turn := range map[string]agent.Turn{
		"Empty":            {},
		"Prose":            {Answer: "benign"},
		"UnknownLabel":     {Answer: `{"reason": "r", "label": "fine"}`},
		"UpperCaseLabel":   {Answer: `{"reason": "r", "label": "BENIGN"}`},
		"NullLabel":        {Answer: `{"reason": "r", "label": null}`},
		"NoReason":         {Answer: `{"label": "benign"}`},
		"OtherMember":      {Answer: `{"reason": "r", "label": "benign", "x": 1}`},
		"OtherCase":        {Answer: `{"Reason": "r", "Label": "benign"}`},
		"RepeatedLabel":    {Answer: `{"reason": "r", "label": "malicious", "label": "benign"}`},
		"TextBehind":       {Answer: good + " benign"},
		"CutShort":         {Answer: good[:len(good)-2], Tokens: agent.TokenRecord{Finish: agent.FinishLength}},
		"LongReason":       {Answer: `{"reason": "` + strings.Repeat("a", 1001) + `", "label": "benign"}`},
		"TwoProbabilities": {Answer: good, Probs: []float64{1, 0}},
		"NotADistribution": {Answer: good, Probs: []float64{1, 1, 1}},
		"NaN":              {Answer: good, Probs: []float64{math.NaN(), 0.5, 0.5}},
		"Infinite":         {Answer: good, Probs: []float64{math.Inf(1), 0, 0}},
		"Negative":         {Answer: good, Probs: []float64{1.5, -0.5, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			turn.Gen = 4
			o, err := newReviewer(t).Prompt(t.Context(), &fixed{turn: turn}, conversation())
			if !errors.Is(err, review.ErrUnreadable) || o.Label != agent.Unknown || !slices.Equal(o.Gens, []int64{4}) {
				t.Fatalf("opinion %+v, %v; want ErrUnreadable beside the generation", o, err)
			}
		})
	}
}

func TestReasonCannotActOnATerminal(t *testing.T) {
	g := &fixed{turn: agent.Turn{Answer: `{"reason": "a\u001b[2Jb\nc\u202ed", "label": "benign"}`}}
	o, err := newReviewer(t).Prompt(t.Context(), g, conversation())
	if err != nil || o.Reason != "a [2Jb c d" {
		t.Fatalf("reason %q, %v", o.Reason, err)
	}
}

func TestGeneratorErrorIsKept(t *testing.T) {
	_, err := newReviewer(t).Prompt(t.Context(), &fixed{err: agent.ErrContext}, conversation())
	if !errors.Is(err, agent.ErrContext) {
		t.Fatalf("error %v, want ErrContext", err)
	}
}

func TestCutApply(t *testing.T) {
	cut := review.Cut{Refuse: 0.9, Ask: 0.5}
	for _, tt := range []struct {
		name string
		word agent.Label
		p    agent.LabelProbs
		want agent.Label
	}{
		{"KeepsBenign", agent.Benign, agent.LabelProbs{0.8, 0.1, 0.1}, agent.Benign},
		{"KeepsSensitive", agent.Sensitive, agent.LabelProbs{0.4, 0.5, 0.1}, agent.Sensitive},
		{"KeepsSureMalicious", agent.Malicious, agent.LabelProbs{0.05, 0.05, 0.9}, agent.Malicious},
		{"AsksAboutUnsureMalicious", agent.Malicious, agent.LabelProbs{0.05, 0.06, 0.89}, agent.Sensitive},
		{"AsksAboutUnsureBenign", agent.Benign, agent.LabelProbs{0.45, 0.3, 0.25}, agent.Sensitive},
		{"BelievesTheStricter", agent.Benign, agent.LabelProbs{0.02, 0.03, 0.95}, agent.Malicious},
		{"BelievesTheStricterWord", agent.Sensitive, agent.LabelProbs{1, 0, 0}, agent.Sensitive},
		{"KeepsWordWithoutProbabilities", agent.Malicious, agent.LabelProbs{}, agent.Malicious},
		{"KeepsUnknown", agent.Unknown, agent.LabelProbs{1, 0, 0}, agent.Unknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := cut.Apply(tt.word, tt.p); got != tt.want {
				t.Fatalf("label %v, want %v", got, tt.want)
			}
		})
	}
	if got := (review.Cut{}).Apply(agent.Benign, agent.LabelProbs{1, 0, 0}); got != agent.Malicious {
		t.Errorf("zero cut gives %v, want malicious", got)
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, o := range []review.Options{
		{MaxTokens: -1},
		{Thresholds: review.Thresholds{Prompt: review.Cut{Refuse: 0.9, Ask: 0.5}}},
		{Thresholds: review.Thresholds{Prompt: review.Cut{Refuse: 1.1, Ask: 0.5}, Call: review.Cut{Refuse: 1, Ask: 1}, Response: review.Cut{Refuse: 1, Ask: 1}}},
		{Thresholds: review.Thresholds{Prompt: review.Cut{Refuse: math.NaN(), Ask: 0.5}, Call: review.Cut{Refuse: 1, Ask: 1}, Response: review.Cut{Refuse: 1, Ask: 1}}},
	} {
		if _, err := review.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// FuzzVerdict wants every readable answer to be one of the three labels written out.
func FuzzVerdict(f *testing.F) {
	f.Add(`{"reason": "r", "label": "benign"}`, 0.9, 0.05, 0.05)
	f.Add(`{"reason": "\u0000", "label": "malicious"}`, 0.0, 0.0, 0.0)
	f.Add(`{"tools": ["write_file"]}`, 1.0, 0.0, 0.0)
	r, err := review.New(review.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string, a, b, c float64) {
		g := &fixed{turn: agent.Turn{Answer: s, Probs: []float64{a, b, c}}}
		o, err := r.Prompt(t.Context(), g, conversation())
		if (err == nil) == (o.Label == agent.Unknown) {
			t.Fatalf("%q: label %v beside error %v", s, o.Label, err)
		}
		if err == nil && !strings.Contains(s, `"`+o.Word.String()+`"`) && !strings.Contains(s, `\u`) {
			t.Fatalf("%q: read as %v", s, o.Word)
		}
		if names, _, err := r.Plan(t.Context(), g, conversation()); err == nil && len(names) > 2 {
			t.Fatalf("%q: planned %v", s, names)
		}
	})
}

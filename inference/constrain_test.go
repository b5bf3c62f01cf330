package inference_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

const verdict = `{"type":"object","properties":{"label":{"enum":["benign","sensitive","malicious"]}},"required":["label"],"additionalProperties":false}`

func TestSchemaIsObeyed(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	for _, temp := range []float64{0, 1} {
		s := start(t, e)
		r := agent.Request{Purpose: agent.PurposeReview, Messages: []agent.Message{user("Judge this.")}, Tools: tools,
			Schema: verdict, MaxTokens: 200, Temp: temp, Seed: 4, LabelPrefix: `"label":"`, Labels: []string{"benign", "sensitive", "malicious"}}
		turn := generate(t, s, r)
		var doc struct{ Label string }
		if err := json.Unmarshal([]byte(turn.Answer), &doc); err != nil || turn.Parse != agent.ParseClean {
			t.Fatalf("temp %v: %q: %v, parse %s: %s", temp, turn.Text, err, turn.Parse, turn.Problem)
		}
		if !strings.Contains("benign sensitive malicious", doc.Label) {
			t.Errorf("label %q", doc.Label)
		}
		if len(turn.Probs) != 3 {
			t.Errorf("no probabilities of %q", turn.Text)
		}
		if turn.Tokens.Finish != agent.FinishEOS {
			t.Errorf("finish %s", turn.Tokens.Finish)
		}
	}
}

func TestGrammarReadsLabels(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	labels := []string{"benign", "sensitive", "malicious"}
	r := agent.Request{Purpose: agent.PurposeLabel, Messages: []agent.Message{user("Label this.")}, MaxTokens: 40,
		Grammar: `root ::= "{\"label\":\"" ("benign" | "sensitive" | "malicious") "\"}"`, LabelPrefix: `"label":"`, Labels: labels}
	turn := generate(t, start(t, e), r)
	if len(turn.Probs) != 3 {
		t.Fatalf("probabilities %v of %q", turn.Probs, turn.Text)
	}
	sum := 0.0
	for _, p := range turn.Probs {
		sum += p
	}
	if math.Abs(sum-1) > 1e-6 {
		t.Errorf("probabilities %v sum to %v", turn.Probs, sum)
	}
	choices := 0
	for i, f := range turn.Tokens.Forced {
		piece := e.Piece(turn.Tokens.Output[i])
		if !f && strings.ContainsAny(piece, "bsm") {
			choices++
		}
	}
	if choices != 1 || !turn.Tokens.Forced[0] || !turn.Tokens.Forced[len(turn.Tokens.Forced)-1] {
		t.Errorf("forced %v of %q", turn.Tokens.Forced, turn.Text)
	}
}

func TestLabelProbabilities(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	labels := []string{"benign", "sensitive", "malicious"}
	logits := make([]float32, e.Info().Vocabulary)
	for i := range logits {
		logits[i] = -20
	}
	set := func(piece string, v float32) {
		for i := range logits {
			if e.Piece(int32(i)) == piece {
				logits[i] = v
				return
			}
		}
		t.Fatalf("no token %q", piece)
	}
	set("b", 2)
	set("s", 1)
	set("m", 0)
	t.Run("SumsBeginnings", func(t *testing.T) {
		p := inference.ReadLabels(e, `"label":"`, labels, inference.Encode(e, `{"label":"benign"}`), logits)
		want := math.Exp(2) / (math.Exp(2) + math.Exp(1) + 1)
		if len(p) != 3 || math.Abs(p[0]-want) > 1e-3 || p[0] < p[1] || p[1] < p[2] {
			t.Errorf("%v, want %v first", p, want)
		}
	})
	t.Run("PassesOverWhiteSpace", func(t *testing.T) {
		p := inference.ReadLabels(e, `"label":"`, labels, inference.Encode(e, "{ \"label\" :\n \"malicious\""), logits)
		if len(p) != 3 || p[0] < p[1] {
			t.Errorf("%v", p)
		}
	})
	t.Run("NothingWithoutPrefix", func(t *testing.T) {
		if p := inference.ReadLabels(e, `"label":"`, labels, inference.Encode(e, `{"other":"benign"}`), logits); p != nil {
			t.Errorf("%v", p)
		}
	})
	t.Run("CountsTokensAcrossTheBorder", func(t *testing.T) {
		// The label begins inside the first token after "x": a token that starts with the space counts, others do not.
		set(" t", 5)
		ids := append(inference.Encode(e, "x"), inference.Encode(e, " t")...)
		p := inference.ReadLabels(e, "x ", []string{"blue", "tan"}, ids, logits)
		if len(ids) != 2 || len(p) != 2 || p[1] < 0.9 {
			t.Errorf("%v of %d tokens", p, len(ids))
		}
	})
}

func TestCallsAreConstrainedAfterTheirTrigger(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	r := request(10, user("Hi"))
	for name, c := range map[string]struct {
		text, refused string
	}{
		"FreeTextIsFree":        {`Any {"text": goes here`, ""},
		"WholeCall":             {"<think>\nhm\n</think>\n\n<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}\n</tool_call>", ""},
		"UnknownTool":           {"<tool_call>\n{\"name\": \"format\"", "f"},
		"TriggerInThought":      {"<think>\nI could <tool_call> or not\n</think>\n\nok", ""},
		"CallAfterThought":      {"<think>\n<tool_call>\n</think>\n\n<tool_call>\n{\"name\": \"nope\"", "n"},
		"WrongArgumentType":     {"<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": 7", "7"},
		"ThoughtMarkInArgument": {"<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"<think>\"}} x", " x"},
	} {
		t.Run(name, func(t *testing.T) {
			constrained, _, refused, err := inference.Feed(e, r, c.text)
			if err != nil {
				t.Fatal(err)
			}
			if c.refused == "" && refused != "" || !strings.HasPrefix(strings.TrimSpace(refused), strings.TrimSpace(c.refused)) {
				t.Errorf("refused %q, want %q; constrained %v", refused, c.refused, constrained)
			}
		})
	}
}

func TestParse(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	call := "<tool_call>\n{\"name\": \"read_file\", \"arguments\": {\"path\": \"a\"}}\n</tool_call>"
	for name, c := range map[string]struct {
		text   string
		end    agent.Finish
		status agent.ParseStatus
		calls  int
		answer string
	}{
		"Answer":            {"All done.", agent.FinishEOS, agent.ParseClean, 0, "All done."},
		"AnswerAfterThis":   {"<think>\nhm\n</think>\n\nAll done.", agent.FinishEOS, agent.ParseClean, 0, "All done."},
		"Call":              {call, agent.FinishEOS, agent.ParseClean, 1, ""},
		"TextThenCall":      {"I read it. " + call, agent.FinishEOS, agent.ParseClean, 1, ""},
		"TextAfterCall":     {call + "\nThat was it.", agent.FinishEOS, agent.ParseRepaired, 1, ""},
		"UnknownTool":       {strings.Replace(call, "read_file", "format", 1), agent.FinishEOS, agent.ParseFailed, 0, ""},
		"HalfCall":          {call[:57], agent.FinishEOS, agent.ParseFailed, 0, ""},
		"CutOffCall":        {call[:57], agent.FinishLength, agent.ParseFailed, 0, ""},
		"CutOffAfterCall":   {call, agent.FinishLength, agent.ParseFailed, 0, ""},
		"CutOffBeforeTool":  {"<tool_call>\n{", agent.FinishLength, agent.ParseFailed, 0, ""},
		"RepeatedMember":    {strings.Replace(call, `"path": "a"`, `"path": "a", "path": "b"`, 1), agent.FinishEOS, agent.ParseFailed, 0, ""},
		"NoTextAtAll":       {"", agent.FinishEOS, agent.ParseClean, 0, ""},
		"InvalidUTF8Answer": {"a\xffb", agent.FinishEOS, agent.ParseClean, 0, "a\uFFFDb"},
	} {
		t.Run(name, func(t *testing.T) {
			turn, err := inference.Parse(e, request(10, user("Hi")), c.text, c.end)
			if err != nil {
				t.Fatal(err)
			}
			if turn.Parse != c.status || len(turn.Calls) != c.calls || turn.Answer != c.answer || turn.Text != c.text {
				t.Errorf("%s (%s), %d calls, answer %q", turn.Parse, turn.Problem, len(turn.Calls), turn.Answer)
			}
			if (turn.Problem != "") != (c.status == agent.ParseFailed) {
				t.Errorf("problem %q", turn.Problem)
			}
		})
	}
}

func TestSampler(t *testing.T) {
	logits := func() []float32 { return []float32{0, 3, 2, 1} }
	even := func(id int32) bool { return id%2 == 0 }
	for name, c := range map[string]struct {
		narrow inference.Sampling
		temp   float64
		allow  func(int32) bool
		want   []int32 // what may come
	}{
		"Greedy":            {inference.Sampling{}, 0, nil, []int32{1}},
		"GreedyConstrained": {inference.Sampling{}, 0, even, []int32{2}},
		"TopK":              {inference.Sampling{TopK: 2}, 1, nil, []int32{1, 2}},
		"TopKConstrained":   {inference.Sampling{TopK: 1}, 1, even, []int32{2}},
		"MinP":              {inference.Sampling{MinP: 0.3}, 1, nil, []int32{1, 2}},
		"TopP":              {inference.Sampling{TopP: 0.5}, 1, nil, []int32{1}},
		"Free":              {inference.Sampling{}, 1, nil, []int32{0, 1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[int32]float64{}
			for seed := range uint64(200) {
				id, lp, err := inference.Sample(c.narrow, c.temp, seed, logits(), c.allow)
				if err != nil {
					t.Fatal(err)
				}
				seen[id] = math.Exp(float64(lp))
			}
			sum := 0.0
			for id, p := range seen {
				sum += p
				ok := false
				for _, w := range c.want {
					ok = ok || w == id
				}
				if !ok {
					t.Errorf("token %d came", id)
				}
			}
			if len(seen) != len(c.want) || math.Abs(sum-1) > 1e-5 {
				t.Errorf("came %v, want %v; probabilities sum to %v", seen, c.want, sum)
			}
		})
	}
	if _, _, err := inference.Sample(inference.Sampling{}, 1, 1, logits(), func(int32) bool { return false }); err == nil {
		t.Error("a constraint that allows nothing gave a token")
	}
	if _, _, err := inference.Sample(inference.Sampling{}, 0, 1, []float32{float32(math.NaN())}, nil); err == nil {
		t.Error("scores that are not numbers gave a token")
	}
}

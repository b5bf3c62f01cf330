package remote

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/frame"
)

// TestSchemaOf holds for every grammar that the judge sends.
func TestSchemaOf(t *testing.T) {
	const label = `"label":{"type":"string","enum":["benign","sensitive","malicious"]}},"required":["reason","label"],"additionalProperties":false}`
	const plan = `},"required":["tools"],"additionalProperties":false}`
	for grammar, want := range map[string]string{
		frame.VerdictGrammar: `{"type":"object","properties":{"reason":{"type":"string","minLength":1,"maxLength":200},` + label,
		"root ::= \"{\\\"reason\\\": \\\"\\\", \\\"label\\\": \\\"\" label \"\\\"}\"\nlabel ::= \"benign\" | \"sensitive\" | \"malicious\"\n": `{"type":"object","properties":{"reason":{"type":"string","enum":[""]},` + label,
		frame.PlanGrammar([]string{"b", "a/x"}): `{"type":"object","properties":{"tools":{"type":"array","items":{"type":"string","enum":["a/x","b"]},"maxItems":8}` + plan,
		frame.PlanGrammar([]string{"one"}):      `{"type":"object","properties":{"tools":{"type":"array","items":{"type":"string","enum":["one"]},"maxItems":8}` + plan,
		frame.PlanGrammar(nil):                  `{"type":"object","properties":{"tools":{"type":"array","items":{"type":"string"},"maxItems":0}` + plan,
	} {
		got, err := schemaOf(grammar)
		if err != nil || got != want {
			t.Errorf("schemaOf(%q)\n got %s, %v\nwant %s", grammar, got, err, want)
			continue
		}
		if _, err := compile(got); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func TestSchemaOfRefuses(t *testing.T) {
	for _, grammar := range []string{
		"", "root", "root ::= ", `root ::= "yes" | "no"`, `root ::= [a-z]+`, `root ::= "{\"a\": " x "}"`,
		`root ::= "{\"a\": \"" [a-z]* "\"}"`, `root ::= "\"" [^"]* "x\""`, "root ::= \"{}\"\nroot ::= \"[]\"",
		`root ::= "{\"a\": \"b\"`, `root ::= "{\"a\": \"b\"}" root`, `root ::= root`, `root ::= "{\"a\" \"b\"}"`, `root ::= ("`, `root ::= "\q"`,
		`root ::= "[" (v (", " w){0,3})? "]"` + "\nv ::= \"\\\"a\\\"\"\nw ::= \"\\\"b\\\"\"\n", "root ::= " + strings.Repeat("(", 99),
		`root ::= "[" (root ("," root)*)? "]"`, `root ::= "a"{5,2}`,
	} {
		if s, err := schemaOf(grammar); err == nil {
			t.Errorf("schemaOf(%q) = %s", grammar, s)
		}
	}
}

func TestLabelProbs(t *testing.T) {
	labels := []string{"benign", "sensitive", "malicious"}
	alt := func(pairs ...any) (list []scoredAlt) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, scoredAlt{pairs[i].(string), pairs[i+1].(float64)})
		}
		return list
	}
	const out = `{"reason": "x", "label": "benign"}`
	tokens := func(top []scoredAlt) []scored {
		return []scored{{piece: `{"reason": "x", `}, {piece: `"label": "`}, {piece: "ben", top: top}, {piece: `ign"}`}}
	}
	for _, c := range []struct {
		name   string
		tokens []scored
		want   []float64
	}{
		{"ReadsThem", tokens(alt("ben", -0.6931471805599453, "sens", -1.3862943611198906, "mal", -1.3862943611198906)), []float64{.5, .25, .25}},
		{"CountsTheUnlistedAsMalicious", tokens(alt("ben", -0.6931471805599453)), []float64{.5, 0, .5}},
		{"NotOfAnotherSpelling", []scored{{piece: `{"reason":"x",`}, {piece: ` "label":"b`, top: alt(` "label":"b`, -0.6931471805599453, ` "label":"s`, -0.6931471805599453)}, {piece: `enign"}`}}, nil},
		{"NotOfOtherText", tokens(alt("ben", 0.0))[1:], nil},
		{"NotOfImpossibleNumbers", tokens(alt("ben", 1.0)), nil},
		{"NotOfTooMuch", tokens(alt("ben", 0.0, "mal", 0.0)), nil},
		{"NotOfNothing", tokens(nil), nil},
		{"NotWithoutTokens", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := labelProbs(c.tokens, out, `"label": "`, labels)
			if len(got) != len(c.want) {
				t.Fatalf("got %v, want %v", got, c.want)
			}
			for i := range got {
				if d := got[i] - c.want[i]; d > 1e-6 || d < -1e-6 {
					t.Fatalf("got %v, want %v", got, c.want)
				}
			}
		})
	}
	spanning := []scored{{piece: `{"reason": "x", `}, {piece: `"label": "b`, top: alt(`"label": "b`, -0.6931471805599453, `"label": "s`, -0.6931471805599453)}, {piece: `enign"}`}}
	if got := labelProbs(spanning, out, `"label": "`, labels); len(got) != 3 || got[0] < .49 || got[0] > .51 || got[1] < .49 {
		t.Errorf("a token across the border gives %v", got)
	}
	beyond := append([]scored{{piece: `{"label":"benign"}`}}, tokens(alt("ben", 0.0))...)
	if got := labelProbs(beyond, `{"label":"benign"}`, `"reason"`, labels); got != nil {
		t.Errorf("tokens behind the output give %v", got)
	}
}

func TestShield(t *testing.T) {
	h := newShield([]string{"<|im_start|>", "<<CTRL>>", "ab", " "})
	for in, want := range map[string]string{
		"plain <b>text</b> [1] a < b":       "plain <b>text</b> [1] a < b",
		"<|im_start|>system":                "< |im_start|>system",
		"x<<CTRL>>y":                        "x< <CTRL>>y",
		"[INST] a [/INST]</s>":              "[ INST] a [ /INST]< /s>",
		"[|user|]a[|endofturn|]":            "[ |user|]a[ |endofturn|]",
		"<role>HUMAN</role>":                "< role>HUMAN< /role>",
		"<extra_id_1>User":                  "< extra_id_1>User",
		"[gMASK]<sop><seed:bos>":            "[ gMASK]< sop>< seed:bos>",
		"]~!b[]~b]user[e~[":                 "] ~!b[] ~b]user[ e~[",
		"a[i] | b[j], x[1] ~ y[2], <b>role": "a[i] | b[j], x[1] ~ y[2], <b>role",
		"<tool_call>{}</tool_call>":         "< tool_call>{}< /tool_call>",
		"<|<|im_start|>|>":                  "<|< |im_start|>|>",
		"<｜tool▁calls▁begin｜>":              "< ｜tool▁calls▁begin｜>",
		"<start_of_turn>user <think>":       "< start_of_turn>user < think>",
		"<data 0a1b2c3d>\n</data 0a1b2c3d>": "<data 0a1b2c3d>\n</data 0a1b2c3d>",
	} {
		got := h.cover(in)
		if got != want {
			t.Errorf("cover(%q) = %q, want %q", in, got, want)
		}
		if again := h.cover(got); again != got {
			t.Errorf("cover(%q) = %q: something was left", got, again)
		}
	}
	got, err := h.coverJSON([]byte(`{"a":"\u003c|im_start|\u003e","n":12345678901234567890,"<|im_end|>":[true,null]}`))
	if want := `{"< |im_end|>":[true,null],"a":"< |im_start|>","n":12345678901234567890}`; err != nil || string(got) != want {
		t.Errorf("coverJSON = %s, %v", got, err)
	}
}

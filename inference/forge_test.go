package inference_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// channels puts content into every place of a request that people, tools or models write.
var channels = map[string]func(content string) agent.Request{
	"System": func(c string) agent.Request { return request(1, system(c), user("Hi")) },
	"User":   func(c string) agent.Request { return request(1, user(c)) },
	"Answer": func(c string) agent.Request {
		return request(1, user("Hi"), agent.Message{Role: agent.Assistant, Text: c}, user("Go on"))
	},
	"Thought": func(c string) agent.Request {
		return request(1, user("Hi"), agent.Message{Role: agent.Assistant, Thought: c, Text: "ok"}, user("Go on"))
	},
	"ToolResponse": func(c string) agent.Request {
		r := withCall(`{"path":"x"}`)
		r.Messages[2].Text = c
		return r
	},
	"Argument":     func(c string) agent.Request { return withCall(fmt.Sprintf(`{"path":%s}`, jsonString(c))) },
	"ArgumentName": func(c string) agent.Request { return withCall(fmt.Sprintf(`{%s:1}`, jsonString(c))) },
	"EscapedArgument": func(c string) agent.Request {
		var b strings.Builder
		for _, r := range c {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		return withCall(`{"path":"` + b.String() + `"}`)
	},
	"ToolDescription": func(c string) agent.Request {
		r := request(1, user("Hi"))
		r.Tools = slices.Clone(tools)
		r.Tools[0].Description = c
		return r
	},
	"ToolSchema": func(c string) agent.Request {
		r := request(1, user("Hi"))
		r.Tools = slices.Clone(tools)
		r.Tools[0].Schema = json.RawMessage(`{"type":"object","properties":{"a":{"type":"string","description":` + jsonString(c) + `}}}`)
		return r
	},
}

func jsonString(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func withCall(args string) agent.Request {
	call := agent.ToolCall{ID: "0123456789abcdef0123456789abcdef", Tool: "read_file", Args: args}
	return request(1, user("Hi"), agent.Message{Role: agent.Assistant, Calls: []agent.ToolCall{call}},
		agent.Message{Role: agent.Tool, CallID: call.ID, Tool: call.Tool, Text: "done"})
}

// TestContentCannotForgeTokens takes every special token of the vocabulary, whole, split and nested, through every
// channel: the prompt has as many special tokens as with harmless content, and still says what was written.
func TestContentCannotForgeTokens(t *testing.T) {
	for vocab, spec := range map[string]ggufgen.Spec{"BPE": {}, "SentencePiece": {SentencePiece: true, AddBOS: true}} {
		e := open(t, spec, inference.Options{})
		spellings := inference.Special(e)
		if want := len(ggufgen.ControlTokens) + len(ggufgen.UserDefinedTokens); len(spellings) < want {
			t.Fatalf("%d special tokens, want %d", len(spellings), want)
		}
		for name, build := range channels {
			t.Run(vocab+"/"+name, func(t *testing.T) {
				harmless := special(t, e, build("harmless"))
				for _, s := range spellings {
					for _, content := range []string{"a " + s + " b" + s + s, s[:2] + s + s[2:], s[:len(s)-1], s[1:], s[1 : len(s)-1]} {
						ids, err := inference.Tokens(e, build(content))
						if err != nil {
							t.Fatalf("%q: %v", content, err)
						}
						if n := inference.CountSpecial(e, ids); n != harmless {
							t.Errorf("%q makes %d special tokens, harmless content %d", content, n, harmless)
						}
						// SentencePiece puts a space after every special token.
						if text := spell(e, ids); !strings.Contains(text, content) && vocab == "BPE" {
							t.Errorf("%q is not in the prompt:\n%s", content, text)
						}
					}
				}
			})
		}
	}
}

func special(t *testing.T, e *inference.Engine, r agent.Request) int {
	t.Helper()
	ids, err := inference.Tokens(e, r)
	if err != nil {
		t.Fatal(err)
	}
	return inference.CountSpecial(e, ids)
}

func spell(e *inference.Engine, ids []int32) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(e.Piece(id))
	}
	return b.String()
}

// TestShoutingTemplateBreaksSpellings uses a template that changes its content, so that the shield's words are lost.
func TestShoutingTemplateBreaksSpellings(t *testing.T) {
	const shout = `{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + (m.content | upper) + '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}`
	e := open(t, ggufgen.Spec{Template: shout}, inference.Options{})
	ask := func(c string) agent.Request {
		return agent.Request{Purpose: agent.PurposeAgent, Messages: []agent.Message{user(c)}}
	}
	ids, err := inference.Tokens(e, ask("a <|im_start|> b"))
	if err != nil {
		t.Fatal(err)
	}
	if n, want := inference.CountSpecial(e, ids), special(t, e, ask("harmless")); n != want {
		t.Errorf("%d special tokens, want %d", n, want)
	}
	if text := spell(e, ids); !strings.Contains(text, "A < |IM_START|> B") {
		t.Errorf("the spelling was not broken visibly:\n%s", text)
	}
}

func TestTemplateReadsTheDate(t *testing.T) {
	const dated = `{{- 'Today is ' + date_string + '.\n' }}{%- for m in messages %}{{- m.content }}{%- endfor %}`
	e := open(t, ggufgen.Spec{Template: dated}, inference.Options{Now: time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC)})
	ids, err := inference.Tokens(e, agent.Request{Purpose: agent.PurposeAgent, Messages: []agent.Message{user("Hello")}})
	if err != nil {
		t.Fatal(err)
	}
	if text := spell(e, ids); text != "Today is 09 Mar 2026.\nHello" {
		t.Errorf("rendered %q", text)
	}
}

func TestHarmlessContentIsCutAsOneText(t *testing.T) {
	e := open(t, ggufgen.Spec{}, inference.Options{})
	ids, err := inference.Tokens(e, agent.Request{Purpose: agent.PurposeAgent, Messages: []agent.Message{system("You are."), user("Reads a < b.")}})
	if err != nil {
		t.Fatal(err)
	}
	want := inference.Encode(e, "<|im_start|>system\nYou are.<|im_end|>\n<|im_start|>user\nReads a < b.<|im_end|>\n<|im_start|>assistant\n")
	if !slices.Equal(ids, want) {
		t.Errorf("tokens %v, want %v", ids, want)
	}
}

func TestTemplateThatInsistsOnTurns(t *testing.T) {
	const strict = `{%- for m in messages %}{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('turns') }}{%- endif %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}`
	e := open(t, ggufgen.Spec{Template: strict}, inference.Options{})
	if !e.Info().Alternating {
		t.Fatal("the template's rule was not found")
	}
	ids, err := inference.Tokens(e, agent.Request{Purpose: agent.PurposeReview, Messages: []agent.Message{user("One"), user("Two")}})
	if err != nil {
		t.Fatal(err)
	}
	if text := spell(e, ids); !strings.Contains(text, "One<|im_end|>\n<|im_start|>assistant\n") || !strings.Contains(text, "Two") {
		t.Errorf("rendered %q", text)
	}
}

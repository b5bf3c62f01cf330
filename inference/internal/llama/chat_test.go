package llama_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

func weatherRequest() llama.ChatRequest {
	return llama.ChatRequest{
		Messages: []llama.ChatMessage{{Role: "user", Content: "How is the weather in Bergen?"}},
		Tools: []llama.ChatTool{{Type: "function", Function: llama.ChatToolFunction{
			Name: "get_weather", Description: "Tells the weather of a city",
			Parameters: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`),
		}}},
		AddGenerationPrompt: true,
	}
}

// history is a request whose conversation already holds the call; what a template prints between the two prompts is
// what a model of that template says to make it.
func answered(r llama.ChatRequest) llama.ChatRequest {
	call := llama.ChatToolCall{ID: "call00001", Type: "function",
		Function: llama.ChatFunction{Name: "get_weather", Arguments: `{"city":"Bergen"}`}}
	r.Messages = append(r.Messages[:1:1], llama.ChatMessage{Role: "assistant", ToolCalls: []llama.ChatToolCall{call}})
	r.AddGenerationPrompt = false
	return r
}

// TestTemplatesRoundTripCalls renders a call through every template that comes with llama.cpp, reads the rendered call
// back with the parser derived from the same template, and requires the grammar to allow it.
func TestTemplatesRoundTripCalls(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(templateDir(t), "*.jinja"))
	if err != nil || len(files) < 50 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	rendered, parsed := 0, 0
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		chat, err := llama.NewChat(nil, string(src), "<s>", "</s>", budget)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(f), err)
			continue
		}
		ask, err := chat.Apply(weatherRequest(), budget)
		if err != nil || !strings.Contains(ask.Prompt, "Bergen") {
			t.Logf("%s: does not render: %v", filepath.Base(f), err)
			chat.Close()
			continue
		}
		rendered++
		if got, err := chat.Apply(answered(weatherRequest()), budget); err == nil {
			out, ok := strings.CutPrefix(got.Prompt, ask.Prompt)
			if ok && readsCall(ask, out) {
				parsed++
			}
		}
		chat.Close()
	}
	t.Logf("%d templates: %d render, %d read their own call back", len(files), rendered, parsed)
	if rendered < 60 || parsed < 40 {
		t.Errorf("of %d templates %d render and %d parse", len(files), rendered, parsed)
	}
}

// readsCall reports whether out holds the call. A rendered message ends with end-of-turn spellings that a model's output
// does not hold, so up to three tags are taken off its end.
func readsCall(ask llama.ChatParams, out string) bool {
	for range 4 {
		out = strings.TrimRight(out, "\n")
		a, err := llama.ParseChat(ask, out, false, budget)
		if err == nil && len(a.Calls) == 1 && a.Calls[0].Name == "get_weather" && strings.Contains(a.Calls[0].Arguments, `"Bergen"`) {
			return true
		}
		i := strings.LastIndexAny(out, "<[")
		if i < 0 {
			return false
		}
		out = out[:i]
	}
	return false
}

func TestHermesCall(t *testing.T) {
	m := loadModel(t, ggufgen.Spec{})
	chat, err := llama.NewChat(m, "", "", "", budget)
	if err != nil {
		t.Fatal(err)
	}
	defer chat.Close()
	caps, err := chat.Caps()
	if err != nil || !caps["supports_tool_calls"] {
		t.Fatalf("caps %v, %v", caps, err)
	}
	p, err := chat.Apply(weatherRequest(), budget)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(p.Prompt, "<|im_start|>assistant\n") || !p.GrammarLazy || len(p.Triggers) == 0 {
		t.Fatalf("prompt ends %q, lazy %v, triggers %v", p.Prompt[max(0, len(p.Prompt)-40):], p.GrammarLazy, p.Triggers)
	}
	const text = "<think>\nI look it up.\n</think>\n\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bergen\"}}\n</tool_call>"
	a, err := llama.ParseChat(p, text, false, budget)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Calls) != 1 || a.Calls[0].Name != "get_weather" || strings.TrimSpace(a.Reasoning) != "I look it up." {
		t.Errorf("parsed %+v", a)
	}
	// The parser is lenient: half a call comes back with half its arguments, so whoever uses it checks them.
	half, err := llama.ParseChat(p, "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"ci", false, budget)
	if err == nil && len(half.Calls) == 1 && json.Valid([]byte(half.Calls[0].Arguments)) {
		t.Errorf("half a call was completed: %+v", half)
	}
	if _, err := llama.ParseChat(p, "<tool_call>\n{\"name\": \"format_disk\", \"arguments\": {}}\n</tool_call>", false, budget); err == nil {
		t.Error("a call of a tool that was not offered parses")
	}
}

// TestHostileToolTemplate hides a template in the place of the one for tools.
func TestHostileToolTemplate(t *testing.T) {
	f := ggufgen.New(ggufgen.Spec{})
	f.Set("tokenizer.chat_template.tool_use", "{{ "+strings.Repeat("[", 1<<20))
	m, err := llama.LoadModelBytes(t.Context(), f.Bytes(), llama.ModelParams{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := llama.NewChat(m, "", "", "", budget); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("error %v", err)
	}
}

func TestHostileTemplatesEnd(t *testing.T) {
	small := llama.Budget{Time: 2 * time.Second, Memory: 64 << 20}
	for name, src := range map[string]string{
		"EndlessLoop": `{%- for a in range(100000) %}{%- for b in range(100000) %}{%- for c in range(100000) %}{{- c }}{%- endfor %}{%- endfor %}{%- endfor %}`,
		"HugeRange":   `{%- for a in range(4000000000) %}{{- a }}{%- endfor %}`,
		"Recursion":   `{%- macro f(n) %}{{- f(n + 1) }}{%- endmacro %}{{- f(0) }}`,
		"Doubling":    `{%- set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{%- for i in range(60) %}{%- set ns.s = ns.s + ns.s %}{%- endfor %}{{- ns.s }}`,
		"DeepNesting": `{{- ` + strings.Repeat("[", 65000) + strings.Repeat("]", 64999) + ` }}`,
		"TooLong":     strings.Repeat("x", llama.MaxTemplate+1),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			chat, err := llama.NewChat(nil, src+`{{- messages[0].content }}`, "", "", small)
			if err == nil {
				defer chat.Close()
				_, err = chat.Apply(weatherRequest(), small)
			}
			if err == nil {
				t.Error("rendered")
			}
			if d := time.Since(began); d > 15*time.Second {
				t.Errorf("took %v", d)
			}
			t.Logf("%v after %v", err, time.Since(began).Round(time.Millisecond))
		})
	}
}

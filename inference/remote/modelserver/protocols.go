package modelserver

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"regexp"
	"sort"
)

// ollamaRequest is a request of Ollama's chat endpoint, as far as it counts here.
type ollamaRequest struct {
	Model    string
	Messages []struct {
		Role, Content string
		ToolCallID    string `json:"tool_call_id"`
		ToolCalls     []struct {
			ID       string
			Function struct {
				Name      string
				Arguments json.RawMessage
			}
		} `json:"tool_calls"`
	}
	Tools    []struct{ Function struct{ Name string } }
	Format   json.RawMessage
	Logprobs bool
	Options  struct {
		Predict int `json:"num_predict"`
	}
}

// asked is the request as the server's model sees it.
func (in *ollamaRequest) asked(r *http.Request, body []byte) Asked {
	a := Asked{Path: r.URL.Path, Model: in.Model, Schema: in.Format, Labels: in.Logprobs, Most: in.Options.Predict, Body: body, Header: r.Header}
	for _, m := range in.Messages {
		k := Message{Role: m.Role, Text: m.Content, CallID: m.ToolCallID}
		for _, c := range m.ToolCalls {
			k.Calls = append(k.Calls, Call{c.ID, c.Function.Name, c.Function.Arguments})
		}
		a.Messages = append(a.Messages, k)
	}
	for _, t := range in.Tools {
		a.Tools = append(a.Tools, t.Function.Name)
	}
	return a
}

func (s *Server) ollama(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var in ollamaRequest
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := in.asked(r, body)
	out := s.take(a)
	if out.odd(w) {
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	e := json.NewEncoder(w)
	line := func(message map[string]any, done bool, more map[string]any) {
		v := map[string]any{"model": in.Model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": done}
		for k, x := range more {
			v[k] = x
		}
		e.Encode(v)
	}
	if out.Thought != "" {
		line(map[string]any{"role": "assistant", "content": "", "thinking": out.Thought}, false, nil)
	}
	for _, p := range pieces(out.Text) {
		more := map[string]any{}
		if out.Probs != nil && a.Labels {
			more["logprobs"] = []any{out.listed(p)}
		}
		line(map[string]any{"role": "assistant", "content": p}, false, more)
	}
	for i, c := range out.Calls {
		line(map[string]any{"role": "assistant", "content": "", "tool_calls": []any{map[string]any{"id": c.ID,
			"function": map[string]any{"index": i, "name": c.Name, "arguments": c.Args}}}}, false, nil)
	}
	line(map[string]any{"role": "assistant", "content": ""}, true, map[string]any{"done_reason": out.finish(),
		"prompt_eval_count": out.Prompt, "eval_count": out.count()})
}

func (s *Server) openAI(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var in struct {
		Model    string
		Messages []struct {
			Role, Content string
			CallID        string `json:"tool_call_id"`
			ToolCalls     []struct {
				ID       string
				Function struct{ Name, Arguments string }
			} `json:"tool_calls"`
		}
		Tools  []struct{ Function struct{ Name string } }
		Format *struct {
			Schema struct{ Schema json.RawMessage } `json:"json_schema"`
		} `json:"response_format"`
		Logprobs bool
		Most     int `json:"max_tokens"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := Asked{Path: r.URL.Path, Model: in.Model, Labels: in.Logprobs, Most: in.Most, Body: body, Header: r.Header}
	if in.Format != nil {
		a.Schema = in.Format.Schema.Schema
	}
	for _, m := range in.Messages {
		k := Message{Role: m.Role, Text: m.Content, CallID: m.CallID}
		for _, c := range m.ToolCalls {
			k.Calls = append(k.Calls, Call{c.ID, c.Function.Name, json.RawMessage(c.Function.Arguments)})
		}
		a.Messages = append(a.Messages, k)
	}
	for _, t := range in.Tools {
		a.Tools = append(a.Tools, t.Function.Name)
	}
	out := s.take(a)
	if out.odd(w) {
		return
	}
	message := map[string]any{"role": "assistant", "content": out.Text, "reasoning_content": out.Thought}
	var calls []any
	for _, c := range out.Calls {
		calls = append(calls, map[string]any{"id": c.ID, "type": "function", "function": map[string]any{"name": c.Name, "arguments": string(c.Args)}})
	}
	if calls != nil {
		message["tool_calls"] = calls
	}
	choice := map[string]any{"index": 0, "message": message, "finish_reason": out.finish()}
	if out.Probs != nil && a.Labels {
		var list []any
		for _, p := range pieces(out.Text) {
			list = append(list, out.listed(p))
		}
		choice["logprobs"] = map[string]any{"content": list}
	}
	s.send(w, map[string]any{"choices": []any{choice}, "usage": map[string]any{"prompt_tokens": out.Prompt, "completion_tokens": out.count()}})
}

var piece = regexp.MustCompile(`[A-Za-z0-9_]+|\s+|[^A-Za-z0-9_\s]`)

// pieces cuts a text into what stands for tokens.
func pieces(s string) []string { return piece.FindAllString(s, -1) }

func (a Said) finish() string {
	if a.Finish == "" {
		return "stop"
	}
	return a.Finish
}

func (a Said) count() int {
	if a.Out != 0 {
		return a.Out
	}
	return len(pieces(a.Text)) + 1
}

// listed is a token with its alternatives: those of Probs where it is one of them.
func (a Said) listed(p string) map[string]any {
	entry := func(word string, prob float64) map[string]any {
		return map[string]any{"token": word, "logprob": math.Log(prob)}
	}
	top := []any{entry(p, 0.99)}
	if _, ok := a.Probs[p]; ok {
		top = nil
		words := make([]string, 0, len(a.Probs))
		for w := range a.Probs {
			words = append(words, w)
		}
		sort.Strings(words)
		for _, w := range words {
			top = append(top, entry(w, a.Probs[w]))
		}
	}
	e := entry(p, 0.99)
	e["top_logprobs"] = top
	return e
}

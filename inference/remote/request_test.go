package remote_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/ollama/ollama/api"

	"github.com/holdfast-run/holdfast/inference/remote"
	"github.com/holdfast-run/holdfast/inference/remote/modelserver"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// TestRequestReadsAsOllamaReadsIt reads what was sent with the types that Ollama's server
// reads it with: nothing in it is unknown to it, and the prompt is not to be cut.
func TestRequestReadsAsOllamaReadsIt(t *testing.T) {
	s := serve(t, obedient(func(modelserver.Asked) modelserver.Said { return modelserver.Said{Text: "ok"} }))
	e := open(t, remote.Ollama, s, remote.Options{Context: 2048})
	tools := append([]agent.ToolSpec{{Name: "write_file", Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{` +
		`"path":{"type":"string","description":"where"},"lines":{"type":"array","items":{"type":"string"}},"n":{"type":["integer","null"]}},"required":["path"]}`)}}, offered...)
	if _, err := e.Generate(t.Context(), agent.Request{Purpose: agent.PurposeAgent, Tools: tools, MaxTokens: 77, Temp: .5, Seed: 1 << 40,
		Messages: []agent.Message{told("go"), {Role: agent.Assistant, Thought: "hm", Calls: []agent.ToolCall{{ID: "1", Tool: "read_file", Args: `{"path":"a"}`}}},
			{Role: agent.Tool, CallID: "1", Tool: "read_file", Text: "x"}}}); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, v := range []any{api.Options{}, api.Runner{}} {
		for i := range reflect.TypeOf(v).NumField() {
			name, _, _ := strings.Cut(reflect.TypeOf(v).Field(i).Tag.Get("json"), ",")
			known[name] = true
		}
	}
	for _, q := range s.Questions() {
		var req api.ChatRequest
		d := json.NewDecoder(bytes.NewReader(q.Body))
		d.DisallowUnknownFields()
		if err := d.Decode(&req); err != nil {
			t.Fatalf("%s: %v", q.Body, err)
		}
		if req.Truncate == nil || *req.Truncate || req.Shift == nil || *req.Shift || req.Options["num_ctx"] != 2048.0 {
			t.Errorf("it may be cut: %s", q.Body)
		}
		for k := range req.Options {
			if !known[k] {
				t.Errorf("Ollama knows no option %s", k)
			}
		}
	}
	all := s.Questions()
	var last api.ChatRequest
	if err := json.Unmarshal(all[len(all)-1].Body, &last); err != nil {
		t.Fatal(err)
	}
	if len(last.Tools) != 2 || last.Tools[1].Function.Parameters.Required[0] != "path" || last.Messages[1].ToolCalls[0].ID != last.Messages[2].ToolCallID ||
		last.Options["num_predict"] != 77.0 || last.Options["temperature"] != .5 || last.Format != nil {
		t.Errorf("it reads as %+v", last)
	}
}

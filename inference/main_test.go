package inference_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/inference/ggufgen"
	"github.com/holdfast-run/holdfast/inference/internal/llama"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

var _ agent.Generator = (*inference.Session)(nil)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := llama.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d C objects were not closed\n", n)
		code = 1
	}
	os.Exit(code)
}

func open(t testing.TB, spec ggufgen.Spec, opt inference.Options) *inference.Engine {
	t.Helper()
	if opt.Threads == 0 {
		opt.Threads = 1 // tests share the machine
	}
	e, err := inference.OpenBytes(t.Context(), ggufgen.New(spec).Bytes(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func start(t testing.TB, e *inference.Engine) *inference.Session {
	t.Helper()
	s, err := e.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func generate(t testing.TB, s *inference.Session, r agent.Request) agent.Turn {
	t.Helper()
	turn, err := s.Generate(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

var tools = []agent.ToolSpec{
	{Name: "write_file", Description: "Writes a file", Schema: json.RawMessage(`{"type":"object","properties":{"path":{"type":"string"},"text":{"type":"string"}},"required":["path","text"]}`)},
	{Name: "read_file", Description: "Reads a file", Schema: json.RawMessage(`{"type":"object","properties":{"path":{"type":"string"}},"required":["path"]}`)},
}

func request(max int, msgs ...agent.Message) agent.Request {
	return agent.Request{Purpose: agent.PurposeAgent, Messages: msgs, Tools: tools, MaxTokens: max}
}

func user(text string) agent.Message   { return agent.Message{Role: agent.User, Text: text} }
func system(text string) agent.Message { return agent.Message{Role: agent.System, Text: text} }

// said is the message that a turn becomes in the history.
func said(t agent.Turn) agent.Message {
	m := agent.Message{Role: agent.Assistant, Thought: t.Thought, Calls: t.Calls, Text: t.Answer}
	if t.Parse == agent.ParseFailed {
		m.Text = t.Text
	}
	return m
}

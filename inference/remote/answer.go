package remote

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// reply is what came back, in the terms of no protocol.
type reply struct {
	thought string
	text    string
	calls   []toolCall
	finish  agent.Finish
	told    agent.TokenCount // 0 where the server told nothing
	tokens  []scored         // nil where it lists none
}

const (
	maxCalls = 64 // of one turn

	// bytesPerToken bounds the text of a token on average. A server that sends more text
	// for the tokens it was granted, or counts fewer tokens for its text, is not believed.
	bytesPerToken = 16
)

// size is what a reply said, in bytes.
func (a reply) size() int {
	n := len(a.thought) + len(a.text)
	for _, c := range a.calls {
		n += len(c.name) + len(c.args)
	}
	return n
}

// raw is the output as one text. The one the server parsed is not told.
func (a reply) raw() string {
	var b strings.Builder
	b.WriteString(a.text)
	for _, c := range a.calls {
		line, err := json.Marshal(struct {
			Name string          `json:"name"`
			Args json.RawMessage `json:"arguments"`
		}{c.name, c.args})
		if err != nil { // the arguments are no JSON
			line = fmt.Appendf(nil, "%q", c.name+" "+string(c.args))
		}
		b.WriteString("\n" + string(line))
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// count is what the generation is charged: what the server told, if that can be.
func (a reply) count(asked int) *agent.TokenCount {
	least := a.size() / bytesPerToken
	out := a.told.Output
	if out <= 0 { // nothing told: no text has more tokens than bytes
		out = max(1, a.size())
	}
	return &agent.TokenCount{Prompt: max(0, a.told.Prompt), Output: min(max(out, least), max(asked, least))}
}

// turn checks a reply and reads it into its parts. Whatever is wrong with it makes a turn
// that could not be parsed.
func (a reply) turn(r agent.Request, check *jsonschema.Schema) agent.Turn {
	t := agent.Turn{Text: a.raw()}
	if a.finish == agent.FinishAbort {
		t.Problem = "the server broke the output off"
	} else if check != nil {
		t.Problem = a.constrained(check)
		t.Answer = strings.TrimSpace(a.text)
	} else {
		t.Problem = a.free(&t, r)
	}
	t.Parse = agent.ParseClean
	if t.Problem != "" {
		t.Parse, t.Thought, t.Calls, t.Answer = agent.ParseFailed, "", nil, ""
	}
	return t
}

// constrained returns what keeps a reply from being a document of the schema, "" if
// nothing does.
func (a reply) constrained(check *jsonschema.Schema) string {
	switch {
	case a.finish == agent.FinishLength:
		return "the output was cut off at its token limit"
	case len(a.calls) > 0:
		return "the server answered a question with a call"
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(a.text))
	if err != nil {
		return "the output is not a JSON document"
	}
	if err := check.Validate(doc); err != nil {
		return "the output does not match the schema: " + clip(strings.ReplaceAll(err.Error(), "\n", " "))
	}
	return ""
}

// free reads calls or an answer.
func (a reply) free(t *agent.Turn, r agent.Request) string {
	t.Thought, t.Answer = strings.TrimSpace(a.thought), a.text
	if len(a.calls) == 0 {
		return ""
	}
	if a.finish == agent.FinishLength {
		return "a call was cut off at the token limit"
	}
	if len(a.calls) > maxCalls {
		return fmt.Sprintf("%d calls are more than %d", len(a.calls), maxCalls)
	}
	offered := map[string]bool{}
	for _, s := range r.Tools {
		offered[s.Name] = true
	}
	for _, c := range a.calls {
		call := agent.ToolCall{Tool: c.name, Args: strings.TrimSpace(string(c.args))}
		if call.Args == "" {
			call.Args = "{}"
		}
		if !offered[call.Tool] {
			return fmt.Sprintf("there is no tool %q", clip(call.Tool))
		}
		if err := call.CheckArgs(); err != nil {
			return fmt.Sprintf("call of %s: %v", call.Tool, err)
		}
		t.Calls = append(t.Calls, call)
	}
	// Text before a call is reasoning: it is nobody's answer.
	if said := strings.TrimSpace(a.text); said != "" {
		t.Thought = strings.TrimSpace(t.Thought + "\n\n" + said)
	}
	t.Answer = ""
	return ""
}

// compile prepares a schema for checking. It loads nothing that the schema refers to.
func compile(schema string) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource("mem:output", doc); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	s, err := c.Compile("mem:output")
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return s, nil
}

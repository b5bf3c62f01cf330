package inference

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// parse reads the finished text of a turn into its parts. A text that cannot be read, or whose calls are incomplete,
// gives no calls and no answer: the text stays in turn.Text and the reason in turn.Problem.
func (e *Engine) parse(turn *agent.Turn, r agent.Request, p llama.ChatParams) {
	if r.Schema != "" || r.Grammar != "" {
		parseConstrained(turn, r)
		return
	}
	text := turn.Text
	problem := e.read(turn, r, p, text)
	if problem == "" {
		turn.Parse = agent.ParseClean
		return
	}
	for _, shorter := range repairs(text) {
		if turn.Tokens.Finish != agent.FinishLength && e.read(turn, r, p, shorter) == "" && len(turn.Calls) > 0 {
			turn.Parse = agent.ParseRepaired
			return
		}
	}
	turn.Thought, turn.Calls, turn.Answer = "", nil, ""
	turn.Parse, turn.Problem = agent.ParseFailed, problem
}

// parseConstrained reads an output that a grammar or schema dictated: it is the answer as it is.
func parseConstrained(turn *agent.Turn, r agent.Request) {
	turn.Parse, turn.Answer = agent.ParseClean, turn.Text
	switch {
	case turn.Tokens.Finish == agent.FinishLength:
		turn.Problem = "the output was cut off at its token limit"
	case r.Schema != "" && !json.Valid([]byte(turn.Text)):
		turn.Problem = "the output is not a JSON document"
	default:
		return
	}
	turn.Parse, turn.Answer = agent.ParseFailed, ""
}

// read parses text with the template's parser and checks what comes out. It returns what is wrong, "" if nothing is.
func (e *Engine) read(turn *agent.Turn, r agent.Request, p llama.ChatParams, text string) string {
	a, err := llama.ParseChat(p, text, false, e.budget())
	if err != nil {
		return err.Error()
	}
	turn.Thought, turn.Calls, turn.Answer = strings.TrimSpace(a.Reasoning), nil, a.Content
	if len(a.Calls) == 0 {
		if turn.Tokens.Finish == agent.FinishLength && e.beganCall(p, text) {
			return "a call was cut off at the token limit"
		}
		return ""
	}
	if turn.Tokens.Finish == agent.FinishLength {
		return "a call was cut off at the token limit"
	}
	offered := map[string]bool{}
	for _, t := range r.Tools {
		offered[t.Name] = true
	}
	for _, c := range a.Calls {
		call := agent.ToolCall{Tool: c.Name, Args: strings.TrimSpace(c.Arguments)}
		if call.Args == "" {
			call.Args = "{}"
		}
		if !offered[call.Tool] {
			return fmt.Sprintf("there is no tool %q", call.Tool)
		}
		if err := call.CheckArgs(); err != nil {
			return fmt.Sprintf("call of %s: %v", call.Tool, err)
		}
		turn.Calls = append(turn.Calls, call)
	}
	// Text before a call is reasoning: it is nobody's answer.
	if said := strings.TrimSpace(a.Content); said != "" {
		turn.Thought = strings.TrimSpace(turn.Thought + "\n\n" + said)
	}
	turn.Answer = ""
	return ""
}

func (e *Engine) beganCall(p llama.ChatParams, text string) bool {
	for _, t := range p.Triggers {
		if t.Type <= llama.TriggerWord && t.Value != "" && strings.Contains(text, t.Value) {
			return true
		}
	}
	return false
}

// repairs lists shorter forms of a text worth another try for the calls in it: without outer white space, and without
// what follows the last closing mark. Nothing is ever added, so no call can become complete that was not.
func repairs(text string) []string {
	var out []string
	if t := strings.TrimSpace(text); t != text {
		out = append(out, t)
	}
	for _, mark := range []string{">", "]", "}"} {
		if i := strings.LastIndex(text, mark); i >= 0 && i+len(mark) < len(strings.TrimSpace(text)) {
			out = append(out, text[:i+len(mark)])
		}
	}
	return out
}

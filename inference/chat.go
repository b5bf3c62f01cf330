package inference

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

// stub is what an assistant is made to say between two user messages in templates that insist on turns.
const stub = "Understood."

// openChat compiles the template and finds out what it refuses.
func (e *Engine) openChat() error {
	var err error
	if e.chat, err = llama.NewChat(e.model, e.opt.Template, "", "", e.budget()); err != nil {
		return err
	}
	_, e.explicit = e.model.Meta("tokenizer.chat_template")
	e.explicit = e.explicit || e.opt.Template != ""
	if e.caps, err = e.chat.Caps(); err != nil {
		return err
	}
	say := func(roles ...string) error {
		r := llama.ChatRequest{AddGenerationPrompt: true, Kwargs: e.kwargs()}
		for _, role := range roles {
			r.Messages = append(r.Messages, llama.ChatMessage{Role: role, Content: "probe"})
		}
		_, err := e.chat.Apply(r, e.budget())
		return err
	}
	if err := say("user"); err != nil {
		return fmt.Errorf("the chat template cannot render a question: %w", err)
	}
	e.alternate = say("user", "user") != nil && say("user", "assistant", "user") == nil
	return nil
}

// kwargs freezes the dates that templates print. One that calls strftime_now reads the clock itself.
func (e *Engine) kwargs() map[string]string {
	return map[string]string{"date_string": e.opt.Now.Format("02 Jan 2006"), "datetime": e.opt.Now.Format("Jan 02 2006")}
}

// rendered is a conversation as text, with what constrains and reads the answer.
type rendered struct {
	llama.ChatParams
	segments []segment
}

// render prints a request through the template. Content is shielded; a template that changes the shield's words gets
// the content with its special spellings broken up.
func (e *Engine) render(r agent.Request, prompt bool) (rendered, error) {
	out, shielded, err := e.renderWith(r, prompt, newShield(e.words))
	var changed *wordsChanged
	if errors.As(err, &changed) {
		h := newShield(e.words)
		h.open = true
		out, _, err = e.renderWith(r, prompt, h)
		shielded = true
	}
	if err != nil || !shielded || !prompt || len(r.Tools) == 0 {
		return out, err
	}
	// The grammar and the parser are about what the tools are really called and take.
	raw, err := e.apply(r, prompt, nil)
	if err != nil {
		return rendered{}, err
	}
	text := out.Prompt
	out.ChatParams = raw
	out.Prompt = text
	return out, nil
}

type wordsChanged struct{ error }

func (e *Engine) renderWith(r agent.Request, prompt bool, h *shield) (rendered, bool, error) {
	p, err := e.apply(r, prompt, h)
	if err != nil {
		return rendered{}, false, err
	}
	segments, err := h.split(p.Prompt)
	if err != nil {
		return rendered{}, false, &wordsChanged{err}
	}
	return rendered{p, segments}, len(h.held) > 0, nil
}

// apply renders with covered content, or with content as it is when h is nil.
func (e *Engine) apply(r agent.Request, prompt bool, h *shield) (llama.ChatParams, error) {
	cover := func(s string) string { return s }
	coverJSON := func(s string) (string, error) { return s, nil }
	if h != nil {
		cover, coverJSON = h.cover, h.coverJSON
	}
	req := llama.ChatRequest{
		AddGenerationPrompt: prompt, EnableThinking: !e.opt.NoThinking && r.Schema == "" && r.Grammar == "",
		ParallelToolCalls: e.caps["supports_parallel_tool_calls"], Kwargs: e.kwargs(),
	}
	if r.Schema != "" || r.Grammar != "" {
		req.ToolChoice = "none"
	}
	var err error
	if req.Tools, err = chatTools(r.Tools, cover, coverJSON); err != nil {
		return llama.ChatParams{}, err
	}
	if req.Messages, err = e.chatMessages(r.Messages, cover, coverJSON); err != nil {
		return llama.ChatParams{}, err
	}
	return e.chat.Apply(req, e.budget())
}

// chatTools sorts the tools by name, so that the same set always prints the same text.
func chatTools(specs []agent.ToolSpec, cover func(string) string, coverJSON func(string) (string, error)) ([]llama.ChatTool, error) {
	specs = append([]agent.ToolSpec(nil), specs...)
	sort.Slice(specs, func(i, j int) bool { return specs[i].Name < specs[j].Name })
	var out []llama.ChatTool
	for i, s := range specs {
		if i > 0 && s.Name == specs[i-1].Name {
			return nil, fmt.Errorf("tool %q is offered twice", s.Name)
		}
		schema := string(s.Schema)
		if schema == "" {
			schema = `{"type":"object","properties":{}}`
		}
		covered, err := coverJSON(schema)
		if err != nil {
			return nil, fmt.Errorf("schema of tool %q: %w", s.Name, err)
		}
		out = append(out, llama.ChatTool{Type: "function", Function: llama.ChatToolFunction{
			Name: cover(s.Name), Description: cover(s.Description), Parameters: json.RawMessage(covered)}})
	}
	return out, nil
}

func (e *Engine) chatMessages(msgs []agent.Message, cover func(string) string, coverJSON func(string) (string, error)) ([]llama.ChatMessage, error) {
	var out []llama.ChatMessage
	ids := map[string]string{} // the runtime's call ids are random; templates get numbers in their place
	for i, m := range msgs {
		c := llama.ChatMessage{Role: string(m.Role), Content: cover(m.Text)}
		switch m.Role {
		case agent.System:
		case agent.User:
			if e.alternate && len(out) > 0 && out[len(out)-1].Role == string(agent.User) {
				out = append(out, llama.ChatMessage{Role: string(agent.Assistant), Content: stub})
			}
		case agent.Tool:
			c.Name = cover(m.Tool)
			c.ToolCallID = ids[m.CallID]
		case agent.Assistant:
			if err := e.assistant(&c, m, ids, cover, coverJSON); err != nil {
				return nil, fmt.Errorf("message %d: %w", i, err)
			}
		default:
			return nil, fmt.Errorf("message %d: unknown role %q", i, m.Role)
		}
		out = append(out, c)
	}
	return out, nil
}

// assistant fills in a turn of the model. Where the template cannot print reasoning, text before calls stays content.
func (e *Engine) assistant(c *llama.ChatMessage, m agent.Message, ids map[string]string, cover func(string) string, coverJSON func(string) (string, error)) error {
	source, err := e.chat.Source()
	if err != nil {
		return err
	}
	switch {
	case m.Thought == "":
	case strings.Contains(source, "reasoning_content"):
		c.Reasoning = cover(m.Thought)
	case m.Text == "":
		c.Content = cover(m.Thought)
	}
	for _, call := range m.Calls {
		if err := call.CheckArgs(); err != nil {
			return err
		}
		args, err := coverJSON(call.Args)
		if err != nil {
			return err
		}
		id := fmt.Sprintf("call%05d", len(ids)+1)
		ids[call.ID] = id
		c.ToolCalls = append(c.ToolCalls, llama.ChatToolCall{ID: id, Type: "function",
			Function: llama.ChatFunction{Name: cover(call.Tool), Arguments: args}})
	}
	return nil
}

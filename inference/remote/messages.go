package remote

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// message is one entry of a conversation as it is sent: covered, and with calls numbered
// in place of the runtime's random ids, which a server never learns.
type message struct {
	role    agent.Role
	text    string
	thought string
	calls   []toolCall
	callID  string
	tool    string
}

// toolCall is a call as it is sent or as it came back, where its id is not kept.
type toolCall struct {
	id   string
	name string
	args json.RawMessage // an object
}

// tool is a tool as it is offered.
type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Parameters  json.RawMessage `json:"parameters"`
}

// pending stands for the response of a call that is put before the judge: some servers
// refuse a call without one.
const pending = "(this call has not run)"

// messages covers a conversation. User messages in a row become one, since some templates
// refuse them.
func (h *shield) messages(list []agent.Message) ([]message, error) {
	var out []message
	ids := map[string]string{}
	open := map[string]string{} // calls without a response, by id as sent
	var order []string
	closeOpen := func() {
		for _, id := range order {
			if name, ok := open[id]; ok {
				out = append(out, message{role: agent.Tool, text: pending, callID: id, tool: name})
				delete(open, id)
			}
		}
		order = order[:0]
	}
	for i, m := range list {
		k := message{role: m.Role, text: h.cover(m.Text)}
		switch m.Role {
		case agent.System:
		case agent.User:
			closeOpen()
			if n := len(out); n > 0 && out[n-1].role == agent.User {
				out[n-1].text += "\n\n" + k.text
				continue
			}
		case agent.Tool:
			k.callID, k.tool = ids[m.CallID], h.cover(m.Tool)
			delete(open, k.callID)
		case agent.Assistant:
			closeOpen()
			k.thought = h.cover(m.Thought)
			for _, c := range m.Calls {
				if err := c.CheckArgs(); err != nil {
					return nil, fmt.Errorf("message %d: %w", i, err)
				}
				args, err := h.coverJSON([]byte(c.Args))
				if err != nil {
					return nil, fmt.Errorf("message %d: %w", i, err)
				}
				id := fmt.Sprintf("call%05d", len(ids)+1)
				ids[c.ID], open[id] = id, h.cover(c.Tool)
				order = append(order, id)
				k.calls = append(k.calls, toolCall{id, h.cover(c.Tool), args})
			}
		default:
			return nil, fmt.Errorf("message %d: unknown role %q", i, m.Role)
		}
		out = append(out, k)
	}
	return out, nil
}

// tools sorts what is offered by name and covers it.
func (h *shield) tools(specs []agent.ToolSpec) ([]tool, error) {
	specs = append([]agent.ToolSpec(nil), specs...)
	sort.Slice(specs, func(i, j int) bool { return specs[i].Name < specs[j].Name })
	var out []tool
	for _, s := range specs {
		schema := []byte(s.Schema)
		if len(schema) == 0 {
			schema = []byte(`{"type":"object","properties":{}}`)
		}
		covered, err := h.coverJSON(schema)
		if err != nil {
			return nil, fmt.Errorf("schema of tool %q: %w", s.Name, err)
		}
		out = append(out, tool{h.cover(s.Name), h.cover(s.Description), covered})
	}
	return out, nil
}

// listed adds the tools to the system message as text, for servers that take an answer
// which names a tool on offer for a call. Ollama does where a model's template opens calls
// with a bare brace.
func listed(messages []message, tools []tool) []message {
	if len(tools) == 0 {
		return messages
	}
	var b strings.Builder
	b.WriteString("Tools:")
	for _, t := range tools {
		line, err := json.Marshal(t)
		if err != nil {
			panic("internal error: encode tool: " + err.Error())
		}
		b.WriteString("\n" + string(line))
	}
	if len(messages) > 0 && messages[0].role == agent.System {
		out := append([]message(nil), messages...)
		out[0].text += "\n\n" + b.String()
		return out
	}
	return append([]message{{role: agent.System, text: b.String()}}, messages...)
}

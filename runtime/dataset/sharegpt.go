package dataset

import (
	"encoding/json"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

type shareTurn struct {
	From  string `json:"from"` // human, gpt, function_call, observation
	Value string `json:"value"`
}

type shareRow struct {
	Conversations []shareTurn `json:"conversations"`
	System        string      `json:"system"`
	Tools         string      `json:"tools"` // JSON text
}

type shareCall struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
}

// sharegpt writes a path in which the sides alternate and every turn is trainable, as the
// format has no weights; one that cannot is left out.
func (x *exporter) sharegpt(t *Trajectory) ([]row, error) {
	path := t.Entries[:t.path()]
	var r shareRow
	tools, err := encode(functions(t.Tools))
	if err != nil {
		return nil, err
	}
	r.Tools = string(tools)
	for i, e := range path {
		switch e.Message.Role {
		case agent.Assistant:
			if !trainable(e) {
				x.lose("a turn is not trainable")
				return nil, nil
			}
		case agent.System:
			if i > 0 {
				x.lose("a system message stands within the conversation")
				return nil, nil
			}
			r.System = e.Message.Text
			continue
		case agent.Tool: // the results of parallel calls share one observation
			if n := len(r.Conversations); n > 0 && r.Conversations[n-1].From == "observation" {
				r.Conversations[n-1].Value += "\n" + e.Message.Text
				continue
			}
		}
		turn, err := shareOf(e.Message)
		if err != nil {
			return nil, err
		}
		r.Conversations = append(r.Conversations, turn)
	}
	for i, c := range r.Conversations {
		if human := c.From == "human" || c.From == "observation"; human != (i%2 == 0) {
			x.lose("the sides do not alternate")
			return nil, nil
		}
	}
	return []row{{first: path[0].Seq, last: path[len(path)-1].Seq, body: r}}, nil
}

func shareOf(m agent.Message) (shareTurn, error) {
	switch {
	case m.Role == agent.User:
		return shareTurn{"human", m.Text}, nil
	case m.Role == agent.Tool:
		return shareTurn{"observation", m.Text}, nil
	case len(m.Calls) == 0:
		return shareTurn{"gpt", m.Text}, nil
	}
	var calls []shareCall
	for _, c := range m.Calls {
		if err := c.CheckArgs(); err != nil {
			return shareTurn{}, err
		}
		calls = append(calls, shareCall{c.Tool, json.RawMessage(c.Args)})
	}
	var v any = calls
	if len(calls) == 1 {
		v = calls[0]
	}
	b, err := encode(v)
	return shareTurn{"function_call", string(b)}, err
}

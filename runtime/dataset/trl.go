package dataset

import (
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

type sftRow struct {
	Messages []chatMessage `json:"messages"`
	Tools    any           `json:"tools"`
}

type turnRow struct {
	Prompt     []chatMessage `json:"prompt"`
	Completion []chatMessage `json:"completion"`
	Label      *bool         `json:"label,omitempty"`
	Tools      any           `json:"tools"`
}

type dpoRow struct {
	Prompt   []chatMessage `json:"prompt"`
	Chosen   []chatMessage `json:"chosen"`
	Rejected []chatMessage `json:"rejected"`
	Tools    any           `json:"tools"`
}

type grpoRow struct {
	Prompt   []chatMessage     `json:"prompt"`
	Tools    any               `json:"tools"`
	Task     string            `json:"task"`
	Labels   map[string]string `json:"x_labels"`
	Verifier *string           `json:"x_verifier"`
}

// tools are the declarations of a run: a list, or JSON text of it. Readers that infer one
// type for a column merge the declarations of all rows into one; text they leave alone.
func (x *exporter) tools(t *Trajectory) any {
	list := toolList(t.Tools)
	if !x.o.ToolsText {
		return list
	}
	b, err := encode(list)
	if err != nil {
		return list // the row cannot be encoded either, and says why
	}
	return string(b)
}

func (x *exporter) trl() dialect { return dialect{thoughts: x.o.Thoughts} }

// sft writes a path of which every turn is trainable, or with the shape "turns" one row
// a trainable turn: the format has no weights.
func (x *exporter) sft(t *Trajectory) ([]row, error) {
	path := t.Entries[:t.path()]
	if x.o.Shape == "turns" {
		return x.turns(t, func(s *Step) (*bool, bool) { return nil, s.Trainable() })
	}
	for _, e := range path {
		if e.Message.Role == agent.Assistant && !trainable(e) {
			x.lose("a turn is not trainable; --shape turns keeps the others")
			return nil, nil
		}
	}
	m, err := x.trl().messages(path, nil)
	if err != nil {
		return nil, err
	}
	return []row{{first: path[0].Seq, last: path[len(path)-1].Seq, body: sftRow{m, x.tools(t)}}}, nil
}

// turns writes one row for each turn that pick takes, with its label.
func (x *exporter) turns(t *Trajectory, pick func(*Step) (label *bool, ok bool)) ([]row, error) {
	var out []row
	for _, s := range t.Steps {
		label, ok := pick(s)
		if !ok {
			continue
		}
		prompt, err := x.trl().messages(t.Entries[:s.index], nil)
		if err != nil {
			return nil, err
		}
		m, err := x.trl().message(t.Entries[s.index].Message, true)
		if err != nil {
			return nil, err
		}
		out = append(out, row{first: s.Seq, last: s.Seq,
			body: turnRow{prompt, []chatMessage{m}, label, x.tools(t)}})
	}
	return out, nil
}

// kto labels turns: good are those a person allowed as they were, or whose point is safe
// in a run of full reward; bad are those that were denied, or that earned 0.
func (x *exporter) kto(t *Trajectory) ([]row, error) {
	r := x.o.Reward.Score(t)
	return x.turns(t, func(s *Step) (*bool, bool) {
		good, bad := ktoLabel(s, r)
		if s.Gen == nil || s.Erased || s.Gen.Erased || good == bad {
			return nil, false
		}
		return &good, true
	})
}

func ktoLabel(s *Step, r Reward) (good, bad bool) {
	for _, c := range s.Calls {
		if c.byPerson() && c.Answer.Choice == agent.ChoiceOnce {
			good = true
		}
		if c.Decision != nil && c.Denied() {
			bad = true
		}
	}
	safe := r.At(s.Seq)
	if safe != nil && *safe == 1 && r.Total != nil && *r.Total == 1 {
		good = true
	}
	if safe != nil && *safe == 0 || r.Total != nil && *r.Total == 0 {
		bad = true
	}
	return good && !bad, bad
}

// grpo writes the prompt of a run, once for each task and prompt.
func (x *exporter) grpo(t *Trajectory) ([]row, error) {
	n := slices.IndexFunc(t.Entries, func(e Entry) bool { return e.Message.Role == agent.Assistant })
	if n < 0 {
		n = len(t.Entries)
	}
	m, err := x.trl().messages(t.Entries[:n], nil)
	if err != nil {
		return nil, err
	}
	body := grpoRow{Prompt: m, Tools: x.tools(t), Task: t.Run.Task, Labels: map[string]string{}}
	for _, l := range t.Labels {
		if l.Channel == agent.UserPrompt && slices.Contains(labelSources, l.Source) {
			body.Labels[l.Channel.String()] = l.Value.String()
		}
	}
	if name := x.o.Reward.verifier(); t.Score(name) != nil {
		body.Verifier = &name
	}
	if n == 0 || !x.first(body) {
		x.lose("the same task and prompt stand in another row")
		return nil, nil
	}
	return []row{{first: t.Entries[0].Seq, last: t.Entries[n-1].Seq, body: body}}, nil
}

package dataset

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// importedAgent marks runs that were imported.
const importedAgent = "import/atif"

// Imported is one run to be recorded: its description and its events in order, without
// positions. Parent is the index in the list of the run it belongs to, -1 for none.
type Imported struct {
	Parent int
	Thread string
	Events []agent.Event
}

// FromATIF turns a document into runs: the trajectory itself and one for each embedded
// one. What was said becomes messages that are copied; calls are part of messages, never
// decisions: nothing was decided here. The document itself is kept beside them, so that
// nothing of it is lost. Copied turns never train.
func FromATIF(d *ATIF) ([]Imported, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrATIF, err)
	}
	out := []Imported{}
	err := addImported(&out, d, -1)
	return out, err
}

func addImported(out *[]Imported, d *ATIF, parent int) error {
	doc, err := d.Encode()
	if err != nil {
		return err
	}
	run := Imported{Parent: parent, Thread: deref(d.Session)}
	add := func(b agent.Body) { run.Events = append(run.Events, agent.Event{Body: b}) }
	add(&agent.RunStart{Agent: importedAgent, Train: true, Build: d.Agent.Name + " " + d.Agent.Version,
		Task: agent.Text(firstUser(d)), Config: &agent.Blob{Media: "application/json", Data: doc}})
	for _, s := range d.Steps {
		for _, m := range said(s) {
			add(m)
		}
	}
	add(&agent.RunEnd{Status: agent.StatusDone, Steps: len(d.Steps)})
	at := len(*out)
	*out = append(*out, run)
	for i := range d.Subagents {
		if err := addImported(out, &d.Subagents[i], at); err != nil {
			return err
		}
	}
	return nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func firstUser(d *ATIF) string {
	for _, s := range d.Steps {
		if s.Source == "user" {
			return s.Message.Plain()
		}
	}
	return d.Steps[0].Message.Plain()
}

// said is what one step adds to the conversation.
func said(s ATIFStep) []*agent.Said {
	roles := map[string]agent.Role{"system": agent.System, "user": agent.User, "agent": agent.Assistant}
	m := &agent.Said{Role: roles[s.Source], Text: agent.Text(s.Message.Plain()), Copied: true}
	if s.Reasoning != nil {
		m.Thought = agent.Text(*s.Reasoning)
	}
	var calls []agent.ToolCall
	tools := map[string]string{}
	for _, c := range s.Calls {
		calls = append(calls, agent.ToolCall{ID: c.ID, Tool: c.Function, Args: string(c.Arguments)})
		tools[c.ID] = c.Function
	}
	if calls != nil {
		m.Calls = agent.JSON(calls)
	}
	out := []*agent.Said{m}
	if s.Observation == nil {
		return out
	}
	for _, r := range s.Observation.Results {
		if r.Content != nil { // its origin stays unknown, the least trusted
			id := deref(r.Call)
			out = append(out, &agent.Said{Role: agent.Tool, Text: agent.Text(r.Content.Plain()), Copied: true,
				Origin: agent.Origin{CallID: id, Tool: tools[id]}})
		}
	}
	return out
}

var errErased = errors.New("the imported document was erased")

// imported returns the document of an imported run, if t is one.
func imported(t *Trajectory) (*ATIF, bool, error) {
	if t.Start.Agent != importedAgent || t.Start.Config == nil {
		return nil, false, nil
	}
	if t.Start.Config.Data == nil {
		return nil, true, fmt.Errorf("export run %s: %w", t.Run.ID, errErased)
	}
	var d ATIF
	if err := json.Unmarshal(t.Start.Config.Data, &d); err != nil {
		return nil, true, fmt.Errorf("export run %s: %w", t.Run.ID, err)
	}
	return &d, true, d.Validate()
}

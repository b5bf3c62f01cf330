package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// InjecAgent is the suite of that layout: every user's one call beside every attacker's
// calls, in the base and in the enhanced setting.
type InjecAgent struct {
	Annotated bool   // by a manifest beside it
	Users     []Case // benign work alone
	Base      []Case
	Enhanced  []Case
	Twins     []Case
}

type injecUsers struct {
	Prefix string `json:"enhanced_prefix"`
	Users  []struct {
		ID       string          `json:"id"`
		Request  string          `json:"instruction"`
		Call     injecCall       `json:"call"`
		Template json.RawMessage `json:"response_template"`
	} `json:"users"`
}

type injecCall struct {
	Tool      string          `json:"tool"`
	Args      json.RawMessage `json:"args"`
	Simulated json.RawMessage `json:"simulated_response"`
}

type injecAttacker struct {
	ID      string      `json:"id"`
	Request string      `json:"instruction"`
	Calls   []injecCall `json:"calls"`
}

type injecToolkit struct {
	Model string `json:"name_for_model"`
	Tools []struct {
		Name       string `json:"name"`
		Summary    string `json:"summary"`
		Parameters []struct {
			Name        string `json:"name"`
			Type        string `json:"type"`
			Description string `json:"description"`
			Required    bool   `json:"required"`
		} `json:"parameters"`
	} `json:"tools"`
}

// ReadInjecAgent reads a folder of the InjecAgent layout: tools.json,
// derived/user_cases.json and derived/attacker_calls.json, with effects.json beside them
// if an operator wrote one. A name of a tool is that of its toolkit and its own.
func ReadInjecAgent(dir string) (*InjecAgent, error) {
	m, err := readManifest(filepath.Join(dir, "effects.json"))
	if err != nil {
		return nil, err
	}
	tools, err := injecTools(dir, m)
	if err != nil {
		return nil, err
	}
	var users injecUsers
	path := filepath.Join(dir, "derived", "user_cases.json")
	if err := readJSON(path, &users); err != nil {
		return nil, err
	}
	var attackers map[string]json.RawMessage
	if err := readJSON(filepath.Join(dir, "derived", "attacker_calls.json"), &attackers); err != nil {
		return nil, err
	}
	attacks, err := injecAttacks(attackers)
	if err != nil {
		return nil, fmt.Errorf("read attackers of %s: %w", dir, err)
	}
	if len(users.Users) == 0 || len(attacks) == 0 || users.Prefix == "" {
		return nil, fmt.Errorf("read %s: users, attackers and the enhanced prefix are needed", dir)
	}
	s, err := pairs(users, attacks, tools)
	if s != nil {
		s.Annotated = m.Given
	}
	return s, err
}

// injecAttacks reads every list of attackers of the file, in the order of their names.
func injecAttacks(lists map[string]json.RawMessage) ([]injecAttacker, error) {
	var all []injecAttacker
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		var l []injecAttacker
		if json.Unmarshal(lists[name], &l) != nil {
			continue // a note
		}
		for _, a := range l {
			if a.ID == "" || a.Request == "" || len(a.Calls) == 0 {
				return nil, fmt.Errorf("an attacker of %s lacks id, instruction or calls", name)
			}
		}
		all = append(all, l...)
	}
	return all, nil
}

func pairs(users injecUsers, attacks []injecAttacker, tools map[string]agent.ToolSpec) (*InjecAgent, error) {
	s := &InjecAgent{}
	for _, u := range users.Users {
		c := Case{ID: u.ID, Suite: "InjecAgent", Prompt: u.Request}
		step, err := injecStep(u.Call, tools)
		if err != nil || u.ID == "" || u.Request == "" {
			return nil, errors.Join(fmt.Errorf("user %q lacks something", u.ID), err)
		}
		for _, a := range attacks {
			for _, prefix := range []string{"", users.Prefix} {
				k, err := c.attacked(step, u.Template, a, prefix, tools)
				if err != nil {
					return nil, fmt.Errorf("user %s, attacker %s: %w", u.ID, a.ID, err)
				}
				if prefix == "" {
					s.Base = append(s.Base, k)
					continue
				}
				s.Enhanced = append(s.Enhanced, k)
			}
		}
		if step.Output, err = fillJSON(u.Template, "as usual"); err != nil {
			return nil, fmt.Errorf("user %s: %w", u.ID, err)
		}
		c.Tools, c.Steps = sorted([]agent.ToolSpec{tools[step.Tool]}), []Step{step}
		s.Users = append(s.Users, c)
	}
	for _, k := range s.Base[:len(attacks)] {
		t := k.Twin()
		t.ID = k.ID[len(users.Users[0].ID)+1:]
		s.Twins = append(s.Twins, t)
	}
	return s, nil
}

// attacked is one user's case with one attacker's text in its response.
func (c Case) attacked(step Step, template json.RawMessage, a injecAttacker, prefix string, tools map[string]agent.ToolSpec) (Case, error) {
	c.ID += "/" + a.ID
	if prefix != "" {
		c.ID += "/enhanced"
	}
	var err error
	if step.Output, err = fillJSON(template, prefix+a.Request); err != nil {
		return c, err
	}
	c.Steps, c.Goal = []Step{step}, a.Request
	c.refill = func(text func(int) string) ([]Step, error) {
		s := step
		var err error
		s.Output, err = fillJSON(template, text(0))
		return []Step{s}, err
	}
	q, err := json.Marshal(a.Request)
	if err != nil {
		return c, err
	}
	c.Marks = []string{string(q[1 : len(q)-1])}
	offered := []agent.ToolSpec{tools[step.Tool]}
	for _, call := range a.Calls {
		s, err := injecStep(call, tools)
		if err != nil {
			return c, err
		}
		c.Attack = append(c.Attack, s)
		offered = append(offered, tools[s.Tool])
	}
	c.Tools = sorted(offered)
	return c, nil
}

func injecStep(call injecCall, tools map[string]agent.ToolSpec) (Step, error) {
	if _, ok := tools[call.Tool]; !ok {
		return Step{}, fmt.Errorf("tool %q is not in tools.json", call.Tool)
	}
	args, err := object(call.Args)
	if err != nil {
		return Step{}, fmt.Errorf("call of %s: %w", call.Tool, err)
	}
	out := `{"status": "done"}`
	if len(call.Simulated) > 0 {
		out = string(call.Simulated)
	}
	return Step{Tool: call.Tool, Args: args, Output: out}, nil
}

func injecTools(dir string, m Manifest) (map[string]agent.ToolSpec, error) {
	var kits []injecToolkit
	if err := readJSON(filepath.Join(dir, "tools.json"), &kits); err != nil {
		return nil, err
	}
	out := map[string]agent.ToolSpec{}
	for _, k := range kits {
		for _, t := range k.Tools {
			props, need := map[string]any{}, []string{}
			for _, p := range t.Parameters {
				props[p.Name] = map[string]any{"type": p.Type, "description": p.Description}
				if p.Required {
					need = append(need, p.Name)
				}
			}
			schema, err := json.Marshal(map[string]any{"type": "object", "properties": props, "required": need})
			if err != nil {
				return nil, err
			}
			// The toolkit's name says nothing of what one of its tools does.
			s := tool(k.Model+t.Name, t.Summary, schema, m)
			if !m.Given {
				s.Effect, s.Roles = Annotate(t.Name, t.Summary, schema)
			}
			out[s.Name] = s
		}
	}
	return out, nil
}

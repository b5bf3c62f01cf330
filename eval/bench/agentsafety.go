package bench

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Dilemma is one case of Agent-SafetyBench: a request with tools, which can or cannot be
// fulfilled without harm. It has no script: only a real model can take it.
type Dilemma struct {
	ID          int
	Prompt      string
	Risks       []string
	Fulfillable bool
	Tools       []agent.ToolSpec
}

// ReadAgentSafety reads a folder of the Agent-SafetyBench layout: released_data.json and
// a file of tool schemas for each environment. Tools of environments that have no file
// are counted in missing.
func ReadAgentSafety(dir string) (cases []Dilemma, missing int, err error) {
	var raw []struct {
		ID           *int     `json:"id"`
		Risks        []string `json:"risks"`
		Instruction  string   `json:"instruction"`
		Fulfillable  *int     `json:"fulfillable"`
		Environments []struct {
			Name  string   `json:"name"`
			Tools []string `json:"tools"`
		} `json:"environments"`
	}
	path := filepath.Join(dir, "released_data.json")
	if err := readJSON(path, &raw); err != nil {
		return nil, 0, err
	}
	kits, err := safetyKits(dir)
	if err != nil {
		return nil, 0, err
	}
	for i, r := range raw {
		if r.ID == nil || r.Fulfillable == nil || strings.TrimSpace(r.Instruction) == "" {
			return nil, 0, fmt.Errorf("read %s: case %d lacks id, instruction or fulfillable", path, i)
		}
		c := Dilemma{ID: *r.ID, Prompt: r.Instruction, Risks: r.Risks, Fulfillable: *r.Fulfillable == 1}
		for _, e := range r.Environments {
			for _, t := range e.Tools {
				s, ok := kits[e.Name][t]
				if !ok {
					missing++
					continue
				}
				c.Tools = append(c.Tools, s)
			}
		}
		c.Tools = sorted(c.Tools)
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return nil, 0, fmt.Errorf("read %s: no cases", path)
	}
	return cases, missing, nil
}

// safetyKits reads the tools of every environment.
func safetyKits(dir string) (map[string]map[string]agent.ToolSpec, error) {
	files, err := filepath.Glob(filepath.Join(dir, "environments", "*.json"))
	if err != nil {
		return nil, err
	}
	kits := map[string]map[string]agent.ToolSpec{}
	for _, f := range files {
		var list []struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		}
		if err := readJSON(f, &list); err != nil {
			return nil, err
		}
		kit := map[string]agent.ToolSpec{}
		for _, t := range list {
			if t.Name == "" {
				return nil, fmt.Errorf("read %s: a tool without a name", f)
			}
			kit[t.Name] = tool(t.Name, t.Description, t.Parameters, Manifest{})
		}
		kits[strings.TrimSuffix(filepath.Base(f), ".json")] = kit
	}
	return kits, nil
}

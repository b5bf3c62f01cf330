package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// AgentDojo is one suite of that recordings' layout.
type AgentDojo struct {
	Name      string
	Annotated bool   // by a manifest beside it
	Tasks     []Case // benign work on outputs with their usual texts
	Pairs     []Case // every task that reads a slot, with every attack that has calls
	Twins     []Case
	Empty     int // attacks without a recorded call, left out
}

type dojoSuite struct {
	Suite string `json:"suite"`
	Tools []struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	} `json:"tools"`
	Vectors map[string]struct {
		Default string `json:"default"`
	} `json:"injection_vectors"`
	Users   []dojoTask `json:"user_tasks"`
	Attacks []dojoTask `json:"injection_tasks"`
}

type dojoTask struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
	Goal   string `json:"goal"`
	Steps  []struct {
		Function string          `json:"function"`
		Args     json.RawMessage `json:"args"`
		Output   json.RawMessage `json:"output"` // a text, or any JSON that the tool returned
	} `json:"steps"`
}

// Template dresses an attacker's goal: the members of attack_templates.json.
type Template struct{ Name, Text string }

// usual is the template of the plain pairs.
const usual = "important_instructions"

func (t Template) dress(c dojoTask) string {
	tools := []string{}
	for _, s := range c.Steps {
		tools = append(tools, s.Function+" "+string(s.Args))
	}
	return strings.NewReplacer("{goal}", c.Goal, "{user}", "the user", "{model}", "the assistant",
		"{tools}", strings.Join(tools, "\n")).Replace(t.Text)
}

// ReadAgentDojo reads every suite of a folder of AgentDojo recordings: SUITE.json with
// SUITE.effects.json beside it, and attack_templates.json.
func ReadAgentDojo(dir string) ([]*AgentDojo, error) {
	templates, err := readTemplates(filepath.Join(dir, "attack_templates.json"))
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var suites []*AgentDojo
	for _, f := range files {
		if strings.HasSuffix(f, ".effects.json") || strings.HasSuffix(f, "attack_templates.json") {
			continue
		}
		s, err := readDojo(f, templates)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f, err)
		}
		suites = append(suites, s)
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("read suite: %s holds no recordings", dir)
	}
	return suites, nil
}

func readTemplates(path string) ([]Template, error) {
	var file struct {
		Templates map[string]string `json:"templates"`
	}
	err := readJSON(path, &file)
	if errors.Is(err, os.ErrNotExist) {
		return []Template{{usual, "{goal}"}}, nil
	}
	var out []Template
	for _, n := range slices.Sorted(maps.Keys(file.Templates)) {
		out = append(out, Template{n, file.Templates[n]})
	}
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("read %s: no templates", path)
	}
	return out, err
}

func readDojo(path string, templates []Template) (*AgentDojo, error) {
	var raw dojoSuite
	if err := readJSON(path, &raw); err != nil {
		return nil, err
	}
	m, err := readManifest(strings.TrimSuffix(path, ".json") + ".effects.json")
	if err != nil {
		return nil, err
	}
	if raw.Suite == "" || len(raw.Tools) == 0 || len(raw.Users) == 0 {
		return nil, errors.New("suite, tools and user_tasks are needed")
	}
	s := &AgentDojo{Name: raw.Suite, Annotated: m.Given}
	var tools []agent.ToolSpec
	for _, t := range raw.Tools {
		tools = append(tools, tool(t.Name, t.Description, t.Parameters, m))
	}
	base := Case{Suite: raw.Suite, Tools: sorted(tools)}
	return s, s.fill(raw, base, templates)
}

// fill makes the cases of a suite.
func (s *AgentDojo) fill(raw dojoSuite, base Case, templates []Template) error {
	plain := templates[max(0, slices.IndexFunc(templates, func(t Template) bool { return t.Name == usual }))]
	defaults := map[string]string{}
	for v, d := range raw.Vectors {
		defaults[v] = d.Default
	}
	var attacks []dojoTask
	for _, a := range raw.Attacks {
		if len(a.Steps) == 0 {
			s.Empty++
			continue
		}
		steps, err := a.script(base, always(defaults))
		if err != nil {
			return err
		}
		attacks = append(attacks, a)
		t := base
		t.ID, t.Prompt, t.Steps = s.Name+"/"+a.ID, a.Goal, steps
		s.Twins = append(s.Twins, t)
	}
	for _, u := range raw.Users {
		c := base
		c.ID, c.Prompt = s.Name+"/"+u.ID, u.Prompt
		var err error
		if c.Steps, err = u.script(base, always(defaults)); err != nil {
			return err
		}
		s.Tasks = append(s.Tasks, c)
		if !u.readsSlot() {
			continue
		}
		for i, a := range attacks {
			k := c
			k.ID += "/" + a.ID
			k.Goal, k.Attack = a.Goal, s.Twins[i].Steps
			if k.Steps, err = u.script(base, always(all(defaults, plain.dress(a)))); err != nil {
				return err
			}
			k.refill = func(text func(int) string) ([]Step, error) {
				return u.script(base, func(i int) map[string]string { return all(defaults, text(i)) })
			}
			k.Dressed = dressed(templates, a)
			k.Marks = []string{firstWords(a.Goal)}
			s.Pairs = append(s.Pairs, k)
		}
	}
	return nil
}

// firstWords is a part of a goal that no dressing or folding of lines splits: what a
// model knows the injection by.
func firstWords(goal string) string {
	goal, _, _ = strings.Cut(goal, "\n")
	if i := strings.IndexAny(goal, `'"\`); i >= 0 {
		goal = goal[:i]
	}
	return strings.TrimSpace(goal)
}

// always gives the same texts to every step.
func always(texts map[string]string) func(int) map[string]string {
	return func(int) map[string]string { return texts }
}

// dressed is an attacker's goal in every template.
func dressed(templates []Template, a dojoTask) []Template {
	var out []Template
	for _, t := range templates {
		out = append(out, Template{t.Name, t.dress(a)})
	}
	return out
}

// all is the text for every slot.
func all(defaults map[string]string, text string) map[string]string {
	out := map[string]string{}
	for v := range defaults {
		out[v] = text
	}
	return out
}

func (t dojoTask) readsSlot() bool {
	for _, s := range t.Steps {
		if strings.Contains(string(s.Output), slot) {
			return true
		}
	}
	return false
}

// script is the recorded calls of a task with texts in the slots of their outputs.
func (t dojoTask) script(base Case, texts func(step int) map[string]string) ([]Step, error) {
	if t.ID == "" || t.Prompt == "" && t.Goal == "" {
		return nil, errors.New("a task lacks its id or its text")
	}
	var out []Step
	for i, s := range t.Steps {
		if base.Spec(s.Function).Name == "" {
			return nil, fmt.Errorf("%s: step %d calls %q, which is not among the tools", t.ID, i, s.Function)
		}
		args, err := object(s.Args)
		if err != nil {
			return nil, fmt.Errorf("%s: step %d: %w", t.ID, i, err)
		}
		text, err := fillOutput(s.Output, texts(i))
		if err != nil {
			return nil, fmt.Errorf("%s: step %d: %w", t.ID, i, err)
		}
		out = append(out, Step{Tool: s.Function, Args: args, Output: text})
	}
	return slices.Clip(out), nil
}

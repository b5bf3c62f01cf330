// Package ours is the project's own safety suite, embedded: requests and tool responses,
// benign, sensitive and malicious, each as a script that can be played without a model
// and, where it needs the built-in tools alone, as a task that a model can be given.
//
// It holds data and computes; it runs nothing. Its values are not changed after they are
// made and may be shared between goroutines.
package ours

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/eval/bench"
	"github.com/holdfast-run/holdfast/eval/tasks"
	"github.com/holdfast-run/holdfast/runtime/agent"
)

//go:embed suite.jsonl
var suite []byte

//go:embed tools.json
var declared []byte

// Case is one line of the suite. The label is that of the request, or of the one tool
// response that matters, as the channel says.
type Case struct {
	ID      string            `json:"id"`
	Channel string            `json:"channel"` // user_prompt, tool_response
	Label   agent.Label       `json:"label"`
	Prompt  string            `json:"prompt"`
	Reply   string            `json:"reply,omitempty"` // of the user when asked: yes or no
	Files   map[string]string `json:"files,omitempty"` // of the workspace
	Steps   []Call            `json:"steps,omitempty"` // that do the work
	Attack  []Call            `json:"attack,omitempty"`
	Goal    string            `json:"goal,omitempty"`     // the injected text
	Private []string          `json:"private,omitempty"`  // texts in the data that hold a secret
	Inject  []string          `json:"injected,omitempty"` // texts in the data that give orders
	Answer  []string          `json:"answer,omitempty"`   // must stand in the answer of a model
	After   map[string]string `json:"after,omitempty"`    // files that the work makes or changes
	Gone    []string          `json:"gone,omitempty"`     // files that the work removes
}

// Call is a call with what it returns. read_file returns the file where it says nothing.
type Call struct {
	Tool   string          `json:"tool"`
	Args   json.RawMessage `json:"args"`
	Output string          `json:"output,omitempty"`
}

// Read returns the suite, in order, or what is wrong with it.
func Read() ([]Case, error) {
	var out []Case
	seen := map[string]bool{}
	for i, line := range bytes.Split(bytes.TrimSpace(suite), []byte("\n")) {
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		var c Case
		if err := d.Decode(&c); err != nil {
			return nil, fmt.Errorf("read own suite: line %d: %w", i+1, err)
		}
		if err := c.validate(); err != nil || seen[c.ID] {
			return nil, fmt.Errorf("read own suite: line %d: %s: %w", i+1, c.ID, errors.Join(err, errIf(seen[c.ID], "stands twice")))
		}
		seen[c.ID] = true
		out = append(out, c)
	}
	return out, nil
}

func errIf(bad bool, what string) error {
	if bad {
		return errors.New(what)
	}
	return nil
}

func (c Case) validate() error {
	hostile := c.Label == agent.Malicious
	return errors.Join(
		errIf(c.ID == "" || c.Prompt == "" || c.Label == agent.Unknown, "id, prompt and label are needed"),
		errIf(c.Channel != agent.UserPrompt.String() && c.Channel != agent.ToolResponse.String(), "no such channel"),
		errIf(hostile != (len(c.Attack) > 0), "an attack belongs to malicious text, and to no other"),
		errIf((c.Label == agent.Sensitive) != (c.Reply != ""), "a reply belongs to what is sensitive"),
		errIf(c.Channel == agent.ToolResponse.String() && hostile && (c.Goal == "" || !c.holds(c.Goal)), "no response holds the injected text"),
		errIf(strings.ContainsAny(c.Prompt, "{}"), "a brace would be a slot"),
	)
}

// holds reports whether a response of the script holds a text.
func (c Case) holds(text string) bool {
	return slices.ContainsFunc(c.Steps, func(s Call) bool { return strings.Contains(c.output(s), text) })
}

// output is what a call of the script returns.
func (c Case) output(s Call) string {
	var args struct{ Path string }
	if s.Output == "" && s.Tool == "read_file" && json.Unmarshal(s.Args, &args) == nil {
		return c.Files[args.Path]
	}
	return s.Output
}

// Tools returns the declarations of the tools that the suite speaks of, sorted by name.
func Tools() ([]agent.ToolSpec, error) {
	var out []agent.ToolSpec
	if err := json.Unmarshal(declared, &out); err != nil {
		return nil, fmt.Errorf("read tools of the own suite: %w", err)
	}
	slices.SortFunc(out, func(a, b agent.ToolSpec) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Scripts returns the suite as cases to be played: every benign script, with an attack
// where a response is malicious. What only a malicious request asks for is left out.
func Scripts() ([]bench.Case, error) {
	cases, err := Read()
	if err != nil {
		return nil, err
	}
	tools, err := Tools()
	if err != nil {
		return nil, err
	}
	var out []bench.Case
	for _, c := range cases {
		if len(c.Steps) == 0 {
			continue
		}
		b, err := c.bench(tools)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// bench is the case as one to be played.
func (c Case) bench(tools []agent.ToolSpec) (b bench.Case, err error) {
	b = bench.Case{ID: c.ID, Suite: "own suite", Prompt: c.Prompt, Tools: tools, Goal: c.Goal, Files: slices.Sorted(maps.Keys(c.Files))}
	if b.Steps, err = c.script(c.Steps, tools); err != nil {
		return b, err
	}
	if b.Attack, err = c.script(c.Attack, tools); err != nil {
		return b, err
	}
	if len(b.Attack) > 0 {
		b.Marks = []string{c.Goal}
	}
	return b, nil
}

func (c Case) script(calls []Call, tools []agent.ToolSpec) ([]bench.Step, error) {
	var out []bench.Step
	for _, s := range calls {
		known := slices.ContainsFunc(tools, func(t agent.ToolSpec) bool { return t.Name == s.Tool })
		if err := (agent.ToolCall{Args: string(s.Args)}).CheckArgs(); err != nil || !known {
			return nil, fmt.Errorf("read own suite: %s: call of %s: %w", c.ID, s.Tool, errors.Join(err, errIf(!known, "no such tool")))
		}
		out = append(out, bench.Step{Tool: s.Tool, Args: string(s.Args), Output: c.output(s)})
	}
	return out, nil
}

// Tasks returns the cases that need none but the named tools as tasks for a model.
func Tasks(builtin []string) ([]tasks.Template, error) {
	cases, err := Read()
	if err != nil {
		return nil, err
	}
	var out []tasks.Template
	for _, c := range cases {
		if c.within(builtin) {
			out = append(out, c.task())
		}
	}
	return out, nil
}

// within reports whether a case can be done with the named tools.
func (c Case) within(tools []string) bool {
	return !slices.ContainsFunc(append(slices.Clone(c.Steps), c.Attack...), func(s Call) bool { return !slices.Contains(tools, s.Tool) })
}

// Recorded is a case whose tools are recordings.
type Recorded struct {
	Task tasks.Template
	Case bench.Case
	Lead int // calls of its script up to the response that matters
}

// Rest returns the cases that Tasks leaves out, with recorded tools.
func Rest(builtin []string) ([]Recorded, error) {
	cases, err := Read()
	if err != nil {
		return nil, err
	}
	tools, err := Tools()
	if err != nil {
		return nil, err
	}
	var out []Recorded
	for _, c := range cases {
		if c.within(builtin) {
			continue
		}
		b, err := c.bench(tools)
		if err != nil {
			return nil, err
		}
		r := Recorded{Task: c.task(), Case: b}
		r.Task.Expect.Files, r.Task.Expect.Gone = nil, nil // a recording makes no files
		if c.Channel == agent.ToolResponse.String() {
			r.Lead = 1 + max(0, slices.IndexFunc(b.Steps, func(s bench.Step) bool { return c.matters(s.Output) }))
		}
		out = append(out, r)
	}
	return out, nil
}

// matters reports whether an output holds what the case's label is about.
func (c Case) matters(output string) bool {
	return slices.ContainsFunc(append(slices.Clone(c.Inject), c.Private...), func(s string) bool { return strings.Contains(output, s) })
}

// task is the case as a task: what it is, and how it must end.
func (c Case) task() tasks.Template {
	t := tasks.Template{ID: c.ID, Kind: tasks.Benign, Prompt: c.Prompt, Files: c.Files, Reply: c.Reply}
	t.Truth = tasks.Truth{Injected: []string{}, Private: []string{}}
	t.Expect = tasks.Expect{Status: string(agent.StatusDone), Answer: c.Answer, Files: c.After, Gone: c.Gone}
	request := c.Channel == agent.UserPrompt.String()
	switch {
	case request && c.Label == agent.Malicious:
		t.Kind, t.Expect.Status = tasks.Malicious, string(agent.StatusRefused)
	case request && c.Label == agent.Sensitive:
		t.Kind = tasks.Sensitive
		if c.Reply == "no" {
			t.Expect.Status = string(agent.StatusDenied)
		}
	case c.Label == agent.Malicious:
		t.Kind, t.Injected = tasks.Injected, c.Inject
	case c.Label == agent.Sensitive:
		t.Private = c.Private
	}
	return t
}

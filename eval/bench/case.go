// Package bench turns recorded suites of tool use into cases that can be played: the
// user's request, the tools on offer, the calls that do the work with what they
// returned, and, for an attack, the injected text with the calls it asks for.
//
// Loaders read the layouts of InjecAgent, AgentDojo recordings, BFCL and
// Agent-SafetyBench from a folder, and know nothing of any single case: effects and roles
// come from a manifest beside the data, or from Annotate, which sees names and schemas
// alone. A file that lacks what its layout needs is an error that names the place.
// The package reads files and computes; it plays nothing and judges nothing. Its values
// are not changed after they are made and may be shared between goroutines.
package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Step is one call with what the tool returned for it.
type Step struct {
	Tool   string
	Args   string // a JSON object
	Output string
}

// Canonical names a call by tool and arguments: the same call spelled with other blanks
// or another order of members has the same name.
func (s Step) Canonical() string { return Canonical(s.Tool, s.Args) }

// Canonical is Step.Canonical of a call. Arguments that are not JSON stand as they are.
func Canonical(tool, args string) string {
	d := json.NewDecoder(strings.NewReader(args))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return tool + " " + args
	}
	b, err := json.Marshal(v)
	if err != nil {
		return tool + " " + args
	}
	return tool + " " + string(b)
}

// Case is one request with its script. Without an Attack it is benign work alone.
type Case struct {
	ID     string // unique in its suite
	Suite  string
	Prompt string
	Tools  []agent.ToolSpec // sorted by name
	Steps  []Step           // the benign script, injected text in its outputs
	Files  []string         // that the workspace holds at the beginning

	Goal    string // what the injected text asks for
	Marks   []string
	Attack  []Step     // the attacker's calls, in order
	Variant string     // how the injection is dressed, "" for plainly
	Dressed []Template // the goal in every dress of its suite

	refill func(text func(step int) string) ([]Step, error) // the benign script with other texts
}

// Spec returns the declaration of a tool of the case, the zero one if it has none.
func (c Case) Spec(tool string) agent.ToolSpec {
	i := slices.IndexFunc(c.Tools, func(s agent.ToolSpec) bool { return s.Name == tool })
	if i < 0 {
		return agent.ToolSpec{}
	}
	return c.Tools[i]
}

// Effectful reports whether a call of the tool does more than read.
func (c Case) Effectful(tool string) bool { return c.Spec(tool).Effect.Rank() > agent.Read.Rank() }

// Wanted reports whether a call is one of the benign script: whoever asks for it besides, it
// is what the user asked for.
func (c Case) Wanted(s Step) bool {
	return slices.ContainsFunc(c.Steps, func(b Step) bool { return b.Canonical() == s.Canonical() })
}

// Benign is the case without its attack, on the outputs given.
func (c Case) Benign(steps []Step) Case {
	return Case{ID: c.ID, Suite: c.Suite, Prompt: c.Prompt, Tools: c.Tools, Steps: steps, Files: c.Files}
}

// Twin is the attacker's instruction as the user's own request: the same calls, with what
// their first returned in them, which now must not be denied.
func (c Case) Twin() Case {
	steps := slices.Clone(c.Attack)
	for i := range steps {
		steps[i].Args = Fill(steps[i].Args, func(call int) string {
			if call < i {
				return c.Attack[call].Output
			}
			return ""
		})
	}
	return Case{ID: c.ID, Suite: c.Suite, Prompt: c.Goal, Tools: c.Tools, Steps: steps, Files: c.Files}
}

// Carried reports whether what a model was shown holds the injection.
func (c Case) Carried(text string) bool {
	return len(c.Marks) > 0 && !slices.ContainsFunc(c.Marks, func(m string) bool { return !strings.Contains(text, m) })
}

// Placeholder stands, in the arguments of an attack's call, for what its first call
// returned.
const Placeholder = "{{RESULT_OF_CALL_0}}"

var placeholder = regexp.MustCompile(`\{\{RESULT_OF_CALL_(\d{1,3})\}\}`)

// Fill puts what earlier calls of an attack returned into the arguments of a later one.
// What was not returned is empty.
func Fill(args string, returned func(call int) string) string {
	return placeholder.ReplaceAllStringFunc(args, func(p string) string {
		n, err := strconv.Atoi(placeholder.FindStringSubmatch(p)[1])
		if err != nil {
			return p
		}
		return quoted(returned(n))
	})
}

// slot stands, in recorded outputs, where an attacker may write.
const slot = "{{INJECTION"

// tool builds a declaration from a schema, with the effect and roles of a manifest, or
// of Annotate where there is none. A tool that a manifest does not name has no effect
// declared, which is the worst.
func tool(name, description string, schema json.RawMessage, m Manifest) agent.ToolSpec {
	s := agent.ToolSpec{Name: name, Description: description, Schema: schema}
	switch note, ok := m.Tools[name]; {
	case ok:
		s.Effect, s.Roles, s.Trusted = note.Effect, note.Roles, note.Trusted
	case !m.Given:
		s.Effect, s.Roles = Annotate(name, description, schema)
	}
	return s
}

// Manifest says what tools do: as an operator declares it, beside the data.
type Manifest struct {
	Tools map[string]Note `json:"tools"`
	Given bool            `json:"-"` // false: there is none, and effects are guessed
}

// Note is what a manifest says of one tool.
type Note struct {
	Effect  agent.Effect             `json:"effect"`
	Roles   map[string]agent.ArgRole `json:"roles"`
	Trusted bool                     `json:"trusted"` // what it returns
}

// readManifest reads a manifest; a file that is not there is an empty one.
func readManifest(path string) (Manifest, error) {
	var m Manifest
	err := readJSON(path, &m)
	if errors.Is(err, os.ErrNotExist) {
		return Manifest{}, nil
	}
	if err != nil {
		return m, err
	}
	for name, n := range m.Tools {
		for arg, r := range n.Roles {
			if !slices.Contains(roles, r) {
				return m, fmt.Errorf("read %s: tool %s: role %q of %s is not known", path, name, r, arg)
			}
		}
	}
	m.Given = true
	return m, nil
}

var roles = []agent.ArgRole{agent.RoleTarget, agent.RoleContent, agent.RoleSelector, agent.RoleCommand, agent.RolePath, agent.RoleCredential}

// readJSON reads one JSON document. Errors name the file.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read suite: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if d.More() {
		return fmt.Errorf("read %s: more than one document", path)
	}
	return nil
}

// object checks that raw arguments are one plain object and writes them without
// superfluous blanks.
func object(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", errors.New("arguments are missing")
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return "", err
	}
	args := b.String()
	return args, agent.ToolCall{Args: args}.CheckArgs()
}

// sorted orders tools by name and drops repetitions.
func sorted(tools []agent.ToolSpec) []agent.ToolSpec {
	out := slices.Clone(tools)
	slices.SortStableFunc(out, func(a, b agent.ToolSpec) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(out, func(a, b agent.ToolSpec) bool { return a.Name == b.Name })
}

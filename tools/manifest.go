package tools

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Declared is what an operator says of one tool.
type Declared struct {
	Effect     agent.Effect             `json:"effect"`
	Roles      map[string]agent.ArgRole `json:"roles,omitempty"` // by argument; a missing one directs the effect
	Trusted    bool                     `json:"trusted,omitempty"`
	Idempotent bool                     `json:"idempotent,omitempty"`
	Undoable   bool                     `json:"undoable,omitempty"` // the tool itself can take back what it writes
}

// Manifest declares the tools of others: what a server says of its own tools is a claim,
// what stands here is the operator's word. The zero Manifest declares nothing, so that
// every tool counts as the worst.
type Manifest struct{ tools map[string]Declared }

// maxManifest bounds a manifest in bytes.
const maxManifest = 4 << 20

// knownRoles are those that a manifest may give.
var knownRoles = map[agent.ArgRole]bool{
	agent.RoleTarget: true, agent.RoleContent: true, agent.RoleSelector: true,
	agent.RoleCommand: true, agent.RolePath: true, agent.RoleCredential: true,
}

// ParseManifest reads {"version": 1, "tools": {name: declaration}}. Unknown and repeated
// members, unknown effects and roles are errors; each names the tool.
func ParseManifest(text []byte) (Manifest, error) {
	if len(text) > maxManifest {
		return Manifest{}, fmt.Errorf("read manifest: %d bytes, at most %d", len(text), maxManifest)
	}
	if err := (agent.ToolCall{Args: string(bytes.TrimSpace(text))}).CheckArgs(); err != nil {
		return Manifest{}, errors.New("read manifest: it is not one JSON object whose members have different names")
	}
	var doc struct {
		Version int                        `json:"version"`
		Tools   map[string]json.RawMessage `json:"tools"`
	}
	if err := strict(text, &doc); err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	if doc.Version != 1 {
		return Manifest{}, fmt.Errorf("read manifest: version %d is not known", doc.Version)
	}
	m := Manifest{tools: map[string]Declared{}}
	var errs []error
	for name, raw := range doc.Tools {
		var d Declared
		if err := strict(raw, &d); err != nil {
			errs = append(errs, fmt.Errorf("read manifest: tool %q: %w", clip(name, 64), err))
			continue
		}
		for arg, role := range d.Roles {
			if !knownRoles[role] {
				errs = append(errs, fmt.Errorf("read manifest: tool %q: argument %q has the unknown role %q", clip(name, 64), clip(arg, 64), clip(string(role), 64)))
			}
		}
		m.tools[name] = d
	}
	if len(errs) > 0 {
		return Manifest{}, errors.Join(errs...)
	}
	return m, nil
}

func strict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Declare puts the operator's word over what a tool says of itself: name, description
// and schema stay, all that a judge relies on is the manifest's. A tool that the manifest
// does not know counts as the worst. undoable is what the manifest says of taking back.
func (m Manifest) Declare(s agent.ToolSpec) (spec agent.ToolSpec, undoable bool) {
	d := m.tools[s.Name]
	s.Effect, s.Roles, s.Trusted, s.Idempotent = d.Effect, d.Roles, d.Trusted, d.Idempotent
	return s, d.Undoable
}

// Has reports whether the manifest declares a tool.
func (m Manifest) Has(tool string) bool {
	_, ok := m.tools[tool]
	return ok
}

// Annotations are the hints that a Model Context Protocol server gives of a tool. A nil
// one was not given.
type Annotations struct {
	ReadOnly    *bool `json:"readOnlyHint,omitempty" yaml:"readOnlyHint"`
	Destructive *bool `json:"destructiveHint,omitempty" yaml:"destructiveHint"`
	Idempotent  *bool `json:"idempotentHint,omitempty" yaml:"idempotentHint"`
	OpenWorld   *bool `json:"openWorldHint,omitempty" yaml:"openWorldHint"`
}

// Declared maps hints to a declaration, by the protocol's own defaults: a tool that says
// nothing may destroy and reaches out. They are claims of the server's and count only
// where the operator trusts it; they never make an output trusted or a write undoable,
// and leave every argument to direct the effect. Without any hint the effect is unknown.
func (a Annotations) Declared() Declared {
	if a == (Annotations{}) {
		return Declared{}
	}
	is := func(b *bool, otherwise bool) bool {
		if b == nil {
			return otherwise
		}
		return *b
	}
	d := Declared{Idempotent: is(a.Idempotent, false)}
	open := is(a.OpenWorld, true)
	switch {
	case is(a.ReadOnly, false) && is(a.Destructive, false): // the hints contradict each other
		d.Effect = agent.Irreversible
	case is(a.ReadOnly, false) && open: // what it is asked for leaves the machine
		d.Effect = agent.Outward
	case is(a.ReadOnly, false):
		d.Effect = agent.Read
	case is(a.Destructive, true):
		d.Effect = agent.Irreversible
	case open:
		d.Effect = agent.Outward
	default:
		d.Effect = agent.Write
	}
	return d
}

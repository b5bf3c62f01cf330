package agent

import "fmt"

// Effect is what a tool can do to the world, mildest first. The zero value is
// unannotated and counts as the worst.
type Effect uint8

// The effects.
const (
	EffectUnknown Effect = iota
	Pure                 // computes from its arguments alone
	Read                 // reads what the user pointed the run at
	SensitiveRead        // reads private data
	Write                // changes the workspace; can be undone
	Outward              // sends something out of the machine
	Irreversible         // cannot be undone
)

var effectNames = [...]string{"unknown", "pure", "read", "sensitive_read", "write", "outward", "irreversible"}

// String returns the effect's name in manifests and the ledger.
func (e Effect) String() string {
	if int(e) < len(effectNames) {
		return effectNames[e]
	}
	return "unknown"
}

// Rank orders effects for comparison: an unknown effect ranks with Irreversible.
func (e Effect) Rank() int {
	if e == EffectUnknown || e > Irreversible {
		return int(Irreversible)
	}
	return int(e)
}

// MarshalText implements encoding.TextMarshaler.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (e *Effect) UnmarshalText(b []byte) error {
	for i, n := range effectNames {
		if n == string(b) {
			*e = Effect(i)
			return nil
		}
	}
	return fmt.Errorf("unknown effect %q", b)
}

// ArgRole is what an argument means to the effect of a call. Targets, commands,
// paths and credentials are sinks: whoever chooses them directs the effect.
type ArgRole string

// The roles a manifest may give an argument.
const (
	RoleTarget     ArgRole = "target"
	RoleContent    ArgRole = "content"
	RoleSelector   ArgRole = "selector"
	RoleCommand    ArgRole = "command"
	RolePath       ArgRole = "path"
	RoleCredential ArgRole = "credential"
)

// Sink reports whether an argument of this role directs the effect. A role that
// is not known is a sink.
func (r ArgRole) Sink() bool { return r != RoleContent && r != RoleSelector }

// Source is who wrote a value, most trusted first.
type Source uint8

// The sources. The zero value is the least trusted.
const (
	SourceUnknown Source = iota
	SourceModel
	SourceTool
	SourceUser
	SourceOperator
)

// String returns the source's name in the ledger.
func (s Source) String() string {
	switch s {
	case SourceModel:
		return "model"
	case SourceTool:
		return "tool"
	case SourceUser:
		return "user"
	case SourceOperator:
		return "operator"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s Source) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. Unknown words become SourceUnknown.
func (s *Source) UnmarshalText(b []byte) error {
	*s = SourceUnknown
	for k := SourceModel; k <= SourceOperator; k++ {
		if k.String() == string(b) {
			*s = k
		}
	}
	return nil
}

// Origin says where a value came from.
type Origin struct {
	Source Source `json:"source"`
	CallID string `json:"call,omitempty"` // the call whose response held it, for SourceTool
	Tool   string `json:"tool,omitempty"`
}

// Trusted reports whether the value was written by the operator or the user.
func (o Origin) Trusted() bool { return o.Source >= SourceUser }

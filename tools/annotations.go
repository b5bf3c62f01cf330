package tools

import "github.com/holdfast-run/holdfast/runtime/agent"

// Annotations are the hints that a Model Context Protocol server gives of a tool. A nil
// one was not given.
type Annotations struct {
	ReadOnly    *bool `yaml:"readOnlyHint"`
	Destructive *bool `yaml:"destructiveHint"`
	Idempotent  *bool `yaml:"idempotentHint"`
	OpenWorld   *bool `yaml:"openWorldHint"`
}

// Effect maps hints to an effect, by the protocol's own defaults: a tool that says nothing
// may destroy and reaches out. They are claims of the server's and count only where the
// operator makes them their word; they never make an output trusted or a write undoable, and
// leave every argument to direct the effect. Without any hint the effect is unknown.
func (a Annotations) Effect() agent.Effect {
	is := func(b *bool, otherwise bool) bool {
		if b == nil {
			return otherwise
		}
		return *b
	}
	open := is(a.OpenWorld, true)
	switch {
	case a == (Annotations{}):
		return agent.EffectUnknown
	case is(a.ReadOnly, false) && is(a.Destructive, false): // the hints contradict each other
		return agent.Irreversible
	case is(a.ReadOnly, false) && open: // what it is asked for leaves the machine
		return agent.Outward
	case is(a.ReadOnly, false):
		return agent.Read
	case is(a.Destructive, true):
		return agent.Irreversible
	case open:
		return agent.Outward
	}
	return agent.Write
}

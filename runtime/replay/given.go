package replay

import (
	"encoding/json"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// given is what a recorded verdict was decided on, as far as it says what the call would be
// given.
type given struct {
	Hosts   []string `json:"hosts"`
	Secrets []string `json:"secrets"`
}

func givenBy(v *agent.Judged) given {
	var g given
	if v == nil || v.Basis == nil || json.Unmarshal(v.Basis.Data, &g) != nil {
		return given{} // it was not recorded, or erased
	}
	return g
}

// Hosts are all that calls of the run could ask for, as far as they did.
func (p *Player) Hosts() []string {
	var out []string
	for _, k := range p.calls {
		out = append(out, givenBy(k.verdict).Hosts...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Reaches says which hosts the call that is judged now asked for.
func (p *Player) Reaches(agent.ToolSpec) (hosts []string, open bool) {
	return givenBy(p.current).Hosts, false
}

// Secrets says which secrets the tool of that call needed.
func (p *Player) Secrets(agent.ToolSpec) []string { return givenBy(p.current).Secrets }

// Profile is that of the cells of the run, as far as a verdict said another than the
// strictest.
func (p *Player) Profile() agent.Profile {
	for _, k := range p.calls {
		if k.verdict != nil && k.verdict.Grant != nil && k.verdict.Grant.Profile != agent.Strict {
			return k.verdict.Grant.Profile
		}
	}
	return agent.Strict
}

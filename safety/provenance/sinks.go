package provenance

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Sinks traces every argument that directs the effect of a call, in the order of their
// names. An argument without a declared role is one of them. Behind them stand those that
// select, where an untrusted text chose them for an effect. Of an effectful call that
// has none, made after somebody else than the user has spoken, the call itself is the
// sink, unless one of its arguments is the user's. The error is that of arguments that
// are not one plain JSON object.
func (r *Record) Sinks(call agent.ToolCall, spec agent.ToolSpec) ([]agent.Sink, error) {
	args, err := r.decoded(call)
	if err != nil {
		return nil, err
	}
	var sinks, chosen []agent.Sink
	for _, name := range slices.Sorted(maps.Keys(args)) {
		role := spec.Roles[name]
		w := walker{role: role, schema: string(spec.Schema)}
		w.walk("/"+escape(name), args[name])
		for _, l := range w.leaves {
			if role.Sink() {
				sinks = append(sinks, agent.Sink{Arg: l.at, Value: l.value, Role: role, Origin: r.origin(l, role)})
			} else if o, ok := r.chosen(l, role, spec.Effect); ok {
				chosen = append(chosen, agent.Sink{Arg: l.at, Value: l.value, Role: role, Origin: o})
			}
		}
	}
	if len(sinks) == 0 {
		sinks = r.aimless(call, spec, args)
	}
	r.once(sinks)
	return append(sinks, chosen...), nil
}

// once takes back that the user named a value where it stands in more arguments of a call
// than the user wrote it: what they named to be one thing, they did not name to be another.
func (r *Record) once(sinks []agent.Sink) {
	seen := map[string]map[string]bool{}
	for i, s := range sinks {
		arg, _, _ := strings.Cut(strings.TrimPrefix(s.Arg, "/"), "/")
		if seen[s.Value] == nil {
			seen[s.Value] = map[string]bool{}
		}
		seen[s.Value][arg] = true
		if n := len(seen[s.Value]); n > 1 && s.Origin.Source == agent.SourceUser && r.times(s.Value, n) < n {
			sinks[i].Origin = agent.Origin{Source: agent.SourceModel}
		}
	}
}

// times is how often a value stands in what the user wrote, as a whole, counted in each text
// up to enough.
func (r *Record) times(v string, enough int) int {
	n := 0
	for _, t := range r.user {
		n += timesNamed(t.raw, unquoted(v), enough)
	}
	for _, w := range r.wrote {
		if w == v {
			n++
		}
	}
	return n
}

// Least returns the least trusted source among sinks, SourceOperator if there are none.
func Least(sinks []agent.Sink) agent.Source {
	worst := agent.SourceOperator
	for _, s := range sinks {
		worst = min(worst, s.Origin.Source)
	}
	return worst
}

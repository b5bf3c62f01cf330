package approval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Class is a kind of call that a person agreed to for a run: the same tool, aimed at the
// same, with no worse effect, origin, label or grant. Only what does not direct the effect
// may differ. The zero Class matches nothing.
type Class struct {
	tool   string
	sinks  []agent.Sink
	effect agent.Effect
	label  agent.Label
	grant  agent.Grant
	free   []string // arguments that may differ
	asked  []string // rules that asked
}

// ClassOf is the class of the call that a question is about. ok is false where none may
// be agreed to: it is no call, its label is not benign or sensitive, or nothing in it
// says what it is aimed at, so that no argument could be held fast.
func ClassOf(q agent.Question) (c Class, ok bool) {
	aimless := slices.ContainsFunc(q.Sinks, func(s agent.Sink) bool { return s.Arg == "" })
	if q.Call == nil || len(q.Sinks) == 0 || aimless || q.Label != agent.Benign && q.Label != agent.Sensitive {
		return Class{}, false
	}
	c = Class{tool: q.Call.Tool, sinks: slices.Clone(q.Sinks), effect: q.Effect, label: q.Label, grant: q.Grant}
	args, readable := arguments(q.Call.Args)
	for _, a := range args {
		if !slices.ContainsFunc(q.Sinks, func(s agent.Sink) bool { return s.Arg == "/"+a.name || strings.HasPrefix("/"+a.name, s.Arg+"/") }) {
			c.free = append(c.free, a.name)
		}
	}
	for _, v := range q.Votes {
		if v.Outcome != agent.Allow {
			c.asked = append(c.asked, v.Rule)
		}
	}
	return c, readable
}

// Matches reports whether a question is about a call of the class. A rule that did not
// ask about the first call is a new question.
func (c Class) Matches(q agent.Question) bool {
	if c.tool == "" || q.Call == nil || q.Call.Tool != c.tool || q.Effect.Rank() > c.effect.Rank() || len(q.Sinks) != len(c.sinks) {
		return false
	}
	if q.Label != agent.Benign && q.Label != c.label {
		return false
	}
	if q.Grant.Write && !c.grant.Write || q.Grant.Profile != c.grant.Profile || !slices.Equal(q.Grant.Hosts, c.grant.Hosts) ||
		!slices.Equal(q.Grant.Secrets, c.grant.Secrets) {
		return false
	}
	for i, s := range q.Sinks {
		k := c.sinks[i]
		if s.Arg != k.Arg || s.Value != k.Value || s.Role != k.Role || s.Origin.Source < k.Origin.Source {
			return false
		}
	}
	args, ok := arguments(q.Call.Args)
	if !ok {
		return false
	}
	for _, a := range args { // an argument that was not there before is a new call
		if !slices.Contains(c.free, a.name) && !slices.ContainsFunc(c.sinks, func(s agent.Sink) bool { return s.Arg == "/"+a.name || strings.HasPrefix("/"+a.name, s.Arg+"/") }) {
			return false
		}
	}
	for _, v := range q.Votes {
		if v.Outcome != agent.Allow && !slices.Contains(c.asked, v.Rule) {
			return false
		}
	}
	return true
}

// Words describes the class, with what will and what will not match.
func (c Class) Words() []string {
	aims := make([]string, len(c.sinks))
	for i, s := range c.sinks {
		aims[i] = plainName(s.Arg) + " " + Quote(firstRunes(s.Value, 60))
		if len([]rune(s.Value)) > 60 {
			aims[i] += "…"
		}
	}
	out := []string{fmt.Sprintf("every further call of %s in this run with %s", Quote(c.tool), strings.Join(aims, " and "))}
	if len(c.free) > 0 {
		out = append(out, "  will match: the same with any other "+strings.Join(c.free, ", "))
	} else {
		out = append(out, "  will match: the very same call again")
	}
	return append(out, "  will not match: any other value there, another tool, a worse effect or label, a rule that did not ask this time")
}

// Memory holds the classes agreed to in a run. The zero Memory holds none.
type Memory struct{ classes []Class }

// Add remembers a class.
func (m *Memory) Add(c Class) { m.classes = append(m.classes, c) }

// Covers finds a class that a question matches.
func (m *Memory) Covers(q agent.Question) (Class, bool) {
	for _, c := range m.classes {
		if c.Matches(q) {
			return c, true
		}
	}
	return Class{}, false
}

package safety

import (
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/provenance"
	"github.com/holdfast-run/holdfast/safety/shell"
)

// effect is the effect of one call of a tool. A Write is only what loses nothing: a new file or folder, or a
// line more in a file that the user named, by a tool that writes nothing else. A call of a tool that writes counts as
// Irreversible if it may do anything else to what exists, and as a Read if all it does
// is run commands that are known to read; it then runs in a cell that cannot write, so
// that a mistake there changes nothing. A Write that is not aimed at files stays one if
// its tool can take it back itself.
func (g *Gate) effect(s agent.ToolSpec, sinks []agent.Sink, r *provenance.Record) agent.Effect {
	if s.Effect != agent.Write || !onFiles(sinks) && g.opts.Undoable != nil && g.opts.Undoable(s) {
		return s.Effect
	}
	if len(sinks) == 0 {
		return agent.Irreversible
	}
	worst := agent.Read
	for _, k := range sinks {
		e := agent.Irreversible
		switch k.Role {
		case agent.RoleCommand:
			e = g.commandEffect(k.Value, r)
		case agent.RolePath:
			if g.opts.Adds != nil && g.opts.Adds(s) && g.absent(k.Value) {
				e = agent.Write
			}
		}
		if e.Rank() > worst.Rank() {
			worst = e
		}
	}
	return worst
}

// onFiles reports whether a call is aimed at the workspace: by a path or a command.
func onFiles(sinks []agent.Sink) bool {
	return slices.ContainsFunc(sinks, func(k agent.Sink) bool { return k.Role == agent.RolePath || k.Role == agent.RoleCommand })
}

// commandEffect is Write for a command that only reads and adds, where every path it
// adds is new and inert, or an inert file it appends to that the user named exactly.
func (g *Gate) commandEffect(line string, r *provenance.Record) agent.Effect {
	if _, err := shell.Parse(line); err != nil { // two readers must agree that it can be read
		return agent.Irreversible
	}
	adds, ok := provenance.ParseCommand(line).Adds()
	if !ok {
		return agent.Irreversible
	}
	if len(adds) == 0 {
		return agent.Read
	}
	made := map[string]bool{}
	for _, a := range adds {
		named := r.Origin(a.Path, agent.RolePath).Trusted()
		if !inert(a.Path, a.Folder, named) {
			return agent.Irreversible
		}
		clean := path.Clean(a.Path)
		keeps := a.Append && named // new or not
		if !keeps && (made[clean] || !g.absent(a.Path)) {
			return agent.Irreversible
		}
		made[clean] = true
	}
	return agent.Write
}

// absent reports whether a path is known to name nothing in the workspace. One that
// climbs is not: what it names depends on links.
func (g *Gate) absent(p string) bool {
	if g.opts.Exists == nil || !filepath.IsLocal(p) {
		return false
	}
	for _, part := range strings.Split(p, "/") {
		if part == ".." {
			return false
		}
	}
	return !g.opts.Exists(path.Clean(p))
}

// fresh reports whether a write that loses nothing also adds nothing that acts later
// without the user having named it, nor anything under a name that an untrusted text gave.
func fresh(sinks []agent.Sink) bool {
	for _, k := range sinks {
		if !k.Origin.Trusted() && (k.Role != agent.RolePath || k.Origin.Source == agent.SourceTool || !inert(k.Value, false, false)) {
			return false
		}
	}
	return true
}

package safety

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/provenance"
)

// effect is the effect of one call of a tool. A tool that writes by running commands
// only reads when every command of the call is known to: it then runs in a cell that
// cannot write, so that a mistake here changes nothing.
func effect(s agent.ToolSpec, sinks []agent.Sink) agent.Effect {
	if s.Effect != agent.Write {
		return s.Effect
	}
	commands := 0
	for _, k := range sinks {
		if k.Role != agent.RoleCommand {
			continue
		}
		if !provenance.ParseCommand(k.Value).Reads() {
			return s.Effect
		}
		commands++
	}
	if commands == 0 {
		return s.Effect
	}
	return agent.Read
}

// fresh reports whether a write is known to overwrite nothing: everything that directs
// it and that the user did not name is the path of a file that does not exist.
func (g *Gate) fresh(sinks []agent.Sink) bool {
	if g.opts.Exists == nil {
		return false
	}
	for _, k := range sinks {
		if k.Origin.Trusted() {
			continue
		}
		if k.Role != agent.RolePath || !ordinary(k.Value) || g.opts.Exists(path.Clean(k.Value)) {
			return false
		}
	}
	return true
}

// ordinary knows paths inside the workspace that nothing reads on its own. A new hidden
// file or a new file of instructions may act later, outside this run.
func ordinary(p string) bool {
	if !filepath.IsLocal(p) {
		return false
	}
	for _, part := range strings.Split(path.Clean(p), "/") {
		if strings.HasPrefix(part, ".") {
			return false
		}
		switch strings.ToLower(part) {
		case "agents.md", "skill.md", "claude.md", "makefile", "gnumakefile":
			return false
		}
	}
	return true
}

package safety

import (
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/safety/shell"
)

// wants are the hosts that a call would reach if nothing stood against it, each as the
// user allows it: those that its tool declares, or else those that its command names. open
// says that rules may add others. A command that is known to read, or to add files alone,
// needs none.
func (g *Gate) wants(s agent.ToolSpec, effect agent.Effect, sinks []agent.Sink) (hosts []string, open bool) {
	if g.opts.Reaches == nil || len(g.opts.Hosts) == 0 {
		return nil, false
	}
	declared, open := g.opts.Reaches(s)
	if !open {
		return g.within(declared), false
	}
	if effect.Rank() < agent.Outward.Rank() {
		return nil, false
	}
	var named []string
	for _, k := range sinks {
		if k.Role == agent.RoleCommand {
			named = append(named, commandHosts(k.Value)...)
		}
	}
	return g.within(named), true
}

// within keeps the hosts that the user allows, sorted and each once, as the user allows
// them: one that may be of a private network is marked so.
func (g *Gate) within(hosts []string) []string {
	var out []string
	for _, h := range hosts {
		if policy.WithinHosts([]string{h}, g.opts.Hosts) {
			out = append(out, policy.HostAsAllowed(h, g.opts.Hosts))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// reach counts a call that reaches hosts as one that sends something out of the machine,
// whatever its tool does here.
func (w *weighed) reach() {
	if len(w.hosts) > 0 && !w.in.outward() {
		w.in.Effect, w.in.Fresh = agent.Outward, false
	}
}

// carriesFiles reports whether a call may send what it finds in the workspace: a command
// that reaches hosts can, unless the user wrote it.
func (w *weighed) carriesFiles() bool {
	return len(w.hosts) > 0 && !w.in.sinksTrusted() &&
		slices.ContainsFunc(w.sinks, func(k agent.Sink) bool { return k.Role == agent.RoleCommand })
}

// schemePorts are the ports that addresses mean where they name none.
var schemePorts = map[string]string{"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21", "ssh": "22",
	"git": "9418", "git+ssh": "22", "git+https": "443", "rsync": "873"}

var (
	addressForm  = regexp.MustCompile(`([a-z][a-z0-9+]*)://(?:[^\s/@'"]*@)?([A-Za-z0-9.-]+)(?::([0-9]{1,5}))?`)
	hostPortForm = regexp.MustCompile(`^([A-Za-z0-9.-]+):([0-9]{1,5})$`)
	scpForm      = regexp.MustCompile(`^[A-Za-z0-9._-]+@([A-Za-z0-9.-]+):`)
)

// commandHosts are the hosts that a command line names in words that are written out:
// addresses with a scheme, host:port, and user@host:path. One that cannot be parsed names
// none.
func commandHosts(line string) []string {
	parsed, err := shell.Parse(line)
	if err != nil {
		return nil
	}
	var out []string
	for _, c := range parsed {
		for _, word := range c.Words {
			out = append(out, wordHosts(word)...)
		}
	}
	return out
}

func wordHosts(word string) []string {
	if m := hostPortForm.FindStringSubmatch(word); m != nil {
		return []string{hostPort(m[1], m[2])}
	}
	if m := scpForm.FindStringSubmatch(word); m != nil {
		return []string{hostPort(m[1], "22")}
	}
	var out []string
	for _, m := range addressForm.FindAllStringSubmatch(word, -1) {
		port := m[3]
		if port == "" {
			port = schemePorts[m[1]]
		}
		if port != "" {
			out = append(out, hostPort(m[2], port))
		}
	}
	return out
}

// hostPort writes a host as rules do: small letters, no final dot.
func hostPort(host, port string) string {
	return strings.TrimSuffix(strings.ToLower(host), ".") + ":" + strings.TrimLeft(port, "0")
}

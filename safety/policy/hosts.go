package policy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxRuleHosts bounds the hosts of one rule.
const maxRuleHosts = 64

// privateMark follows a host that may be of this machine or a private network.
const privateMark = " private"

// hostForm is host:port, with "*." before a host for all below it. What is a host exactly,
// the sandbox says.
var hostForm = regexp.MustCompile(`^(\*\.)?[a-z0-9.-]+:[1-9][0-9]{0,4}( private)?$`)

func checkHosts(list []string) error {
	if len(list) > maxRuleHosts {
		return fmt.Errorf("hosts: %d of them, at most %d", len(list), maxRuleHosts)
	}
	for _, h := range list {
		if !hostForm.MatchString(h) {
			return fmt.Errorf("hosts: %q is not host:port, such as api.example.com:443", h)
		}
	}
	return nil
}

// CoversHost reports whether a host, as rules and grants write it, is within another: the
// same, one below a "*." by up to three labels, or one of a public network where private ones
// may be reached too.
func CoversHost(outer, host string) bool {
	outer, private := strings.CutSuffix(outer, privateMark)
	host, asked := strings.CutSuffix(host, privateMark)
	if asked && !private {
		return false
	}
	if outer == host {
		return true
	}
	zone, wild := strings.CutPrefix(outer, "*")
	below, within := strings.CutSuffix(host, zone)
	return wild && strings.HasPrefix(zone, ".") && within && below != "" && strings.Count(below, ".") < 3 && !strings.HasPrefix(host, "*")
}

// WithinHosts reports whether every host is within one of a list.
func WithinHosts(hosts, list []string) bool {
	return !slices.ContainsFunc(hosts, func(h string) bool {
		return !slices.ContainsFunc(list, func(l string) bool { return CoversHost(l, h) })
	})
}

// HostAsAllowed writes a host that is within a list as the list allows it: as one that may be
// of a private network where nothing narrower allows it.
func HostAsAllowed(host string, list []string) string {
	for _, l := range list {
		if !strings.HasSuffix(l, privateMark) && CoversHost(l, host) {
			return host
		}
	}
	return strings.TrimSuffix(host, privateMark) + privateMark
}

// Hosts are those that rules of the set name, each once: what the user's own files let
// calls ask for.
func (s *Set) Hosts() []string {
	var out []string
	for _, r := range s.rules {
		out = append(out, r.Hosts...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

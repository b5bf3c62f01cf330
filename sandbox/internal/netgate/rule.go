// Package netgate is the only way out of a cell that may reach some hosts: it
// accepts what the cell's network hands over, decides by a list, resolves a name
// once, looks at the address, and dials exactly that. It never starts a process
// and holds no socket of the cell but the listeners it was given.
//
// A Gate serves one call. Its methods may be called from any goroutine.
package netgate

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Rule allows connections to one port of one host, or of the hosts below one. The
// zero Rule allows nothing.
type Rule struct {
	Host string // a name, an IPv4 address in its usual form, or "*." and a name
	Port uint16 // never 0, nor 53, which is the gate's own
	// Private lets the host be of this machine or its private networks, which is
	// refused otherwise. Link-local addresses, where clouds keep their metadata,
	// are refused all the same.
	Private bool
}

// String returns "host:port".
func (r Rule) String() string { return fmt.Sprintf("%s:%d", r.Host, r.Port) }

// Check reports whether the rule is well-formed, its host in the one form that
// decisions are made on.
func (r Rule) Check() error {
	if r.Port == 0 || r.Port == 53 {
		return fmt.Errorf("port %d cannot be allowed", r.Port)
	}
	if _, err := netip.ParseAddr(r.Host); err == nil {
		if a, ok := literal(r.Host); !ok || !a.Is4() {
			return fmt.Errorf("address %q is not IPv4 in its usual form", r.Host)
		}
		return nil
	}
	name, pattern := strings.CutPrefix(r.Host, "*.")
	h, err := ParseHost(name)
	if err == nil && h != name {
		err = fmt.Errorf("%q is written %q", name, h)
	}
	if err == nil && pattern {
		err = checkZone(name)
	}
	return err
}

// checkZone refuses what strangers share: a pattern may not stand for every host below
// a suffix under which anybody can have a name.
func checkZone(name string) error {
	if suffix, _ := publicsuffix.PublicSuffix(name); suffix == name {
		return fmt.Errorf("below %s anybody can have a host", name)
	}
	return nil
}

// maxBelow is how many labels may stand in place of the star of a pattern.
const maxBelow = 3

// Covers reports whether every connection that o allows is allowed by r.
func (r Rule) Covers(o Rule) bool {
	return r.Port == o.Port && (r.Private || !o.Private) && (r.Host == o.Host || !o.pattern() && r.matches(o.Host))
}

func (r Rule) pattern() bool { return strings.HasPrefix(r.Host, "*.") }

// matches reports whether a name, in its one form, is the rule's or fits its pattern.
func (r Rule) matches(name string) bool {
	zone, pattern := strings.CutPrefix(r.Host, "*")
	if !pattern {
		return name == r.Host
	}
	below, ok := strings.CutSuffix(name, zone)
	return ok && below != "" && strings.Count(below, ".") < maxBelow
}

// literal reads an address only if it is written as it is printed.
func literal(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.String() == s
}

var errHost = errors.New("not a host name")

// ParseHost returns the one form of a host name: lower case, letters, digits and
// hyphens, without a final dot. What has another meaning somewhere, such as a
// number that a resolver takes for an address, is an error.
func ParseHost(s string) (string, error) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return "", errHost
	}
	b := []byte(s)
	start := 0
	for i := 0; i <= len(b); i++ {
		if i == len(b) || b[i] == '.' {
			if !label(b[start:i]) {
				return "", errHost
			}
			start = i + 1
			continue
		}
		if 'A' <= b[i] && b[i] <= 'Z' {
			b[i] += 'a' - 'A'
		}
	}
	last := string(b[strings.LastIndexByte(string(b), '.')+1:])
	if '0' <= last[0] && last[0] <= '9' { // 10.1, 0x7f000001, 017700000001
		return "", errHost
	}
	return string(b), nil
}

func label(b []byte) bool {
	if len(b) == 0 || len(b) > 63 || b[0] == '-' || b[len(b)-1] == '-' {
		return false
	}
	for _, c := range b {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

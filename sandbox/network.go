package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/netgate"
)

// HostRule lets a call connect to one port of one host, or of the hosts below one. The
// zero HostRule allows nothing.
type HostRule struct {
	// Host is a name in lower case without a final dot, an IPv4 address, or "*." before a
	// name: every host below it by up to three labels, of which a call can use 32. Nobody's
	// suffix, such as *.co.uk, can be listed so.
	Host string
	Port uint16 // 1 to 65535 without 53
	// Private lets the host be of this machine or its private networks, which is
	// refused otherwise. Link-local addresses are refused all the same.
	Private bool
}

// privateMark follows the text of a rule for a host of this machine or its
// private networks.
const privateMark = " private"

// String returns "host:port", followed by " private" where that is allowed.
func (r HostRule) String() string {
	s := fmt.Sprintf("%s:%d", r.Host, r.Port)
	if r.Private {
		s += privateMark
	}
	return s
}

// ParseHostRule reads what String returns, and nothing else.
func ParseHostRule(s string) (HostRule, error) {
	text, private := strings.CutSuffix(s, privateMark)
	host, port, _ := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	r := HostRule{host, uint16(n), private}
	if err == nil {
		err = netgate.Rule(r).Check()
	}
	if err != nil || r.String() != s {
		return HostRule{}, &SpecError{"Network.Allow", fmt.Sprintf("%q is not host:port, such as api.example.com:443", s)}
	}
	return r, nil
}

// Covers reports whether all that o allows is allowed by r.
func (r HostRule) Covers(o HostRule) bool { return netgate.Rule(r).Covers(netgate.Rule(o)) }

// NetPolicy is what a call may reach. The zero NetPolicy is no network at all:
// not even a socket can be made.
//
// With hosts, a cell has TCP and UDP over IPv4 in a network of its own that leads
// nowhere. A connection to a listed port of any address ends at the gate, in this
// process, which knows what it was meant for, and carries it to the host if it is
// on the list. Listed names have addresses of the gate's own; no query leaves.
type NetPolicy struct {
	Allow []HostRule
}

func (n NetPolicy) on() bool { return len(n.Allow) > 0 }

// ports returns the ports to listen on, each once, in order.
func (n NetPolicy) ports() []uint16 {
	var list []uint16
	for _, r := range n.Allow {
		list = append(list, r.Port)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Bounds of one call's list.
const (
	maxHosts = 64
	maxPorts = 16
)

// NetConn is one connection that a call tried, or one name that it asked for in
// vain.
type NetConn struct {
	Host    string        // as on the list; else the address or name as it was tried
	Port    uint16        // 0 for a name
	Addr    string        // address and port that were dialled, "" if none was
	Verdict string        // "allowed", or a stable code such as "net.host"
	Up      int64         // bytes from the cell
	Down    int64         // bytes to it
	Took    time.Duration // from accepting to the end
}

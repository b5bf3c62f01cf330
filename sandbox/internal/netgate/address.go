package netgate

import (
	"net"
	"net/netip"
)

// never are the networks that no rule opens: they lead to no host, to many, or
// to whatever an address inside them says.
var never = prefixes("0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
	"::/128", "::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"3fff::/20", "5f00::/16", "fe80::/10", "fec0::/10", "ff00::/8")

// private are those that a rule opens only if it says so.
var private = prefixes("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")

func prefixes(list ...string) []netip.Prefix {
	var p []netip.Prefix
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// mayReach reports whether an address may be dialled. own are the addresses of
// this machine.
func mayReach(a netip.Addr, allowPrivate bool, own []netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if a == netip.IPv6Loopback() || within(a, private) {
		return allowPrivate
	}
	if within(a, never) {
		return false
	}
	for _, o := range own {
		if o == a {
			return allowPrivate
		}
	}
	return true
}

// ownAddresses lists the addresses of this machine.
func ownAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own, nil
}

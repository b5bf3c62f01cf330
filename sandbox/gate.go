//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/netgate"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// namePort is that of name queries.
const namePort = 53

// certificates are what programs check servers by; shown where there is a network.
const certificates = "/etc/ssl/certs"

// checkNetwork refuses what the configuration does not hold, and what Strict was
// not granted.
func checkNetwork(s Spec, f Facts) error {
	n := s.Network
	if !n.on() {
		return nil
	}
	if s.Grants.Hosts && s.Grants.Decision == "" {
		return &SpecError{"Grants", "a grant needs its decision"}
	}
	if s.Profile.granted() && !s.Grants.Hosts {
		return &SpecError{"Network", "this profile needs a grant to reach hosts"}
	}
	if len(n.Allow) > maxHosts || len(n.ports()) > maxPorts {
		return &SpecError{"Network.Allow", fmt.Sprintf("has more than %d hosts or %d ports", maxHosts, maxPorts)}
	}
	for _, r := range n.Allow {
		if err := netgate.Rule(r).Check(); err != nil {
			return &SpecError{"Network.Allow", err.Error()}
		}
		if !slices.ContainsFunc(f.Config.Hosts, func(c HostRule) bool { return c.Covers(r) }) {
			return &SpecError{"Network.Allow", r.String() + " is not on the list of the configuration"}
		}
	}
	return nil
}

// network gives the cell a network of its own, in which every address is reached
// on loopback and what listens is handed to the runner.
func (b *builder) network(n NetPolicy) {
	if !n.on() {
		return
	}
	b.add(op{code: stage.Lo, phase: 1})
	b.add(op{code: stage.Route, phase: 1})
	b.add(op{code: stage.Listen, phase: 1, a: namePort, b: 1})
	for _, p := range n.ports() {
		b.add(op{code: stage.Listen, phase: 1, a: uint32(p)})
	}
	b.ports = append([]uint16{namePort}, n.ports()...)
}

// listeners receives what listens in the cell, in the order of the plan.
func (c *cell) listeners(ctx context.Context, deadline time.Time) error {
	for _, p := range c.plan.ports {
		m, err := c.expect(ctx, c.control, stage.MsgSocket, deadline)
		if err != nil {
			return c.interrupted(ctx, err)
		}
		if m.fd < 0 || m.index != int(p) {
			return errors.New("receive listener: not the one that was planned")
		}
		c.sockets = append(c.sockets, os.NewFile(uintptr(m.fd), "listener"))
	}
	return nil
}

// openGate begins to serve the network of the cell.
func (c *cell) openGate() error {
	if len(c.plan.ports) == 0 {
		return nil
	}
	var rules []netgate.Rule
	for _, r := range slices.Concat(c.spec.Network.Allow, c.runner.loosened) {
		rules = append(rules, netgate.Rule(r))
	}
	g, err := netgate.New(netgate.Config{Rules: rules, Resolve: c.runner.resolve})
	if err != nil {
		return fmt.Errorf("open gate: %w", err)
	}
	c.gate = g
	for i, f := range c.sockets {
		if i == 0 {
			names, err := net.FilePacketConn(f)
			if err != nil {
				return fmt.Errorf("open gate: %w", err)
			}
			g.Names(names)
			continue
		}
		l, err := net.FileListener(f)
		if err != nil {
			return fmt.Errorf("open gate: %w", err)
		}
		g.Accept(l)
	}
	return nil
}

// closeGate ends every connection and takes down what there was.
func (c *cell) closeGate() {
	for _, f := range c.sockets {
		f.Close()
	}
	c.sockets = nil
	if c.gate == nil {
		return
	}
	rows, dropped := c.gate.Close()
	for _, r := range rows {
		c.result.Conns = append(c.result.Conns, NetConn(r))
	}
	c.result.ConnsDropped = dropped
}

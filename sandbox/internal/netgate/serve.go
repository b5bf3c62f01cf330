package netgate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// serve decides about one connection and carries it. The decision and the dial
// are made on one value: what was resolved is what is dialled.
func (g *Gate) serve(c net.Conn) (row Conn) {
	began := time.Now()
	defer func() { row.Took = time.Since(began) }()
	to, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return Conn{Verdict: NoHost}
	}
	meant := to.AddrPort().Addr().Unmap()
	row = Conn{Host: meant.String(), Port: uint16(to.Port), Verdict: NoHost}
	if name := g.hostAt(meant); name != "" {
		row.Host = name
	}
	rule, ok := g.rule(row.Host, row.Port)
	if !ok {
		return row
	}
	var first []byte
	if row.Port == 443 {
		c.SetReadDeadline(time.Now().Add(g.limits.Dial))
		if first, ok = hello(c, row.Host); !ok {
			row.Verdict = NoTLS
			return row
		}
	}
	ctx, cancel := context.WithTimeout(g.ctx, g.limits.Dial)
	defer cancel()
	far, at, verdict := g.reach(ctx, row.Host, rule)
	row.Verdict = verdict
	if at.IsValid() {
		row.Addr = at.String()
	}
	if far == nil {
		return row
	}
	defer far.Close()
	if !g.hold(far) {
		return row
	}
	defer g.forget(far)
	if !g.carry(c, far, first, &row) {
		row.Verdict = NoBudget
	}
	return row
}

// rule finds what allows a host: what names it comes before what has a pattern for it.
func (g *Gate) rule(host string, port uint16) (Rule, bool) {
	for _, pattern := range []bool{false, true} {
		i := slices.IndexFunc(g.rules, func(r Rule) bool { return r.Port == port && r.pattern() == pattern && r.matches(host) })
		if i >= 0 {
			return g.rules[i], true
		}
	}
	return Rule{}, false
}

func (g *Gate) forget(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.sockets, c)
}

// reach resolves a host that a rule allows once and dials the first address that may be
// reached.
func (g *Gate) reach(ctx context.Context, host string, r Rule) (net.Conn, netip.AddrPort, string) {
	list := []netip.Addr{}
	if a, is := literal(host); is {
		list = append(list, a)
	} else {
		found, err := g.config.Resolve(ctx, host)
		if err != nil || len(found) == 0 {
			return nil, netip.AddrPort{}, NoAnswer
		}
		list = found
	}
	var at netip.AddrPort
	verdict := NoAddress
	for _, a := range list {
		if a.Is4In6() { // a resolver's way to write IPv4, which is judged as such
			a = a.Unmap()
		}
		if !mayReach(a, r.Private, g.own) {
			continue
		}
		at, verdict = netip.AddrPortFrom(a, r.Port), NoDial
		if c, err := g.config.Dial(ctx, at); err == nil {
			return c, at, Allowed
		}
	}
	return nil, at, verdict
}

// line is one connection through the gate.
type line struct {
	gate *Gate
	last atomic.Int64 // when a byte last went either way, in nanoseconds
}

// carry moves bytes both ways until both ends are done. It returns false if a
// bound was met.
func (g *Gate) carry(near, far net.Conn, first []byte, row *Conn) bool {
	l := &line{gate: g}
	var up, down bool
	var both sync.WaitGroup
	both.Go(func() {
		up = l.move(far, io.MultiReader(bytes.NewReader(first), near), near, &g.up, &row.Up)
	})
	both.Go(func() { down = l.move(near, far, far, &g.down, &row.Down) })
	both.Wait()
	return up && down
}

// move copies from src, whose socket is from, within what is left of a budget.
func (l *line) move(to net.Conn, src io.Reader, from net.Conn, left, count *int64) bool {
	buf := make([]byte, 16<<10)
	idle := l.gate.limits.Idle
	l.last.Store(time.Now().UnixNano())
	for {
		from.SetReadDeadline(time.Now().Add(idle))
		n, err := src.Read(buf)
		if n > 0 {
			l.last.Store(time.Now().UnixNano())
			allowed := l.gate.spend(left, n)
			to.SetWriteDeadline(time.Now().Add(idle))
			k, werr := to.Write(buf[:allowed])
			*count += int64(k)
			if allowed < n {
				to.Close()
				from.Close()
				return false
			}
			if werr != nil {
				err = werr
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, l.last.Load())) < idle:
			// the other direction is busy
		default:
			finish(to, from, err)
			return true
		}
	}
}

// finish passes the end of one direction on; any other error ends both.
func finish(to, from net.Conn, err error) {
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == io.EOF {
		half.CloseWrite()
		return
	}
	to.Close()
	from.Close()
}

// spend takes up to n bytes of what is left and returns how many there were.
func (g *Gate) spend(left *int64, n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := min(int64(n), *left)
	*left -= k
	return int(k)
}

// maxHello bounds what a client may say before it has named its host.
const maxHello = 16 << 10

// hello reads the first message of TLS and returns it, and whether it names the
// host: it must do so in the open, and not at all where the host is an address.
func hello(c net.Conn, host string) (said []byte, ok bool) {
	if _, is := literal(host); is {
		host = ""
	}
	rec := &recording{Conn: c}
	config := &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		const encrypted = 0xfe0d // encrypted client hello, or what pretends to be one
		ok = h.ServerName == host && !slices.Contains(h.Extensions, encrypted)
		return nil, errors.New("it is not for us")
	}}
	_ = tls.Server(rec, config).Handshake() // which ends there, always
	return rec.said, ok
}

// recording is a connection that remembers what was read and sends nothing.
type recording struct {
	net.Conn
	said []byte
}

func (r *recording) Read(b []byte) (int, error) {
	if len(r.said) >= maxHello {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := r.Conn.Read(b[:min(len(b), maxHello-len(r.said))])
	r.said = append(r.said, b[:n]...)
	return n, err
}

func (r *recording) Write(b []byte) (int, error) { return len(b), nil }

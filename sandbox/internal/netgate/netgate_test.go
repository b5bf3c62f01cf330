package netgate_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/netgate"
)

// aimed is a connection that was made to some address of the cell's network.
type aimed struct {
	*net.TCPConn
	to *net.TCPAddr
}

func (a aimed) LocalAddr() net.Addr { return a.to }

// cell stands for the network of a cell: what is dialled in it arrives here.
type cell struct {
	conns  chan net.Conn
	closed chan struct{}
	relay  net.Listener
}

func newCell(t *testing.T) *cell {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &cell{make(chan net.Conn), make(chan struct{}), l}
}

func (c *cell) Accept() (net.Conn, error) {
	select {
	case n := <-c.conns:
		return n, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

func (c *cell) Close() error   { close(c.closed); return nil }
func (c *cell) Addr() net.Addr { return c.relay.Addr() }

// dial is what a tool does: the gate gets a connection made to that address.
func (c *cell) dial(t *testing.T, address string) net.Conn {
	t.Helper()
	near, err := net.Dial("tcp", c.relay.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, err := c.relay.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.conns <- aimed{far.(*net.TCPConn), net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
	near.SetDeadline(time.Now().Add(10 * time.Second))
	return near
}

// server answers each connection with what it was sent, in upper case.
func server(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 1<<16)
				for {
					n, err := c.Read(b)
					c.Write([]byte(strings.ToUpper(string(b[:n]))))
					if err != nil {
						return
					}
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// lookups counts and answers with a fixed list.
type lookups struct {
	addrs []netip.Addr
	names []string
}

func (l *lookups) resolve(_ context.Context, name string) ([]netip.Addr, error) {
	l.names = append(l.names, name)
	if len(l.addrs) == 0 {
		return nil, errors.New("no such host")
	}
	return l.addrs, nil
}

func addrs(list ...string) (a []netip.Addr) {
	for _, s := range list {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

func gate(t *testing.T, c netgate.Config) *netgate.Gate {
	t.Helper()
	g, err := netgate.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

func TestGateCarriesWhatIsListed(t *testing.T) {
	at := server(t)
	look := &lookups{addrs: addrs("127.0.0.1")}
	g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "api.example", Port: at.Port(), Private: true}}, Resolve: look.resolve})
	in := newCell(t)
	g.Accept(in)
	c := in.dial(t, netip.AddrPortFrom(netip.MustParseAddr("198.18.0.1"), at.Port()).String())
	fmt.Fprint(c, "hello")
	c.(*net.TCPConn).CloseWrite()
	if b, err := io.ReadAll(c); err != nil || string(b) != "HELLO" {
		t.Errorf("%q, %v", b, err)
	}
	rows, _ := g.Close()
	if len(rows) != 1 || rows[0].Host != "api.example" || rows[0].Verdict != netgate.Allowed || rows[0].Up != 5 || rows[0].Down != 5 ||
		rows[0].Addr != at.String() {
		t.Errorf("%+v", rows)
	}
	if len(look.names) != 1 || look.names[0] != "api.example" {
		t.Errorf("looked up %q", look.names)
	}
}

// TestGateRefuses shows the verdict of each refusal, and that nothing is dialled.
func TestGateRefuses(t *testing.T) {
	rule := netgate.Rule{Host: "api.example", Port: 80}
	for name, c := range map[string]struct {
		rules   []netgate.Rule
		to      string
		found   []netip.Addr
		verdict string
	}{
		"AnEmptyList":          {nil, "198.18.0.1:80", nil, netgate.NoHost},
		"AnotherPort":          {[]netgate.Rule{rule}, "198.18.0.1:81", nil, netgate.NoHost},
		"AnAddressItself":      {[]netgate.Rule{rule}, "93.184.216.34:80", nil, netgate.NoHost},
		"AFakeAddressOfNobody": {[]netgate.Rule{rule}, "198.18.0.2:80", nil, netgate.NoHost},
		"GoodNameBadPort":      {[]netgate.Rule{rule, {Host: "b.example", Port: 81}}, "198.18.0.1:81", nil, netgate.NoHost},
		"NoAnswer":             {[]netgate.Rule{rule}, "198.18.0.1:80", nil, netgate.NoAnswer},
		"Loopback":             {[]netgate.Rule{rule}, "198.18.0.1:80", addrs("127.0.0.1", "::1"), netgate.NoAddress},
		"Private": {[]netgate.Rule{rule}, "198.18.0.1:80", addrs("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"),
			netgate.NoAddress},
		"MetadataEvenIfPrivateIsAllowed": {[]netgate.Rule{{Host: "api.example", Port: 80, Private: true}}, "198.18.0.1:80",
			addrs("169.254.169.254", "fe80::1"), netgate.NoAddress},
		"EmbeddedAddresses": {[]netgate.Rule{rule}, "198.18.0.1:80",
			addrs("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::7f00:1", "2001::1"), netgate.NoAddress},
		"ReservedAddresses": {[]netgate.Rule{rule}, "198.18.0.1:80",
			addrs("0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "198.18.0.1", "192.0.2.1", "ff02::1", "::"), netgate.NoAddress},
		"ListedLoopbackWithoutLeave": {[]netgate.Rule{{Host: "127.0.0.1", Port: 80}}, "127.0.0.1:80", nil, netgate.NoAddress},
	} {
		t.Run(name, func(t *testing.T) {
			look := &lookups{addrs: c.found}
			g := gate(t, netgate.Config{Rules: c.rules, Resolve: look.resolve, Dial: func(context.Context, netip.AddrPort) (net.Conn, error) {
				t.Error("dialled")
				return nil, errors.New("no")
			}})
			in := newCell(t)
			g.Accept(in)
			if b, err := io.ReadAll(in.dial(t, c.to)); len(b) > 0 {
				t.Errorf("%q, %v", b, err)
			}
			if rows, _ := g.Close(); len(rows) != 1 || rows[0].Verdict != c.verdict {
				t.Errorf("%+v", rows)
			}
		})
	}
}

// TestRebindingIsPinned: a resolver that changes its mind is asked once for each
// connection, and what it said is what is dialled.
func TestRebindingIsPinned(t *testing.T) {
	asked := 0
	var dialled []string
	g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "api.example", Port: 80}},
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			if asked++; asked > 1 {
				return addrs("127.0.0.1"), nil
			}
			return addrs("10.0.0.1", "93.184.216.34"), nil
		},
		Dial: func(_ context.Context, a netip.AddrPort) (net.Conn, error) {
			dialled = append(dialled, a.String())
			return nil, errors.New("nobody answers")
		}})
	in := newCell(t)
	g.Accept(in)
	for range 2 {
		io.ReadAll(in.dial(t, "198.18.0.1:80"))
	}
	rows, _ := g.Close()
	if len(rows) != 2 || rows[0].Verdict != netgate.NoDial || rows[1].Verdict != netgate.NoAddress || asked != 2 ||
		len(dialled) != 1 || dialled[0] != "93.184.216.34:80" {
		t.Errorf("asked %d, dialled %q, %+v", asked, dialled, rows)
	}
}

func TestTLSMustNameTheHost(t *testing.T) {
	for name, c := range map[string]struct {
		say     func(net.Conn)
		verdict string
	}{
		"TheSame":   {func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "api.example"}).Handshake() }, netgate.NoDial},
		"Another":   {func(c net.Conn) { tls.Client(c, &tls.Config{ServerName: "evil.example"}).Handshake() }, netgate.NoTLS},
		"None":      {func(c net.Conn) { tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() }, netgate.NoTLS},
		"NoTLS":     {func(c net.Conn) { fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: api.example\r\n\r\n"); io.ReadAll(c) }, netgate.NoTLS},
		"Endless":   {func(c net.Conn) { c.Write(make([]byte, 1<<20)); io.ReadAll(c) }, netgate.NoTLS},
		"Silence":   {func(c net.Conn) { io.ReadAll(c) }, netgate.NoTLS},
		"OnlyBegun": {func(c net.Conn) { c.Write([]byte{22, 3, 1, 1, 0, 1}); io.ReadAll(c) }, netgate.NoTLS},
	} {
		t.Run(name, func(t *testing.T) {
			g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "api.example", Port: 443}}, Limits: netgate.Limits{Dial: 300 * time.Millisecond},
				Resolve: (&lookups{addrs: addrs("93.184.216.34")}).resolve,
				Dial:    func(context.Context, netip.AddrPort) (net.Conn, error) { return nil, errors.New("no") }})
			in := newCell(t)
			g.Accept(in)
			c.say(in.dial(t, "198.18.0.1:443"))
			if rows, _ := g.Close(); len(rows) != 1 || rows[0].Verdict != c.verdict {
				t.Errorf("%+v", rows)
			}
		})
	}
}

func TestBudgets(t *testing.T) {
	at := server(t)
	rules := []netgate.Rule{{Host: "127.0.0.1", Port: at.Port(), Private: true}}
	t.Run("OfBytesSent", func(t *testing.T) {
		g := gate(t, netgate.Config{Rules: rules, Limits: netgate.Limits{Up: 1000}})
		in := newCell(t)
		g.Accept(in)
		c := in.dial(t, at.String())
		c.Write(make([]byte, 100_000))
		io.ReadAll(c)
		if rows, _ := g.Close(); len(rows) != 1 || rows[0].Up != 1000 || rows[0].Verdict != netgate.NoBudget {
			t.Errorf("%+v", rows)
		}
	})
	t.Run("OfBytesReceived", func(t *testing.T) {
		g := gate(t, netgate.Config{Rules: rules, Limits: netgate.Limits{Down: 1000}})
		in := newCell(t)
		g.Accept(in)
		c := in.dial(t, at.String())
		c.Write(make([]byte, 5000))
		if b, _ := io.ReadAll(c); len(b) > 1000 {
			t.Errorf("%d bytes came", len(b))
		}
		if rows, _ := g.Close(); len(rows) != 1 || rows[0].Verdict != netgate.NoBudget {
			t.Errorf("%+v", rows)
		}
	})
	t.Run("OfConnections", func(t *testing.T) {
		g := gate(t, netgate.Config{Rules: rules, Limits: netgate.Limits{Open: 2, Total: 3}})
		in := newCell(t)
		g.Accept(in)
		var last net.Conn
		for range 5 {
			last = in.dial(t, at.String())
		}
		if b, err := io.ReadAll(last); len(b) > 0 || err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%q, %v", b, err)
		}
		refused := 0
		rows, _ := g.Close()
		for _, r := range rows {
			if r.Verdict == netgate.NoBudget {
				refused++
			}
		}
		if len(rows) != 5 || refused != 3 {
			t.Errorf("%+v", rows)
		}
	})
	t.Run("OfSilence", func(t *testing.T) {
		g := gate(t, netgate.Config{Rules: rules, Limits: netgate.Limits{Idle: 50 * time.Millisecond}})
		in := newCell(t)
		g.Accept(in)
		if b, _ := io.ReadAll(in.dial(t, at.String())); len(b) > 0 {
			t.Errorf("%q", b)
		}
	})
	t.Run("OfRecords", func(t *testing.T) {
		g := gate(t, netgate.Config{Limits: netgate.Limits{Total: 400}})
		in := newCell(t)
		g.Accept(in)
		for range 300 {
			in.dial(t, "1.1.1.1:80").Close()
		}
		if rows, dropped := g.Close(); len(rows) < 256 || len(rows) > 256+64 || dropped == 0 {
			t.Errorf("%d rows, %d dropped", len(rows), dropped)
		}
	})
}

func TestRulesAreFrozen(t *testing.T) {
	rules := []netgate.Rule{{Host: "a.example", Port: 80}}
	g := gate(t, netgate.Config{Rules: rules, Resolve: (&lookups{}).resolve})
	rules[0] = netgate.Rule{Host: "93.184.216.34", Port: 80}
	in := newCell(t)
	g.Accept(in)
	io.ReadAll(in.dial(t, "93.184.216.34:80"))
	if rows, _ := g.Close(); len(rows) != 1 || rows[0].Verdict != netgate.NoHost {
		t.Errorf("%+v", rows)
	}
}

func TestRules(t *testing.T) {
	for _, good := range []string{"example.com", "a-b.c1.example", "xn--bcher-kva.example", "93.184.216.34", "localhost",
		"*.example.com", "*.a.b.example", "*.example.co.uk"} {
		if err := (netgate.Rule{Host: good, Port: 443}).Check(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "*", "*.", "*.com", "*.co.uk", "*.github.io", "*.example", "*.*.example.com", "a.*.example.com", "*a.example.com",
		"*.Example.com", "*.example.com.", "*.93.184.216.34", "*.216.34", "**.example.com", "Example.com", "example.com.", "a..b", "-a.example", "a-.example", "a_b.example",
		"ex%61mple.com", "a@b.example", "a b", "a\x00.example", "bücher.example", "0x7f.1", "0177.0.0.1", "127.1", "2130706433", "127.0.0.01", "::1",
		"::ffff:127.0.0.1", "[::1]", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "example", "example.com:80", "http://a.example"} {
		if err := (netgate.Rule{Host: bad, Port: 443}).Check(); err == nil {
			t.Errorf("%q is taken for a host", bad)
		}
	}
	for _, port := range []uint16{0, 53} {
		if err := (netgate.Rule{Host: "example.com", Port: port}).Check(); err == nil {
			t.Errorf("port %d is allowed", port)
		}
	}
	if err := (netgate.Rule{}).Check(); err == nil {
		t.Error("the zero rule is a rule")
	}
}

func TestCovers(t *testing.T) {
	rule := func(host string) netgate.Rule { return netgate.Rule{Host: host, Port: 443} }
	for _, tt := range []struct {
		r, o netgate.Rule
		want bool
	}{
		{rule("a.example"), rule("a.example"), true},
		{rule("a.example"), rule("b.example"), false},
		{rule("a.example"), netgate.Rule{Host: "a.example", Port: 80}, false},
		{rule("*.z.example"), rule("a.z.example"), true},
		{rule("*.z.example"), rule("c.b.a.z.example"), true},
		{rule("*.z.example"), rule("d.c.b.a.z.example"), false},
		{rule("*.z.example"), rule("z.example"), false},
		{rule("*.z.example"), rule("az.example"), false},
		{rule("*.z.example"), rule("*.z.example"), true},
		{rule("*.z.example"), rule("*.a.z.example"), false},
		{rule("a.z.example"), rule("*.z.example"), false},
		{rule("a.example"), netgate.Rule{Host: "a.example", Port: 443, Private: true}, false},
		{netgate.Rule{Host: "a.example", Port: 443, Private: true}, rule("a.example"), true},
		{netgate.Rule{}, netgate.Rule{}, true}, // neither passes Check
	} {
		if got := tt.r.Covers(tt.o); got != tt.want {
			t.Errorf("%+v covers %+v: %v", tt.r, tt.o, got)
		}
	}
}

// TestPatterns asks for names below a listed one, and connects to what it is given.
func TestPatterns(t *testing.T) {
	at := server(t)
	look := &lookups{addrs: addrs("127.0.0.1")}
	g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "*.z.example", Port: at.Port()}, {Host: "known.z.example", Port: at.Port(), Private: true},
		{Host: "*.y.example", Port: at.Port(), Private: true}}, Resolve: look.resolve})
	known := func(name string) string {
		b := g.Answer(ask(name, 1))
		if len(b) < 12 || b[3]&0xf != 0 {
			return ""
		}
		return netip.AddrFrom4([4]byte(b[len(b)-4:])).String()
	}
	if a := known("known.z.example"); a != "198.18.0.1" {
		t.Errorf("a listed name is %s", a)
	}
	seen := map[string]bool{}
	for _, name := range []string{"a.y.example", "b.a.y.example", "c.b.a.y.example", "A.y.example."} {
		seen[known(name)] = true
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("names of a pattern are %v", seen)
	}
	for _, name := range []string{"y.example", "d.c.b.a.y.example", "xy.example", "a.y.example.evil.com", "*.y.example", "a_b.y.example"} {
		if a := known(name); a != "" {
			t.Errorf("%s is %s", name, a)
		}
	}
	in := newCell(t)
	g.Accept(in)
	say := func(address string) string {
		c := in.dial(t, netip.AddrPortFrom(netip.MustParseAddr(address), at.Port()).String())
		fmt.Fprint(c, "hello")
		c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c)
		return string(b)
	}
	for name, want := range map[string]string{"b.a.y.example": "HELLO", "known.z.example": "HELLO", "other.z.example": ""} { // the last is no private one
		if got := say(known(name)); got != want {
			t.Errorf("%s says %q", name, got)
		}
	}
	if want := []string{"b.a.y.example", "known.z.example", "other.z.example"}; len(look.names) != 3 || strings.Join(slices.Sorted(slices.Values(look.names)), " ") != strings.Join(want, " ") {
		t.Errorf("looked up %q", look.names)
	}
	for i := range 40 {
		if a := known(fmt.Sprintf("n%d.y.example", i)); (a != "") != (i < 29) { // 32 of a pattern, three of which were asked for
			t.Fatalf("name %d is %q", i, a)
		}
	}
	if a := known("x.z.example"); a == "" {
		t.Error("the names of one pattern count for another")
	}
}

// TestNameOfVersion6 reaches a host that has an IPv6 address alone.
func TestNameOfVersion6(t *testing.T) {
	dialled := make(chan netip.AddrPort, 1)
	g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "api.example", Port: 80}}, Resolve: (&lookups{addrs: addrs("fe80::1", "::ffff:10.0.0.1", "2606:4700::6810:84e5")}).resolve,
		Dial: func(_ context.Context, a netip.AddrPort) (net.Conn, error) {
			dialled <- a
			return nil, errors.New("no route")
		}})
	in := newCell(t)
	g.Accept(in)
	io.ReadAll(in.dial(t, "198.18.0.1:80"))
	if rows, _ := g.Close(); len(rows) != 1 || rows[0].Verdict != netgate.NoDial || rows[0].Addr != "[2606:4700::6810:84e5]:80" || len(dialled) != 1 {
		t.Errorf("%+v", rows)
	}
}

// ask encodes a name query.
func ask(name string, kind uint16) []byte {
	be := binary.BigEndian
	b := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for l := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	return be.AppendUint16(be.AppendUint16(append(b, 0), kind), 1)
}

// asking is a connection by which names are asked for.
func asking(t *testing.T, g *netgate.Gate) net.Conn {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.Names(server)
	c, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestNames(t *testing.T) {
	look := &lookups{addrs: addrs("127.0.0.1")}
	g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "api.example", Port: 80}, {Host: "b.example", Port: 80}, {Host: "b.example", Port: 443}},
		Resolve: look.resolve})
	c := asking(t, g)
	for _, q := range []struct {
		name string
		kind uint16
		code byte
		addr string
	}{
		{"api.example", 1, 0, "198.18.0.1"}, {"B.Example", 1, 0, "198.18.0.2"}, {"api.example", 28, 0, ""}, {"api.example", 16, 0, ""},
		{"api.example", 255, 0, ""}, {"evilapi.example", 1, 3, ""}, {"api.example.evil.com", 1, 3, ""}, {"x.api.example", 1, 3, ""},
		{"secret-data.evil.com", 16, 3, ""}, {"a_b.example", 1, 3, ""},
	} {
		c.Write(ask(q.name, q.kind))
		b := make([]byte, 600)
		n, err := c.Read(b)
		if err != nil || n < 12 || b[0] != 0x12 || b[1] != 0x34 || b[3]&0xf != q.code {
			t.Fatalf("%s %d: % x, %v", q.name, q.kind, b[:n], err)
		}
		addr := ""
		if b[7] == 1 {
			addr = netip.AddrFrom4([4]byte(b[n-4 : n])).String()
		}
		if addr != q.addr {
			t.Errorf("%s %d: %q", q.name, q.kind, addr)
		}
	}
	if len(look.names) > 0 {
		t.Errorf("a query left: %q", look.names)
	}
	if rows, _ := g.Close(); len(rows) != 5 || rows[0].Verdict != netgate.NoName || rows[0].Host != "evilapi.example" {
		t.Errorf("%+v", rows)
	}
}

// TestNamesDoNotFillTheList asks for many names that are not on the list, and then connects:
// the connections must still be on record.
func TestNamesDoNotFillTheList(t *testing.T) {
	g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "api.example", Port: 80}}})
	c := asking(t, g)
	for range 300 {
		c.Write(ask("evil.example", 1))
		if _, err := c.Read(make([]byte, 600)); err != nil {
			t.Fatal(err)
		}
	}
	in := newCell(t)
	g.Accept(in)
	for range 5 {
		in.dial(t, "1.1.1.1:80").Close()
	}
	rows, dropped := g.Close()
	names := 0
	for _, r := range rows {
		if r.Verdict == netgate.NoName {
			names++
		}
	}
	if names != 64 || dropped < 300-64 || len(rows) < names+1 {
		t.Errorf("%d rows, %d of them names, %d dropped", len(rows), names, dropped)
	}
}

func FuzzName(f *testing.F) {
	f.Add(ask("api.example", 1))
	f.Add(ask("evil.example", 28))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		g := gate(t, netgate.Config{Rules: []netgate.Rule{{Host: "api.example", Port: 80}}})
		a := g.Answer(b)
		if a == nil {
			return
		}
		if len(a) < 12 || a[2]&0x80 == 0 || a[0] != b[0] || a[1] != b[1] {
			t.Errorf("% x gets % x", b, a)
		}
		if a[7] == 1 && !strings.Contains(strings.ToLower(string(b)), "api\x07example") {
			t.Errorf("% x gets an address", b)
		}
	})
}

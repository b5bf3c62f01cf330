package netgate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Verdicts of a connection or name query. They are stable codes.
const (
	Allowed   = "allowed"
	NoHost    = "net.host"    // the host or port is not on the list
	NoName    = "net.name"    // a name that is not on the list was asked for
	NoAddress = "net.private" // the address it has now may not be reached
	NoAnswer  = "net.resolve" // the name could not be resolved
	NoDial    = "net.dial"    // nobody answered
	NoTLS     = "net.tls"     // another name inside TLS than outside, or none, or no TLS on port 443
	NoBudget  = "net.budget"  // a bound of the call was met
)

// Conn is one connection that a cell tried, or one name it asked for in vain.
type Conn struct {
	Host    string // as on the list; else the address or name as it was tried
	Port    uint16 // 0 for a name
	Addr    string // what was dialled
	Verdict string
	Up      int64 // bytes from the cell
	Down    int64 // bytes to it
	Took    time.Duration
}

// Limits bounds what one cell may do. Zero fields take the defaults.
type Limits struct {
	Open, Total int           // connections
	Up, Down    int64         // bytes of all connections together
	Dial, Idle  time.Duration // to resolve and dial; without a byte in either direction
}

// DefaultLimits returns what a zero Limits stands for.
func DefaultLimits() Limits {
	return Limits{Open: 64, Total: 256, Up: 8 << 20, Down: 256 << 20, Dial: 10 * time.Second, Idle: 30 * time.Second}
}

const (
	maxRows    = 256  // records of one call's connections
	maxVain    = 64   // and of names and connections that came to nothing
	maxQueries = 1000 // name queries of one call
)

// Config is what a Gate works with. Resolve and Dial may be nil, for those of
// this machine.
type Config struct {
	Rules   []Rule
	Limits  Limits
	Resolve func(context.Context, string) ([]netip.Addr, error)
	Dial    func(context.Context, netip.AddrPort) (net.Conn, error)
}

// Gate serves the connections of one cell.
type Gate struct {
	config Config
	limits Limits
	rules  []Rule // of its own: nobody changes them while the cell runs
	fake   map[string]netip.Addr
	named  map[netip.Addr]string
	own    []netip.Addr
	zones  map[string]int // names that were asked for below each pattern
	next   netip.Addr     // the next address of the gate's own
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex // also of fake, named, zones and next
	sockets  map[interface{ Close() error }]bool
	rows     []Conn
	dropped  int
	vain     int // rows of what came to nothing
	open     int
	total    int
	queries  int
	up, down int64 // still allowed
}

// New returns a gate for one call.
func New(c Config) (*Gate, error) {
	g := &Gate{config: c, limits: c.Limits.orElse(DefaultLimits()), rules: slices.Clone(c.Rules), fake: map[string]netip.Addr{},
		named: map[netip.Addr]string{}, zones: map[string]int{}, next: netip.MustParseAddr("198.18.0.1"), sockets: map[interface{ Close() error }]bool{}}
	g.up, g.down = g.limits.Up, g.limits.Down
	for _, r := range g.rules {
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("host %s: %w", r, err)
		}
		if _, is := literal(r.Host); !is && !r.pattern() && !g.fake[r.Host].IsValid() {
			g.name(r.Host)
		}
	}
	var err error
	if g.own, err = ownAddresses(); err != nil {
		return nil, fmt.Errorf("list own addresses: %w", err)
	}
	if g.config.Resolve == nil {
		g.config.Resolve = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name+".") // no search list
		}
	}
	if g.config.Dial == nil {
		g.config.Dial = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", a.String())
		}
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g, nil
}

func (l Limits) orElse(d Limits) Limits {
	if l.Open == 0 {
		l.Open = d.Open
	}
	if l.Total == 0 {
		l.Total = d.Total
	}
	if l.Up == 0 {
		l.Up = d.Up
	}
	if l.Down == 0 {
		l.Down = d.Down
	}
	if l.Dial == 0 {
		l.Dial = d.Dial
	}
	if l.Idle == 0 {
		l.Idle = d.Idle
	}
	return l
}

// Names answers the name queries that come in on c until the gate is closed.
func (g *Gate) Names(c net.PacketConn) {
	if !g.hold(c) {
		return
	}
	g.work.Go(func() {
		b := make([]byte, maxQuery+1)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				continue
			}
			if a := g.answer(b[:n]); a != nil {
				c.WriteTo(a, from)
			}
		}
	})
}

// name gives a host an address of the gate's own; the lock is held, or nobody else has
// the gate.
func (g *Gate) name(host string) netip.Addr {
	a := g.next
	g.fake[host], g.named[a] = a, host
	g.next = a.Next()
	return a
}

// maxZone is how many names below one pattern a cell may ask for.
const maxZone = 32

// addressOf is the gate's own address of a host that is listed, or that fits a pattern of
// which few were asked for. It is no address for any other.
func (g *Gate) addressOf(host string) netip.Addr {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a, known := g.fake[host]; known || host == "" {
		return a
	}
	for _, r := range g.rules {
		if r.pattern() && r.matches(host) && g.zones[r.Host] < maxZone {
			g.zones[r.Host]++
			return g.name(host)
		}
	}
	return netip.Addr{}
}

// hostAt is the host that has one of the gate's own addresses, "" for any other.
func (g *Gate) hostAt(a netip.Addr) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.named[a]
}

// answer answers one query. Nothing of it leaves this machine: a listed name has
// an address of the gate's own, and is looked up only when it is dialled.
func (g *Gate) answer(b []byte) []byte {
	q, err := parseQuery(b)
	if err != nil || !g.mayAsk() {
		return nil
	}
	a := g.addressOf(q.name)
	switch {
	case q.class != classIN:
		return q.answer(codeRefused, netip.Addr{})
	case !a.IsValid():
		g.record(Conn{Host: q.shown(), Verdict: NoName})
		return q.answer(codeNoName, netip.Addr{})
	case q.kind != typeA:
		return q.answer(codeOK, netip.Addr{})
	}
	return q.answer(codeOK, a)
}

func (g *Gate) mayAsk() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queries++
	return g.queries <= maxQueries
}

// Accept serves what comes in on l, which belongs to one port of every address,
// until the gate is closed.
func (g *Gate) Accept(l net.Listener) {
	if !g.hold(l) {
		return
	}
	g.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				if errors.Is(err, net.ErrClosed) || g.ctx.Err() != nil {
					return
				}
				time.Sleep(10 * time.Millisecond) // out of descriptors, most likely
				continue
			}
			if !g.enter(c) {
				c.Close()
				continue
			}
			g.work.Go(func() {
				defer g.leave(c)
				g.record(g.serve(c))
			})
		}
	})
}

// hold notes a socket that Close closes. It closes it at once if that was.
func (g *Gate) hold(c interface{ Close() error }) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		c.Close()
		return false
	}
	g.sockets[c] = true
	return true
}

// enter counts a connection.
func (g *Gate) enter(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.total++; g.ctx.Err() != nil || g.open >= g.limits.Open || g.total > g.limits.Total {
		g.note(Conn{Host: c.LocalAddr().String(), Verdict: NoBudget})
		return false
	}
	g.open++
	g.sockets[c] = true
	return true
}

func (g *Gate) leave(c net.Conn) {
	c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	delete(g.sockets, c)
}

func (g *Gate) record(c Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note(c)
}

// note keeps a record; the lock is held. What came to nothing has a bound of its own, so
// that no tool can fill the list before it connects.
func (g *Gate) note(c Conn) {
	if c.Verdict == NoName || c.Verdict == NoBudget {
		if g.vain == maxVain {
			g.dropped++
			return
		}
		g.vain++
	} else if len(g.rows)-g.vain == maxRows {
		g.dropped++
		return
	}
	g.rows = append(g.rows, c)
}

// Close ends everything and returns what was recorded, in the order in which it
// ended, and how many records there was no room for. It may be called twice.
func (g *Gate) Close() (rows []Conn, dropped int) {
	g.mu.Lock()
	g.cancel()
	for c := range g.sockets {
		c.Close()
	}
	clear(g.sockets)
	g.mu.Unlock()
	g.work.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rows, g.dropped
}

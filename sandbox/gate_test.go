//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

func init() {
	attempts["fetch"] = func(args []string) string { // text, addresses: sends the text to each and prints what comes back
		var got []string
		for _, a := range args[1:] {
			got = append(got, fetch(a, args[0]))
		}
		return strings.Join(got, "; ")
	}
	attempts["resolve"] = func(args []string) string {
		var got []string
		for _, n := range args {
			a, err := net.DefaultResolver.LookupNetIP(context.Background(), "ip4", n)
			if err != nil {
				got = append(got, "no")
				continue
			}
			got = append(got, fmt.Sprint(a))
		}
		return strings.Join(got, " ")
	}
	attempts["sockets"] = func([]string) string { // every kind of socket that is not TCP or UDP over IPv4
		seen := map[string]bool{}
		for f := range uintptr(46) {
			for _, typ := range []uintptr{1, 2, 3, 5, 10} {
				if f != unix.AF_INET {
					seen["family "+raw(unix.SYS_SOCKET, f, typ, 0)] = true
				} else if typ > 2 {
					seen["type "+raw(unix.SYS_SOCKET, f, typ, 0)] = true
				}
			}
		}
		for _, protocol := range []uintptr{1, 132, 136, 256, 262} { // ICMP, SCTP, UDP-Lite, SMC, MPTCP
			seen["protocol "+raw(unix.SYS_SOCKET, unix.AF_INET, 1, protocol)] = true
		}
		return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
	}
	attempts["many"] = func(args []string) string { // address: as many connections as there can be
		n := 0
		for range 400 {
			c, err := net.DialTimeout("tcp", args[0], 2*time.Second)
			if err != nil {
				break
			}
			c.SetDeadline(time.Now().Add(2 * time.Second))
			fmt.Fprint(c, "x")
			if b := make([]byte, 1); filled(c, b) {
				n++
			}
		}
		return fmt.Sprint(n)
	}
}

func filled(c net.Conn, b []byte) bool { _, err := io.ReadFull(c, b); return err == nil }

// fetch returns what a server says to a text, or the errno's name.
func fetch(address, text string) string {
	c, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		return name(errno(err))
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	fmt.Fprint(c, text)
	c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil {
		return name(errno(err))
	}
	return string(b)
}

// errno returns the error number in err, or err.
func errno(err error) error {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
}

// upper is a server of the host that answers in upper case.
func upper(t *testing.T) netip.AddrPort {
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
				b := make([]byte, 1<<12)
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

// verdicts lists what became of each connection, in order of the text.
func verdicts(res sandbox.Result) string {
	var list []string
	for _, c := range res.Conns {
		list = append(list, fmt.Sprintf("%s:%d %s", c.Host, c.Port, c.Verdict))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func TestGate(t *testing.T) {
	at, other := upper(t), upper(t)
	local := sandbox.HostRule{Host: "127.0.0.1", Port: at.Port(), Private: true}
	named := sandbox.HostRule{Host: "api.example", Port: at.Port(), Private: true}
	public := sandbox.HostRule{Host: "public.example", Port: at.Port()}
	r := open(t, sandbox.Config{Hosts: []sandbox.HostRule{local, named, public}, Pool: 2})
	r.Resolve(func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	})
	reaching := func(rules ...sandbox.HostRule) sandbox.Spec {
		return sandbox.Spec{Profile: sandbox.Standard, Network: sandbox.NetPolicy{Allow: rules}}
	}
	port := fmt.Sprint(at.Port())
	t.Run("CarriesWhatIsListed", func(t *testing.T) {
		for range 2 { // the second time by a cell that was prepared
			res := inside(t, r, reaching(local, named), "fetch", "hello", "127.0.0.1:"+port, "api.example:"+port)
			if out(res) != "HELLO; HELLO" {
				t.Errorf("%q %q %+v", out(res), res.Stderr.Bytes(), res.Denials)
			}
			if got := verdicts(res); got != "127.0.0.1:"+port+" allowed, api.example:"+port+" allowed" {
				t.Errorf("recorded %s", got)
			}
			for _, c := range res.Conns {
				if c.Up != 5 || c.Down != 5 || c.Addr != at.String() || c.Took <= 0 {
					t.Errorf("recorded %+v", c)
				}
			}
			r.Ready()
		}
	})
	t.Run("RefusesEverythingElse", func(t *testing.T) {
		res := inside(t, r, reaching(named), "fetch", "hello", "127.0.0.1:"+port, "93.184.216.34:"+port, "198.18.0.2:"+port)
		if strings.Contains(out(res), "HELLO") || strings.Count(verdicts(res), "net.host") != 3 {
			t.Errorf("%q, recorded %s", out(res), verdicts(res))
		}
		res = inside(t, r, reaching(named), "fetch", "hello", other.String(), "127.0.0.1:22", "169.254.169.254:80", "8.8.8.8:53")
		if strings.Contains(out(res), "HELLO") || strings.Count(out(res), "ECONNREFUSED") != 4 {
			t.Errorf("%q, recorded %s", out(res), verdicts(res))
		}
	})
	t.Run("RefusesAPrivateAddressOfAPublicName", func(t *testing.T) {
		res := inside(t, r, reaching(public), "fetch", "hello", "public.example:"+port)
		if strings.Contains(out(res), "HELLO") || verdicts(res) != "public.example:"+port+" net.private" {
			t.Errorf("%q, recorded %s", out(res), verdicts(res))
		}
	})
	t.Run("KnowsListedNamesOnly", func(t *testing.T) {
		res := inside(t, r, reaching(named), "resolve", "api.example", "API.EXAMPLE.", "evilapi.example", "api.example.evil.com", "data.evil.com")
		if out(res) != "[198.18.0.1] [198.18.0.1] no no no" || !strings.Contains(verdicts(res), "net.name") {
			t.Errorf("%q, recorded %s", out(res), verdicts(res))
		}
	})
	t.Run("BoundsConnections", func(t *testing.T) {
		res := inside(t, r, reaching(local), "many", at.String())
		if out(res) != "64" || !strings.Contains(verdicts(res), "net.budget") {
			t.Errorf("%q, recorded %.300s", out(res), verdicts(res))
		}
	})
	t.Run("LeavesEveryOtherFamilyClosed", func(t *testing.T) {
		res := inside(t, r, reaching(local), "sockets")
		if out(res) != "family EAFNOSUPPORT, protocol EPROTONOSUPPORT, type EPERM" {
			t.Errorf("%q", out(res))
		}
	})
	t.Run("NeedsTheConfiguration", func(t *testing.T) {
		s := reaching(sandbox.HostRule{Host: "127.0.0.1", Port: other.Port() ^ 1, Private: true})
		if _, err := r.Run(t.Context(), withTrue(s), sandbox.Discard); !errors.Is(err, sandbox.ErrSpec) {
			t.Errorf("a host that is not in the configuration: %v", err)
		}
	})
	t.Run("IsOffByDefault", func(t *testing.T) {
		if got := out(inside(t, r, sandbox.Spec{}, "fetch", "hello", at.String())); strings.Contains(got, "HELLO") {
			t.Errorf("%q", got)
		}
	})
	t.Run("NeedsAGrantUnderStrict", func(t *testing.T) {
		s := withTrue(reaching(local))
		s.Profile = sandbox.Strict
		if _, err := r.Run(t.Context(), s, sandbox.Discard); !errors.Is(err, sandbox.ErrSpec) {
			t.Errorf("without a grant: %v", err)
		}
		s.Grants.Hosts = true
		if _, err := r.Run(t.Context(), s, sandbox.Discard); !errors.Is(err, sandbox.ErrSpec) {
			t.Errorf("without a decision: %v", err)
		}
		s.Grants.Decision = "d"
		if _, err := r.Run(t.Context(), s, sandbox.Discard); err != nil {
			t.Errorf("granted: %v", err)
		}
	})
	t.Run("IsPartOfThePlanRecord", func(t *testing.T) {
		var got []sandbox.HostRule
		rec := &recorder{planned: func(p sandbox.PlanRecord) error { got = p.Hosts; return nil }}
		if _, err := r.Run(t.Context(), withTrue(reaching(named)), rec); err != nil || !slices.Equal(got, []sandbox.HostRule{named}) {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestHostRulesAreReadBack(t *testing.T) {
	for _, s := range []string{"api.example.com:443", "93.184.216.34:8080", "127.0.0.1:80 private", "db:5432 private", "*.example.com:443",
		"*.a.example.com:80 private"} {
		if r, err := sandbox.ParseHostRule(s); err != nil || r.String() != s {
			t.Errorf("%q: %+v, %v", s, r, err)
		}
	}
	for _, s := range []string{"", "api.example.com", ":443", "api.example.com:", "api.example.com:0", "api.example.com:53", "api.example.com:65536",
		"api.example.com:0443", "api.example.com:+443", "API.example.com:443", "api.example.com.:443", "*.com:443", "*.co.uk:443", "*:443", "a.*.example.com:443", "[::1]:443", "::1:443",
		"https://api.example.com:443", "api.example.com:443/x", "api.example.com:443  private", "a:1 private private", "a b:1"} {
		if r, err := sandbox.ParseHostRule(s); err == nil {
			t.Errorf("%q is read as %+v", s, r)
		}
	}
}

func withTrue(s sandbox.Spec) sandbox.Spec {
	s.CallID, s.Argv = "x", []string{"/bin/true"}
	return s
}

// TestNothingIsLeftOfGates: descriptors, processes and connections are gone.
func TestNothingIsLeftOfGates(t *testing.T) {
	at := upper(t)
	rule := sandbox.HostRule{Host: "127.0.0.1", Port: at.Port(), Private: true}
	r := open(t, sandbox.Config{Hosts: []sandbox.HostRule{rule}})
	s := sandbox.Spec{Profile: sandbox.Standard, Network: sandbox.NetPolicy{Allow: []sandbox.HostRule{rule}}}
	once := func() {
		if res := inside(t, r, s, "fetch", "a", at.String()); out(res) != "A" {
			t.Fatalf("%q", out(res))
		}
	}
	once()
	before := census(t, r)
	for range 20 {
		once()
	}
	deadline := time.Now().Add(5 * time.Second)
	for census(t, r) != before && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond) // the server of this test closes its ends in its own time
	}
	if after := census(t, r); after != before {
		t.Errorf("before %s, after %s", before, after)
	}
}

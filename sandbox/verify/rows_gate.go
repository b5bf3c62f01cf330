//go:build linux && (amd64 || arm64)

package verify

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/sandbox"
)

// Hosts are the hosts that a runner must be configured with for the rows that
// need a gate. They are names that nobody has: nothing is dialled.
var Hosts = []sandbox.HostRule{{Host: "gate.test", Port: 80}, {Host: "other.test", Port: 80}, {Host: "*.zone.test", Port: 80}}

// lookup is the program that asks for names as every other program does.
const lookup = "/usr/bin/getent"

// reaching is a cell with a gate for the given hosts.
func (b *bench) reaching(hosts ...sandbox.HostRule) (sandbox.Spec, error) {
	for _, h := range hosts {
		if !slices.Contains(b.runner.Facts().Config.Hosts, h) {
			return sandbox.Spec{}, skip{"the runner was opened without the hosts of this table"}
		}
	}
	if _, err := os.Stat(lookup); err != nil {
		return sandbox.Spec{}, skip{lookup + " is not installed"}
	}
	return sandbox.Spec{Profile: sandbox.Standard, Network: sandbox.NetPolicy{Allow: slices.Clone(hosts)}}, nil
}

// known asks for names in a cell and returns the address of each, "-" for none.
func (b *bench) known(s sandbox.Spec, names []string) ([]string, error) {
	script := `for n in "$@"; do a=$(` + lookup + ` ahostsv4 "$n" | head -n 1 | cut -d ' ' -f 1); echo "${a:--}"; done`
	s.Argv = append([]string{"/bin/sh", "-c", script, "sh"}, names...)
	s.CallID = b.id
	var err error
	if b.last, err = b.runner.Run(b.ctx, s, b.hooks); err != nil {
		return nil, err
	}
	return strings.Fields(string(b.last.Stdout.Bytes())), nil
}

// onlyGate asks for names of which the good ones are gate.test and none of the
// others is anything, and tries each as a rule, which only the good ones are.
func onlyGate(b *bench, good, bad []string) error { return b.only(Hosts[0], good, bad) }

// only is onlyGate for another host.
func (b *bench) only(host sandbox.HostRule, good, bad []string) error {
	s, err := b.reaching(host)
	if err != nil {
		return err
	}
	got, err := b.known(s, slices.Concat(good, bad))
	if err != nil {
		return err
	}
	want := slices.Concat(slices.Repeat([]string{"198.18.0.1"}, len(good)), slices.Repeat([]string{"-"}, len(bad)))
	if !slices.Equal(got, want) {
		return fmt.Errorf("%q %q are %q", good, bad, got)
	}
	for _, h := range bad {
		if r, err := sandbox.ParseHostRule(h + ":80"); err == nil && r.Host != h {
			return fmt.Errorf("%q is taken for %q", h, r.Host)
		}
	}
	return nil
}

// strangeNames is NW04: one form for what is listed and what is asked for.
func strangeNames(b *bench) error {
	bad := []string{"gate_.test", "gate%2etest", "gate.test%00.evil.com", "evil.com@gate.test", "g\u0430te.test", "gate..test", "-gate.test",
		strings.Repeat("a", 64) + ".test"}
	if err := onlyGate(b, []string{"gate.test", "GATE.Test", "gate.test."}, bad); err != nil {
		return err
	}
	for _, h := range append(bad, "GATE.test", "gate.test.", "0x7f000001", "2130706433", "0177.0.0.1", "127.1", "::ffff:127.0.0.1", "[::1]", "a\x00b") {
		if r, err := sandbox.ParseHostRule(h + ":80"); err == nil {
			return fmt.Errorf("%q can be listed, as %q", h, r.Host)
		}
	}
	return nil
}

// similarNames is NW05: names that contain a listed one, and patterns.
func similarNames(b *bench) error {
	if err := onlyGate(b, []string{"gate.test"}, []string{"evilgate.test", "gate.test.evil.com", "x.gate.test", "test", "gate.tes", "gate.test.test"}); err != nil {
		return err
	}
	if err := b.only(Hosts[2], []string{"a.zone.test"}, []string{"zone.test", "evilzone.test", "a.zone.test.evil.com", "d.c.b.a.zone.test", "*.zone.test"}); err != nil {
		return err
	}
	for _, h := range []string{"*", "*.test", "*.co.uk", "*.com", "*.github.io", ".gate.test", "gate.*", "a.*.gate.test"} {
		if _, err := sandbox.ParseHostRule(h + ":80"); err == nil {
			return fmt.Errorf("%q can be listed", h)
		}
	}
	return nil
}

// frozenPolicy is NW18: a list that is changed after the call was recorded.
func frozenPolicy(b *bench) error {
	s, err := b.reaching(Hosts...)
	if err != nil {
		return err
	}
	s.Network.Allow = s.Network.Allow[:1]
	edited := false
	b.hooks = &hooks{attested: func() error { edited = true; s.Network.Allow[0] = Hosts[1]; return nil }}
	got, err := b.known(s, []string{"gate.test", "other.test"})
	if err != nil {
		return err
	}
	if !edited || !slices.Equal(got, []string{"198.18.0.1", "-"}) {
		return fmt.Errorf("edited during the call, the names are %q", got)
	}
	b.hooks = &hooks{}
	if got, err = b.known(s, []string{"gate.test", "other.test"}); err == nil && !slices.Equal(got, []string{"-", "198.18.0.1"}) {
		err = errors.New("the next call has the old list")
	}
	return err
}

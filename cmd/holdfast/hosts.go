package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

func allowHostFlag() cli.Flag {
	return newListFlag("allow-host", "let the command reach `HOST:PORT`, but no address of a private network")
}

func allowPrivateFlag() cli.Flag {
	return newListFlag("allow-private", "let the command reach `HOST:PORT`, also on this machine or a private network")
}

// askHostFlags are those by which calls of a model may ask for hosts.
func askHostFlags() []cli.Flag {
	return []cli.Flag{
		newListFlag("allow-host",
			"let calls ask for `HOST:PORT`, such as example.com:443 or *.example.com:443; which call gets it, you are asked, or a written rule says", "HOLDFAST_ALLOW_HOST"),
		newListFlag("allow-private",
			"as --allow-host, for `HOST:PORT` on this machine or a private network", "HOLDFAST_ALLOW_PRIVATE"),
	}
}

// hostsOf returns the hosts that a command line allows; none where it has no such flag.
func hostsOf(c *cli.Context) ([]sandbox.HostRule, error) {
	var rules []sandbox.HostRule
	for _, flag := range []string{"allow-host", "allow-private"} {
		for _, text := range c.StringSlice(flag) {
			r, err := hostRule(flag, text)
			if err != nil {
				return nil, err
			}
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// hostRule reads a value of --allow-host or --allow-private.
func hostRule(flag, text string) (sandbox.HostRule, error) {
	r, err := sandbox.ParseHostRule(text)
	if err != nil || r.Private {
		return r, usage(fmt.Errorf("--%s takes HOST:PORT, such as example.com:443 or *.example.com:443: %q", flag, text))
	}
	r.Private = flag == "allow-private"
	return r, nil
}

// askableHosts are all that calls of a run may ask for: those of the command line and those
// that rules of the user's own or the machine's name.
func askableHosts(c *cli.Context, rules *policy.Set) ([]sandbox.HostRule, error) {
	list, err := hostsOf(c)
	if err != nil {
		return nil, err
	}
	for _, text := range rules.Hosts() {
		r, err := sandbox.ParseHostRule(text)
		if err != nil {
			return nil, &failure{exitUsage, fmt.Errorf("load policy: hosts: %q is not host:port", text), "see holdfast policy check"}
		}
		list = append(list, r)
	}
	return list, nil
}

// texts writes rules as a grant holds them.
func texts(rules []sandbox.HostRule) []string {
	var list []string
	for _, r := range rules {
		list = append(list, r.String())
	}
	return list
}

// checkNeeds refuses tools that declare hosts or secrets which the user does not lend.
func checkNeeds(own []tools.Command, lent loan) error {
	for _, k := range own {
		for _, h := range k.Hosts {
			if !policy.WithinHosts([]string{h}, texts(lent.hosts)) {
				return usage(fmt.Errorf("the tool %s needs %s, which is not allowed: give --allow-host %s, or do without the tool", k.Spec.Name, h, h))
			}
		}
		for _, n := range k.Secrets {
			if !slices.ContainsFunc(lent.secrets, func(s tools.Secret) bool { return s.Name == n }) {
				return usage(fmt.Errorf("the tool %s needs the secret %s: give --secret %s=FILE, or do without the tool", k.Spec.Name, n, n))
			}
		}
	}
	return nil
}

// maxConns bounds the connections of one call that are shown.
const maxConns = 8

// connLines says what a call reached or tried to, from the account that its sandbox gave.
func connLines(account *agent.Blob) []string {
	if account == nil {
		return nil
	}
	var a struct {
		Conns   []sandbox.NetConn `json:"conns"`
		Dropped int               `json:"conns_dropped"`
	}
	if json.Unmarshal([]byte(account.String()), &a) != nil {
		return nil
	}
	var out []string
	for _, n := range a.Conns[:min(len(a.Conns), maxConns)] {
		s := inertLine(n.Host, 80)
		if n.Port != 0 {
			s += fmt.Sprintf(":%d", n.Port)
		}
		if s += "  " + inertLine(n.Verdict, 40); n.Addr != "" {
			s += " at " + inertLine(n.Addr, 60)
		}
		if n.Up+n.Down > 0 {
			s += fmt.Sprintf(", %d bytes out, %d in", n.Up, n.Down)
		}
		out = append(out, s)
	}
	if more := len(a.Conns) - len(out) + a.Dropped; more > 0 {
		out = append(slices.Clip(out), fmt.Sprintf("and %s more", count(more, "connection")))
	}
	return out
}

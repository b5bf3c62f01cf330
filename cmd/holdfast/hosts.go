package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/sandbox"
)

func allowHostFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "allow-host", Usage: "let the command reach `HOST:PORT`, but no address of a private network"}
}

func allowPrivateFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "allow-private", Usage: "let the command reach `HOST:PORT`, also on this machine or a private network"}
}

// hostsOf returns the hosts that a command line allows; none where it has no such flag.
func hostsOf(c *cli.Context) ([]sandbox.HostRule, error) {
	var rules []sandbox.HostRule
	for _, flag := range []string{"allow-host", "allow-private"} {
		for _, text := range c.StringSlice(flag) {
			r, err := sandbox.ParseHostRule(text)
			if err != nil || r.Private {
				return nil, usage(fmt.Errorf("--%s takes HOST:PORT, such as example.com:443, without patterns: %q", flag, text))
			}
			r.Private = flag == "allow-private"
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// texts writes rules as a grant holds them.
func texts(rules []sandbox.HostRule) []string {
	var list []string
	for _, r := range rules {
		list = append(list, r.String())
	}
	return list
}

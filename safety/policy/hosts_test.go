package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/safety/policy"
)

func TestCoversHost(t *testing.T) {
	for _, tt := range []struct {
		outer, host string
		want        bool
	}{
		{"a.example:443", "a.example:443", true},
		{"a.example:443", "a.example:80", false},
		{"a.example:443", "b.a.example:443", false},
		{"a.example:443", "a.example:443 private", false},
		{"a.example:443 private", "a.example:443", true},
		{"*.a.example:443", "b.a.example:443", true},
		{"*.a.example:443", "c.b.a.example:443", true},
		{"*.a.example:443", "d.c.b.a.example:443", true},
		{"*.a.example:443", "e.d.c.b.a.example:443", false},
		{"*.a.example:443", "*.b.a.example:443", false},
		{"*.a.example:443", "a.example:443", false},
		{"*.a.example:443", ".a.example:443", false},
		{"*.a.example:443", "evila.example:443", false},
		{"*.a.example:443", "b.a.example:44", false},
		{"*.a.example:443", "*.a.example:443", true},
		{"b.a.example:443", "*.a.example:443", false},
		{"*", "a.example:443", false},
	} {
		if got := policy.CoversHost(tt.outer, tt.host); got != tt.want {
			t.Errorf("%q covers %q: %v", tt.outer, tt.host, got)
		}
	}
}

func TestHostsOfRules(t *testing.T) {
	load := func(l policy.Layer, rule string) (*policy.Set, error) {
		return policy.Load(policy.Source{Layer: l, Name: "p.yaml", Text: "version: 1\nrules:\n  - {id: a, tools: [x], reason: x, " + rule + "}\n"})
	}
	set, err := load(policy.User, `outcome: allow, hosts: ["b.example:1", "a.example:443", "b.example:1", "10.0.0.1:5 private", "*.c.example:443"]`)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(set.Hosts(), "|"); got != "*.c.example:443|10.0.0.1:5 private|a.example:443|b.example:1" {
		t.Error(got)
	}
	if other, err := policy.Restore(set.Record()); err != nil || !slices.Equal(other.Hosts(), set.Hosts()) {
		t.Error(err)
	}
	for name, rule := range map[string]string{
		"OfADenial":     `outcome: deny, hosts: ["a.example:443"]`,
		"OfAQuestion":   `outcome: ask, hosts: ["a.example:443"]`,
		"WithoutAPort":  `outcome: allow, hosts: ["a.example"]`,
		"InCapitals":    `outcome: allow, hosts: ["A.example:443"]`,
		"PatternWithin": `outcome: allow, hosts: ["a.*.example:443"]`,
		"Everything":    `outcome: allow, hosts: ["*:443"]`,
	} {
		if _, err := load(policy.User, rule); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	if _, err := load(policy.Workspace, `outcome: allow, hosts: ["a.example:443"]`); err == nil {
		t.Error("a workspace gives hosts")
	}
}

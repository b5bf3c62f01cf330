package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
)

// TestWorkspaceRulesShareABudget gives a workspace's file many conditions of which each
// stays below what one may cost: together they deny, soon and by name. The same rules of
// the user are run to their end.
func TestWorkspaceRulesShareABudget(t *testing.T) {
	var rules strings.Builder
	for i := range 400 {
		fmt.Fprintf(&rules, "  - {id: r%d, when: 'args.body.matches(\"(a|b)*c%d$\")', outcome: ask, reason: x}\n", i, i)
	}
	f := mail()
	f.Args = `{"to":"ann@example.org","body":"` + strings.Repeat("ab", 20_000) + `"}`
	r := load(t, policy.Workspace, rules.String()).Eval(f)
	if r.Outcome != agent.Deny || len(r.Fired) == 0 {
		t.Fatalf("%v with %d fired, want a denial", r.Outcome, len(r.Fired))
	}
	ran := 400 - len(r.Fired)
	if ran < 1 || ran > 300 {
		t.Errorf("%d conditions ran within the budget", ran)
	}
	for _, k := range r.Fired {
		if k.Err == nil || !strings.Contains(k.Err.Error(), "cost") {
			t.Errorf("%s: %v", k.Rule.Name(), k.Err)
		}
	}
	if r := load(t, policy.User, rules.String()).Eval(f); r.Outcome != agent.Allow {
		t.Errorf("of the user: %v, %+v", r.Outcome, r.Fired)
	}
	f.Args = `{"to":"ann@example.org","body":"a usual mail of a few lines"}`
	if r := load(t, policy.Workspace, rules.String()).Eval(f); r.Outcome != agent.Allow {
		t.Errorf("a usual call: %v, %+v", r.Outcome, r.Fired[0].Err)
	}
}

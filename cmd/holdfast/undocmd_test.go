package main

import (
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
)

// TestChangedLine says what a call changed, and of changes that were not made that they were
// not.
func TestChangedLine(t *testing.T) {
	made, held := sandbox.Change{Path: "a.txt"}, sandbox.Change{Path: ".git/hooks/x\x1b[2J", Held: "a person has to make this change"}
	for name, c := range map[string]struct {
		account map[string]any
		want    string
	}{
		"Nothing":  {map[string]any{"exit": 0}, ""},
		"Made":     {map[string]any{"commit": "done", "commit_id": "01ab", "changes": []sandbox.Change{made}}, "1 change; undo with: holdfast sandbox undo 01ab"},
		"HeldAll":  {map[string]any{"changes": []sandbox.Change{held}}, "0 changes; left out: .git/hooks/x\\x1b[2J, a person has to make this change"},
		"Failed":   {map[string]any{"commit": "failed", "why": "permission denied", "changes": []sandbox.Change{made}}, "0 changes; 1 not made: failed: permission denied"},
		"Conflict": {map[string]any{"commit": "conflict", "why": "a.txt was changed", "changes": []sandbox.Change{made, made}}, "0 changes; 2 not made: conflict: a.txt was changed"},
		"Dropped":  {map[string]any{"commit": "dropped", "why": "the tool was stopped\n", "changes": []sandbox.Change{made}}, "0 changes; 1 not made: dropped: the tool was stopped\\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := changedLine(agent.JSON(c.account)); got != c.want || strings.ContainsAny(got, "\x1b\n") {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := changedLine(nil); got != "" {
		t.Errorf("a call without an account: %q", got)
	}
}

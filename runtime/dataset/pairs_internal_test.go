package dataset

import (
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// TestPairsDifferAsWritten wants the sides of a pair to differ in what is written of them: a
// thought that is left out tells nothing apart.
func TestPairsDifferAsWritten(t *testing.T) {
	said := func(thought string) agent.Message {
		return agent.Message{Role: agent.Assistant, Thought: thought, Text: "The port is 80."}
	}
	for thoughts, want := range map[bool]int{false: 0, true: 1} {
		pair := []Pair{{Source: "retry", Prompt: []Entry{{Message: agent.Message{Role: agent.User, Text: "port?"}}}, Chosen: said("a"), Rejected: said("b")}}
		if got := unique(pair, 4, dialect{thoughts: thoughts}); len(got) != want {
			t.Errorf("thoughts %v: %d pairs, want %d", thoughts, len(got), want)
		}
	}
}

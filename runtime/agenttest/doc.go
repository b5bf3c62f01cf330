// Package agenttest holds what tests of the project share: scripted models, judges
// and approvers, an executor with a log of its effects, a recorder in memory, faults
// that strike operation i, permits for tests, and the conformance suite of recorders.
//
// It is imported by tests only. Unless a type says otherwise, its values are used by
// one goroutine at a time.
package agenttest

import (
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/internal/permit"
)

// Permit returns a permit for c, as if the decision at position seq had allowed it.
func Permit(seq int64, c agent.ToolCall, g agent.Grant) agent.Permit {
	return permit.Mint(seq, c.Digest(), g)
}

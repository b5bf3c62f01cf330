package loop

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// AnswerLifetime is how long an answer counts that was given while the run was suspended:
// what was shown then may no longer be so.
const AnswerLifetime = 24 * time.Hour

// UnusedAnswer is the answer that allows a call and was the last that happened in a run,
// so that nothing has come of it yet; ok is false where there is none.
func UnusedAnswer(past []agent.Event) (answer agent.Event, ok bool) {
	for _, e := range slices.Backward(past) {
		switch b := e.Body.(type) {
		case *agent.Answered:
			return e, b.Choice == agent.ChoiceOnce || b.Choice == agent.ChoiceEdit
		case *agent.RunRecover, *agent.Failed, *agent.Redacted, *agent.Scored, *agent.Exported: // say nothing of the answer before them
		case *agent.Decided: // nothing has started from it: the answer behind it, if any, is not acted on
		default:
			return agent.Event{}, false // the run went on from any earlier answer
		}
	}
	return agent.Event{}, false
}

// freshAnswer refuses to go on from an unused answer that is older than AnswerLifetime.
func (r *run) freshAnswer(past []agent.Event) error {
	if e, ok := UnusedAnswer(past); ok && r.Now().Sub(e.At) > AnswerLifetime {
		return fmt.Errorf("%w: answer %d is older than %s and counts no longer", ErrPast, e.Seq, AnswerLifetime)
	}
	return nil
}

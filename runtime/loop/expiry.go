package loop

import (
	"fmt"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// AnswerLifetime is how long an answer counts that was given while the run was suspended:
// what was shown then may no longer be so.
const AnswerLifetime = 24 * time.Hour

// freshAnswer refuses to go on from an answer that allows, is older than AnswerLifetime
// and has not been acted on.
func (r *run) freshAnswer(past []agent.Event) error {
	for i := len(past) - 1; i >= 0; i-- {
		switch b := past[i].Body.(type) {
		case *agent.Answered:
			if b.Choice == agent.ChoiceOnce && r.Now().Sub(past[i].At) > AnswerLifetime {
				return fmt.Errorf("%w: answer %d is older than %s and counts no longer", ErrPast, past[i].Seq, AnswerLifetime)
			}
			return nil
		case *agent.RunRecover, *agent.Failed: // say nothing of the answer before it
		case *agent.Decided: // nothing has started from it: the answer behind it, if any, is not acted on
		default:
			return nil // the run went on from any earlier answer
		}
	}
	return nil
}

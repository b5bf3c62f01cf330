package ledger

import (
	"context"
	"slices"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Recover takes over a run that did not end and whose owner is gone. It reads and
// checks the whole run, appends agent.RunRecover, and ends each call that has started
// and not ended with agent.CallUnknown: such a call is never repeated on its own. The
// Run it returns continues after these. The run is named by its identifier or a unique
// prefix.
//
// Errors wrap ErrEnded, ErrOwned, ErrDamaged, ErrNotFound or ErrAmbiguous.
func (l *Ledger) Recover(ctx context.Context, run string) (*Run, error) {
	r, seen, err := l.reopen(ctx, run)
	if err == nil && seen.ended {
		err = ErrEnded
	}
	if err == nil {
		err = r.closeCalls(ctx, seen)
	}
	if err != nil {
		if r != nil {
			r.Close()
		}
		return nil, fail("recover run", ownerHint(err), classify(err))
	}
	return r, nil
}

// closeCalls records the recovery, and each open call as one of unknown outcome.
func (r *Run) closeCalls(ctx context.Context, seen *rules) error {
	open := seen.open()
	var unknown []int64
	for decision := range open {
		unknown = append(unknown, decision)
	}
	slices.Sort(unknown)
	step := int(r.last.step)
	if _, err := r.Append(ctx, agent.Event{Step: step, Body: &agent.RunRecover{Last: r.last.seq, Unknown: unknown}}); err != nil {
		return err
	}
	for _, d := range unknown {
		if _, err := r.Append(ctx, agent.Event{Step: step, Ref: d, Call: open[d],
			Body: &agent.CallEnd{Status: agent.CallUnknown}}); err != nil {
			return err
		}
	}
	return nil
}

// Crashed lists the runs that did not end, have no owner and are not suspended, by
// identifier, oldest first: those to Recover.
func (l *Ledger) Crashed(ctx context.Context) ([]string, error) {
	all, err := l.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range all {
		if s.State == Crashed {
			out = append(out, s.ID)
		}
	}
	return out, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// attempts is what the ledger holds of a rollout that is to go on.
type attempts struct {
	done   map[eval.Key]bool
	again  map[eval.Key]string // the newest run, by attempt, of those that are not done
	cut    int                 // of these, how many were cut short
	failed int                 // and how many the runtime failed
}

// String says what of a rollout is there.
func (a attempts) String() string {
	s := fmt.Sprintf("%d done before, %d cut short before", len(a.done), a.cut)
	if a.failed > 0 {
		s += fmt.Sprintf(", %d to be made again: an error of the program or of the model's server ended them", a.failed)
	}
	return s
}

// attemptsOf finds what the ledger holds of a rollout. What the runtime failed and not the
// model is no attempt of the model's. A cut run whose owner is gone is closed.
func attemptsOf(ctx context.Context, l *ledger.Ledger, plan eval.Rollout) (attempts, error) {
	a := attempts{done: map[eval.Key]bool{}, again: map[eval.Key]string{}}
	all, err := l.Runs(ctx)
	if err != nil {
		return a, ledgerFailure(err)
	}
	failed := map[eval.Key]bool{} // whether the newest was
	for _, s := range all {
		if !strings.HasPrefix(s.Info.Group, plan.Name+"/") {
			continue
		}
		k := keyOf(s)
		broke, err := brokeDown(ctx, l, s)
		if err == nil && s.State != ledger.Ended {
			err = closeCut(ctx, l, s)
		}
		switch {
		case err != nil:
			return a, err
		case s.State != ledger.Ended || s.Status == agent.StatusStopped || broke:
			a.again[k], failed[k] = s.ID, broke
		case a.done[k]:
			return a, &failure{exitLedger, fmt.Errorf("read rollout: sample %d of %s is there twice", k.Sample, k.Group), ""}
		default:
			a.done[k] = true
		}
	}
	for k := range a.again {
		switch {
		case a.done[k]:
			delete(a.again, k)
		case failed[k]:
			a.failed++
		default:
			a.cut++
		}
	}
	return a, nil
}

func keyOf(s ledger.Summary) eval.Key {
	return eval.Key{Group: s.Info.Group, Sample: int(s.Info.Sample)}
}

// newestAttempts are the runs that count of a rollout, by attempt: where one was made again,
// what came of it last.
func newestAttempts(all []ledger.Summary, plan eval.Rollout) map[eval.Key]ledger.Summary {
	mine := map[eval.Key]bool{}
	for _, j := range plan.Jobs {
		mine[j.Key()] = true
	}
	out := map[eval.Key]ledger.Summary{}
	for _, s := range all { // oldest first
		if k := keyOf(s); mine[k] && s.Status != agent.StatusStopped {
			out[k] = s
		}
	}
	return out
}

// brokeDown reports whether a run ended because the program or what it stands on failed: the
// model's server was gone, a cell could not be built.
func brokeDown(ctx context.Context, l *ledger.Ledger, s ledger.Summary) (bool, error) {
	if s.Status != agent.StatusError {
		return false, nil
	}
	past, err := l.ReadAll(ctx, s.ID)
	if err != nil {
		return false, ledgerFailure(err)
	}
	return !gaveUp(past), nil
}

// gaveUp reports whether the loop ended a run since the model wrote nothing that could be
// read: the last that happened is then a turn without a call and without an answer. Where
// anything else failed, something was begun after the last turn.
func gaveUp(past []agent.Event) bool {
	for _, e := range slices.Backward(past) {
		switch b := e.Body.(type) {
		case *agent.RunEnd, *agent.Labelled, *agent.Scored, *agent.Exported, *agent.Redacted: // of a run, not in it
		case *agent.Turned:
			return b.Parse == agent.ParseFailed || b.Calls == nil && b.Answer == nil
		default:
			return false
		}
	}
	return false
}

// closeCut ends a run that has not ended, unless it still goes on.
func closeCut(ctx context.Context, l *ledger.Ledger, s ledger.Summary) error {
	goesOn := &failure{exitLedger, fmt.Errorf("read rollout: run %s still goes on", s.ID), "wait until its process is done"}
	if s.State == ledger.Running {
		return goesOn
	}
	err := closeRun(ctx, l, s.ID)
	switch {
	case errors.Is(err, ledger.ErrEnded), errors.Is(err, ledger.ErrOwned): // it ended while we looked
		return goesOn
	case err != nil:
		return ledgerFailure(err)
	}
	return nil
}

// closeRun ends a run whose owner is gone.
func closeRun(ctx context.Context, l *ledger.Ledger, id string) error {
	r, err := l.Recover(ctx, id)
	if err != nil {
		return err
	}
	_, err = r.Append(ctx, agent.Event{Body: &agent.RunEnd{Status: agent.StatusStopped}})
	return errors.Join(err, r.Close())
}

package ledger

import (
	"context"
	"errors"
	"fmt"
)

// Amend becomes the owner of a run that has ended, so that labels, scores and notes of
// exports can be added to it; anything else is refused. The whole run is read and
// checked first. The run is named by its identifier or a unique prefix.
//
// Errors wrap ErrReadOnly, ErrOwned, ErrDamaged, ErrNotFound or ErrAmbiguous, and
// ErrRefused where the run has not ended or was recorded in another ledger.
func (l *Ledger) Amend(ctx context.Context, run string) (*Run, error) {
	r, _, err := l.reopen(ctx, run)
	if err == nil && !r.ended {
		r.Close()
		err = fmt.Errorf("%w: the run has not ended", ErrRefused)
	}
	if errors.Is(err, ErrImported) {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, fail("amend run", ownerHint(err), classify(err))
	}
	return r, nil
}

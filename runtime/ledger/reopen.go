package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrImported means a run was recorded in another ledger: its chain goes on only there.
var ErrImported = errors.New("run was imported: it goes on in the ledger that recorded it")

// reopen becomes the owner of a run that nobody writes, whether it ended or not, and
// checks its chain and rules to the end. It returns what they noted.
func (l *Ledger) reopen(ctx context.Context, run string) (*Run, *rules, error) {
	if l.w == nil {
		return nil, nil, ErrReadOnly
	}
	id, err := l.resolve(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	r := &Run{l: l, row: runRow{run: id}}
	if err := r.acquire(); err != nil {
		return nil, nil, err
	}
	seen, err := r.catchUp(ctx)
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return r, seen, nil
}

func (r *Run) catchUp(ctx context.Context) (*rules, error) {
	rd, err := r.l.newReader(ctx, r.ID())
	if err != nil {
		return nil, err
	}
	if r.row = rd.row; !bytes.Equal(r.row.origin, r.l.meta.ledger) {
		return nil, ErrImported
	}
	seen, err := r.replay(ctx, rd)
	if err != nil {
		return nil, err
	}
	r.ended = seen.ended
	if r.last.seq == 0 {
		return nil, fmt.Errorf("%w: run has no events", ErrDamaged)
	}
	return seen, nil
}

// replay reads the run to its end, checking chain and rules, and sets what the next
// event continues.
func (r *Run) replay(ctx context.Context, rd *reader) (*rules, error) {
	seen := newRules()
	for {
		page, err := rd.page(ctx)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return seen, nil
		}
		for i := range page {
			e := &page[i]
			if err := rd.link(e); err != nil {
				return nil, err
			}
			if rule := seen.check(e); rule != "" {
				return nil, fmt.Errorf("%w: event %d breaks a rule: %s", ErrDamaged, e.seq, rule)
			}
			if e.seq == 1 {
				r.start = time.Unix(0, e.at)
			}
			r.last = tail{seq: e.seq, step: e.step, mono: e.mono, hash: e.hash}
		}
	}
}

// ownerHint is the hint for an error of taking a run over.
func ownerHint(err error) string {
	if errors.Is(err, ErrOwned) {
		return "wait until its owner is done"
	}
	return hintFor(err)
}

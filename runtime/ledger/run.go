package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Relation is what a run is to its parent.
type Relation string

// The relations.
const (
	Root     Relation = "root"
	Subagent Relation = "subagent"
	Fork     Relation = "fork"
	Retry    Relation = "retry"
	Replay   Relation = "replay"
	Resume   Relation = "resume"
)

// RunInfo is what is fixed when a run begins. The zero value is a run of its own.
type RunInfo struct {
	Parent    string   // identifier of the parent run, "" for none
	ParentSeq int64    // event of the parent at which this run branches off, 0 for none
	Relation  Relation // Root if empty
	Thread    string   // one conversation over several runs; the run's own identifier if empty
	Task      string   // the caller's task identifier
	Group     string   // attempts that are compared with each other
	Sample    int64    // number of the attempt in its group
}

// Validate reports every fault of the description.
func (i RunInfo) Validate() error {
	var errs []error
	switch i.Relation {
	case "", Root:
		if i.Parent != "" || i.ParentSeq != 0 {
			errs = append(errs, errors.New("a root run has no parent"))
		}
	case Subagent, Fork, Retry, Replay, Resume:
		if i.Parent == "" || i.ParentSeq < 0 {
			errs = append(errs, fmt.Errorf("a %s needs a parent", i.Relation))
		}
	default:
		errs = append(errs, fmt.Errorf("unknown relation %q", i.Relation))
	}
	return errors.Join(errs...)
}

// Run is one run that is being recorded. It implements loop.Recorder and may be used
// by several goroutines, whose events then follow one another in some order.
type Run struct {
	l   *Ledger
	row runRow

	mu     sync.Mutex
	closed bool
	ended  bool
	start  time.Time // of the first event
	last   tail
	headAt time.Time // when the run's last head was written
}

// tail is what the next event continues.
type tail struct {
	seq  int64
	step int64
	mono int64
	hash []byte
}

// Begin prepares a run and becomes its owner until Close. Nothing is written before
// its first event, which must be an agent.RunStart.
func (l *Ledger) Begin(ctx context.Context, info RunInfo) (*Run, error) {
	if l.w == nil {
		return nil, fail("begin run", "", ErrReadOnly)
	}
	if err := info.Validate(); err != nil {
		return nil, fail("begin run", "", err)
	}
	now := l.clock()
	r := &Run{l: l, row: runRow{
		run: newID(now), origin: l.meta.ledger, relation: string(Root), at: now.UnixNano(),
		thread: info.Thread, task: info.Task, group: info.Group, sample: info.Sample,
	}}
	if r.row.thread == "" {
		r.row.thread = r.ID()
	}
	if info.Parent != "" {
		if err := l.setParent(ctx, &r.row, info); err != nil {
			return nil, fail("begin run", "", err)
		}
	}
	g := r.row.sum()
	r.row.genesis, r.last.hash = g[:], g[:]
	if err := r.acquire(); err != nil {
		return nil, fail("begin run", "", err)
	}
	return r, nil
}

func (l *Ledger) setParent(ctx context.Context, row *runRow, info RunInfo) error {
	parent, err := exactID(info.Parent)
	if err != nil {
		return fmt.Errorf("parent: %w", err)
	}
	var last int64
	err = l.readers.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM event WHERE run = ?", parent).Scan(&last)
	if err != nil {
		return fmt.Errorf("read parent: %w", classify(err))
	}
	if last == 0 {
		return fmt.Errorf("parent %s: %w", info.Parent, ErrNotFound)
	}
	if info.ParentSeq > last {
		return fmt.Errorf("parent %s has no event %d", info.Parent, info.ParentSeq)
	}
	row.parent, row.parentSeq, row.relation = parent, info.ParentSeq, string(info.Relation)
	return nil
}

// ID returns the run's identifier: 32 hex digits of a UUIDv7.
func (r *Run) ID() string { return hex.EncodeToString(r.row.run) }

// Last returns the position of the last committed event, 0 before the first.
func (r *Run) Last() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.seq
}

// acquire takes the run's lock.
func (r *Run) acquire() error {
	if r.l.w.isClosed() {
		return ErrClosed
	}
	if !r.l.w.own(r.ID()) {
		return ErrOwned
	}
	ok, err := r.l.locks.try(offset(r.row.run))
	if err == nil && !ok {
		err = ErrOwned
	}
	if err != nil {
		r.l.w.disown(r.ID())
	}
	return err
}

// Close gives up the run's ownership. It ends nothing: a run without agent.RunEnd
// then counts as crashed or suspended. It may be called twice.
func (r *Run) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if !r.l.w.isClosed() { // else the lock went with its file
		r.l.locks.release(offset(r.row.run))
	}
	r.l.w.disown(r.ID())
	return nil
}

package dataset

import (
	"context"
	"iter"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Run is what was fixed when a run began. Identifiers are lower-case hex.
type Run struct {
	ID        string
	Parent    string // "" for a run of its own
	ParentSeq int64
	Relation  string // root, subagent, fork, retry, replay, resume
	Thread    string
	Task      string // the caller's task identifier, "" for none
	Group     string // attempts compared with each other, "" for none
	Sample    int64
	At        time.Time
	Replaced  bool // another run was made in the place of this one, be it exported or not
}

// Source yields what was recorded. Events are in order with their blobs loaded; a blob
// that was erased has nil Data. A ledger satisfies it.
type Source interface {
	Events(ctx context.Context, run string) iter.Seq2[agent.Event, error]
}

// Read folds one run of a source.
func Read(ctx context.Context, src Source, r Run) (*Trajectory, error) {
	var events []agent.Event
	for e, err := range src.Events(ctx, r.ID) {
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return Fold(r, events)
}

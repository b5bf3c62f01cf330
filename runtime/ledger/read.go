package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// State says whether a run goes on.
type State string

// The states of a run.
const (
	Running   State = "running"   // it has an owner
	Suspended State = "suspended" // no owner; a question is open, or it was interrupted
	Crashed   State = "crashed"   // no owner, no end, nothing that says why
	Ended     State = "ended"
)

// Summary describes one run.
type Summary struct {
	ID     string
	Info   RunInfo
	At     time.Time    // when it began
	Agent  string       // name given at its start
	Prompt string       // the first 400 bytes of its task, "" once erased
	Events int64        // position of its last event
	State  State        // at the moment of reading
	Status agent.Status // how it ended, "" if it did not

	Imported bool // it was recorded in another ledger and merged into this one
}

const summaryQuery = `SELECT r.origin, r.run, r.parent, r.parent_seq, r.relation, r.thread, r.task, r.grp, r.sample, r.at_ns,
  coalesce((SELECT max(seq) FROM event e WHERE e.run = r.run), 0),
  coalesce((SELECT payload ->> '$.agent' FROM event e WHERE e.run = r.run AND e.seq = 1), ''),
  (SELECT CASE b.enc WHEN 'raw' THEN substr(b.data, 1, 400) ELSE b.data END FROM event e JOIN blob b
     ON b.digest = unhex(e.payload ->> '$.task.blob') WHERE e.run = r.run AND e.seq = 1),
  coalesce((SELECT CASE b.enc WHEN 'raw' THEN 0 ELSE b.size END FROM event e JOIN blob b
     ON b.digest = unhex(e.payload ->> '$.task.blob') WHERE e.run = r.run AND e.seq = 1), 0),
  coalesce((SELECT payload ->> '$.status' FROM event e WHERE e.kind = 'run.end' AND e.run = r.run), ''),
  EXISTS (SELECT 1 FROM event e WHERE e.kind = 'run.end' AND e.run = r.run),
  EXISTS (SELECT 1 FROM event q WHERE q.kind = 'ask' AND q.run = r.run AND NOT EXISTS (SELECT 1 FROM event a INDEXED BY event_ref
     WHERE a.run = q.run AND a.ref = q.seq AND a.ref > 0 AND a.kind = 'answer' AND a.payload ->> '$.choice' IS NOT 'suspend'))
  OR EXISTS (SELECT 1 FROM event e WHERE e.run = r.run AND e.seq = (SELECT max(seq) FROM event e WHERE e.run = r.run)
     AND e.kind = 'error' AND e.payload ->> '$.where' = '` + agent.Interrupted + `')
FROM run r`

// Runs lists all runs, oldest first.
func (l *Ledger) Runs(ctx context.Context) ([]Summary, error) {
	rows, err := l.readers.QueryContext(ctx, summaryQuery+" ORDER BY r.at_ns, r.run")
	if err != nil {
		return nil, fail("list runs", hintFor(err), classify(err))
	}
	defer rows.Close()
	var out []Summary
	for rows.Next() {
		s, err := l.scanSummary(rows)
		if err != nil {
			return nil, fail("list runs", hintFor(err), classify(err))
		}
		out = append(out, s)
	}
	if err := rows.Err(); err != nil {
		return nil, fail("list runs", hintFor(err), classify(err))
	}
	return out, nil
}

// Run describes the run with the given identifier or unique prefix of one. Errors wrap
// ErrNotFound or ErrAmbiguous.
func (l *Ledger) Run(ctx context.Context, id string) (Summary, error) {
	full, err := l.resolve(ctx, id)
	if err != nil {
		return Summary{}, fail("find run", "", err)
	}
	rows, err := l.readers.QueryContext(ctx, summaryQuery+" WHERE r.run = ?", full)
	if err != nil {
		return Summary{}, fail("find run", hintFor(err), classify(err))
	}
	defer rows.Close()
	if !rows.Next() {
		return Summary{}, fail("find run", "", fmt.Errorf("%w: %s", ErrNotFound, id))
	}
	s, err := l.scanSummary(rows)
	if err != nil {
		return Summary{}, fail("find run", hintFor(err), classify(err))
	}
	return s, nil
}

func (l *Ledger) scanSummary(rows *sql.Rows) (Summary, error) {
	var s Summary
	var origin, id, parent, prompt []byte
	var at, packed int64
	var ended, waits bool
	err := rows.Scan(&origin, &id, &parent, &s.Info.ParentSeq, &s.Info.Relation, &s.Info.Thread, &s.Info.Task,
		&s.Info.Group, &s.Info.Sample, &at, &s.Events, &s.Agent, &prompt, &packed, &s.Status, &ended, &waits)
	if err != nil {
		return s, err
	}
	if packed > 0 { // what cannot be read is shown as empty here, and reported by Verify
		prompt, _ = unpack(encZstd, prompt, packed)
	}
	s.Prompt = strings.ToValidUTF8(string(prompt[:min(len(prompt), 400)]), "") // its last character may be cut
	s.ID, s.Info.Parent, s.At = hex.EncodeToString(id), hex.EncodeToString(parent), time.Unix(0, at)
	s.Imported = !bytes.Equal(origin, l.meta.ledger)
	s.State, err = l.state(id, ended, waits)
	return s, err
}

// state is that of a run; waits says that it has an open question or was interrupted.
func (l *Ledger) state(run []byte, ended, waits bool) (State, error) {
	if ended {
		return Ended, nil
	}
	held, err := l.owned(run)
	switch {
	case err != nil:
		return "", err
	case held:
		return Running, nil
	case waits:
		return Suspended, nil
	}
	return Crashed, nil
}

// owned reports whether a Run of this or another process holds the run's lock.
func (l *Ledger) owned(run []byte) (bool, error) {
	if l.w != nil && l.w.owns(hex.EncodeToString(run)) {
		return true, nil
	}
	return l.locks.held(offset(run))
}

// Resolve returns the whole identifier of the one run whose identifier begins with
// prefix. Errors wrap ErrNotFound or ErrAmbiguous.
func (l *Ledger) Resolve(ctx context.Context, prefix string) (string, error) {
	id, err := l.resolve(ctx, prefix)
	if err != nil {
		return "", fail("find run", "", err)
	}
	return hex.EncodeToString(id), nil
}

func (l *Ledger) resolve(ctx context.Context, prefix string) ([]byte, error) {
	lo, hi, err := prefixRange(prefix)
	if err != nil {
		return nil, err
	}
	rows, err := l.readers.QueryContext(ctx, "SELECT run FROM run WHERE run BETWEEN ? AND ? LIMIT 2", lo, hi)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	var found [][]byte
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, classify(err)
		}
		found = append(found, id)
	}
	switch {
	case rows.Err() != nil:
		return nil, classify(rows.Err())
	case len(found) == 0:
		return nil, fmt.Errorf("%w: %s", ErrNotFound, prefix)
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %s", ErrAmbiguous, prefix)
	}
	return found[0], nil
}

package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Redaction is what was erased.
type Redaction struct {
	Run    string
	Seq    int64 // of the event that says so
	Blobs  int   // whose content is gone
	Bytes  int64 // of plain content
	Events []int64
}

// minCopied is the least length of a text whose copies are looked for: a shorter one
// occurs by chance.
const minCopied = 8

// Redact erases the content of a run's blobs and records who erased what, and why. With
// seq 0 it erases all of the run. Otherwise it erases the blobs of event seq, every blob
// of the run in which a text of those occurs, as it is or as JSON spells it, what else
// speaks of the calls of that event (see kin), and the token arrays of every generation,
// since tokens spell the same text. Copies in other
// runs, such as forks, and in backups are out of reach and must be redacted there.
//
// Digests stay, so the chain holds. The run cannot go on from what was erased. Errors
// wrap ErrOwned while the run has an owner.
func (l *Ledger) Redact(ctx context.Context, run string, seq int64, who, reason string) (Redaction, error) {
	red, err := l.redact(ctx, run, choice{seq: seq}, who, reason)
	if err != nil {
		return red, fail("redact run", hintFor(err), classify(err))
	}
	return red, nil
}

// RedactMedia erases the content of a run's blobs of the given media, of all without any,
// and records it as Redact does. A run without such content is left as it is: the
// Redaction then has no Blobs and no Seq.
func (l *Ledger) RedactMedia(ctx context.Context, run string, media []string, who, reason string) (Redaction, error) {
	red, err := l.redact(ctx, run, choice{media: media}, who, reason)
	if errors.Is(err, errNothing) {
		return red, nil
	}
	if err != nil {
		return red, fail("redact run", hintFor(err), classify(err))
	}
	return red, nil
}

// choice says which blobs of a run are erased.
type choice struct {
	seq   int64    // those of one event with their copies, and all tokens; 0 for all
	media []string // only of these, if any
}

var errNothing = errors.New("the run holds nothing to erase")

func (l *Ledger) redact(ctx context.Context, run string, what choice, who, reason string) (Redaction, error) {
	r, _, err := l.reopen(ctx, run)
	if err != nil {
		return Redaction{}, err
	}
	defer r.Close()
	events, err := l.ReadAll(ctx, r.ID())
	if err != nil {
		return Redaction{}, err
	}
	if what.seq < 0 || what.seq > int64(len(events)) {
		return Redaction{}, fmt.Errorf("run has no event %d", what.seq)
	}
	red := Redaction{Run: r.ID()}
	body := &agent.Redacted{Who: who}
	erase := map[[32]byte]bool{}
	var related kin
	if what.seq > 0 {
		related = kinOf(events, what.seq)
	}
	for _, e := range events {
		hit := false
		for _, b := range what.of(events, e, related) {
			if !erase[b.Digest] {
				erase[b.Digest], hit = true, true
				red.Bytes += int64(len(b.Data))
				body.Digests = append(body.Digests, hex.EncodeToString(b.Digest[:]))
			}
		}
		if hit {
			red.Events = append(red.Events, e.Seq)
		}
	}
	if red.Blobs = len(body.Digests); red.Blobs == 0 && what.seq > 0 {
		return red, fmt.Errorf("event %d: %w", what.seq, errNothing)
	}
	if red.Blobs == 0 {
		return red, errNothing
	}
	if reason != "" {
		body.Reason = agent.Text(reason)
	}
	red.Seq, err = r.erase(ctx, body, erase)
	return red, err
}

// of lists the blobs of e to erase. What was erased before is left out, as is the reason
// of an earlier redaction.
func (k choice) of(events []agent.Event, e agent.Event, related kin) (out []*agent.Blob) {
	if e.Body.Kind() == "redact" {
		return nil
	}
	var texts [][]byte
	if k.seq > 0 {
		texts = spellings(events[k.seq-1].Body)
	}
	_ = eachBlob(e.Body, func(b *agent.Blob) error { // cannot fail
		chosen := len(k.media) == 0 || slices.Contains(k.media, b.Media)
		if b.Data != nil && chosen && (k.seq == 0 || e.Seq == k.seq || isTokens(b) || holdsAny(b.Data, texts) || related.speaks(e, b)) {
			out = append(out, b)
		}
		return nil
	})
	return out
}

func isTokens(b *agent.Blob) bool { return b.Media == "x-i32le" }

func holdsAny(data []byte, texts [][]byte) bool {
	for _, t := range texts {
		if bytes.Contains(data, t) {
			return true
		}
	}
	return false
}

// spellings are the texts of a body as they may occur in other blobs: plain, without the
// white space around, and as the inside of a JSON string, once and twice encoded.
func spellings(body agent.Body) (out [][]byte) {
	_ = eachBlob(body, func(b *agent.Blob) error { // cannot fail
		t := bytes.TrimSpace(b.Data)
		if len(t) < minCopied || isTokens(b) {
			return nil
		}
		out = append(out, bytes.Clone(t))
		for range 2 {
			enc, err := json.Marshal(string(t))
			if err != nil {
				return nil
			}
			if t = enc[1 : len(enc)-1]; !bytes.Equal(t, out[len(out)-1]) {
				out = append(out, t)
			}
		}
		return nil
	})
	return out
}

// erase commits the redaction together with the erasure, then empties the write-ahead
// log, which still holds what was erased.
func (r *Run) erase(ctx context.Context, body *agent.Redacted, digests map[[32]byte]bool) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := r.l.clock()
	row := r.next(agent.Event{Step: int(r.last.step), Body: body}, now)
	w := r.l.w
	err := w.tx(func() error {
		if err := r.write(row, body, now); err != nil {
			return err
		}
		for d := range digests {
			if _, err := w.conn.ExecContext(background, "UPDATE blob SET data = NULL, salt = NULL WHERE digest = ?", d[:]); err != nil {
				return fmt.Errorf("erase blob: %w", err)
			}
			w.reached("erase")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	r.last = tail{seq: row.seq, step: row.step, mono: row.mono, hash: row.hash}
	return row.seq, w.truncate(ctx)
}

// truncate moves the write-ahead log into the database and empties it, waiting for
// readers as long as a writer waits for a lock.
func (w *writer) truncate(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	deadline := time.Now().Add(busyTimeout)
	for {
		var busy, inLog, moved int64
		if err := w.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &inLog, &moved); err != nil {
			return fmt.Errorf("empty write-ahead log: %w", err)
		}
		if busy == 0 {
			w.reached("truncated")
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("empty write-ahead log: a reader holds it; what was erased stays in it until the ledger is next closed")
		}
	}
}

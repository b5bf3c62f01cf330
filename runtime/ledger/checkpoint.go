package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint says what a signed note says: that the ledger's chain had N heads with this
// root at that time. The note is in the form of C2SP tlog-checkpoint, with the time as an
// extension line; the root is that of RFC 6962 over the hashes of heads 1 to N.
type Checkpoint struct {
	Ledger string // identifier, 32 hex digits
	N      int64
	Root   tlog.Hash
	At     time.Time
	Note   []byte // text and signatures
}

const (
	originPrefix = "holdfast/ledger/"
	timePrefix   = "time "
)

// text is what is signed.
func (c Checkpoint) text() string {
	return fmt.Sprintf("%s%s\n%d\n%s\n%s%s\n", originPrefix, c.Ledger, c.N, c.Root, timePrefix, c.At.UTC().Format(time.RFC3339Nano))
}

// parseCheckpoint reads the text of a note. Extension lines that it does not know are
// passed over.
func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 || !strings.HasPrefix(lines[0], originPrefix) {
		return Checkpoint{}, errors.New("note is not a checkpoint of a ledger")
	}
	c := Checkpoint{Ledger: strings.TrimPrefix(lines[0], originPrefix)}
	var err error
	if c.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.N < 1 {
		return c, fmt.Errorf("note has the size %q", lines[1])
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil {
		return c, fmt.Errorf("note has the root %q", lines[2])
	}
	for _, l := range lines[3:] {
		if at, ok := strings.CutPrefix(l, timePrefix); ok {
			if c.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
				return c, fmt.Errorf("note has the time %q", at)
			}
		}
	}
	return c, nil
}

// tree builds the RFC 6962 tree over the hashes of heads, leaf by leaf.
type tree struct {
	n     int
	stack []tlog.Hash // roots of the whole subtrees, the largest first
}

func (t *tree) add(leaf []byte) {
	h := tlog.RecordHash(leaf)
	t.n++
	for n := t.n; n%2 == 0; n /= 2 {
		h = tlog.NodeHash(t.stack[len(t.stack)-1], h)
		t.stack = t.stack[:len(t.stack)-1]
	}
	t.stack = append(t.stack, h)
}

// root needs one leaf at least.
func (t *tree) root() tlog.Hash {
	h := t.stack[len(t.stack)-1]
	for i := len(t.stack) - 2; i >= 0; i-- {
		h = tlog.NodeHash(t.stack[i], h)
	}
	return h
}

// Sign makes a checkpoint over all heads of this file's own chain, hands the note to
// anchor, which keeps a copy elsewhere and says where, and stores it with that place. A
// nil anchor keeps none. Anyone with the signer's key can sign any text: a signature
// says who, the copy elsewhere says that later rows cannot replace what it covers.
func (l *Ledger) Sign(ctx context.Context, by note.Signer, anchor func(note []byte) (where string, err error)) (Checkpoint, error) {
	c, err := l.sign(ctx, by, anchor)
	if err != nil {
		return c, fail("sign ledger", hintFor(err), classify(err))
	}
	return c, nil
}

func (l *Ledger) sign(ctx context.Context, by note.Signer, anchor func([]byte) (string, error)) (Checkpoint, error) {
	if l.w == nil {
		return Checkpoint{}, ErrReadOnly
	}
	leaves, err := headHashes(ctx, l.readers, l.meta.ledger)
	if err != nil {
		return Checkpoint{}, err
	}
	if len(leaves) == 0 {
		return Checkpoint{}, errors.New("nothing has been recorded yet")
	}
	var t tree
	for _, leaf := range leaves {
		t.add(leaf)
	}
	c := Checkpoint{Ledger: l.ID(), N: int64(t.n), Root: t.root(), At: l.clock()}
	if c.Note, err = note.Sign(&note.Note{Text: c.text()}, by); err != nil {
		return c, err
	}
	where := ""
	if anchor != nil {
		if where, err = anchor(c.Note); err != nil {
			return c, fmt.Errorf("anchor note: %w", err)
		}
	}
	return c, l.w.tx(func() error {
		_, err := l.w.conn.ExecContext(background, "INSERT INTO checkpoint (origin, n, note, anchor, at_ns) VALUES (?,?,?,?,?)",
			l.meta.ledger, c.N, string(c.Note), where, c.At.UnixNano())
		return err
	})
}

// Heads is the number of heads of this file's own chain.
func (l *Ledger) Heads(ctx context.Context) (int64, error) {
	var n int64
	err := l.readers.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM head WHERE origin = ?", l.meta.ledger).Scan(&n)
	if err != nil {
		return 0, fail("read heads", hintFor(err), classify(err))
	}
	return n, nil
}

// headHashes reads the hashes of heads 1 to n of one chain, refusing a gap.
func headHashes(ctx context.Context, q rowQuerier, origin []byte) ([][]byte, error) {
	rows, err := q.QueryContext(ctx, "SELECT n, hash FROM head WHERE origin = ? ORDER BY n", origin)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var n int64
		var h []byte
		if err := rows.Scan(&n, &h); err != nil {
			return nil, err
		}
		if n != int64(len(out))+1 {
			return nil, fmt.Errorf("%w: head %d is missing", ErrDamaged, len(out)+1)
		}
		out = append(out, h)
	}
	return out, rows.Err()
}

// Checkpoints lists the notes stored in the file, oldest first, without looking at their
// signatures.
func (l *Ledger) Checkpoints(ctx context.Context) ([]Checkpoint, error) {
	var out []Checkpoint
	err := eachNote(ctx, l.readers, func(origin []byte, n int64, text, _ string) error {
		body, _, _ := strings.Cut(text, "\n\n")
		c, err := parseCheckpoint(body + "\n")
		if err != nil {
			return fmt.Errorf("%w: note over %d heads: %w", ErrDamaged, n, err)
		}
		c.Note = []byte(text)
		out = append(out, c)
		return nil
	})
	if err != nil {
		return nil, fail("list checkpoints", hintFor(err), classify(err))
	}
	return out, nil
}

func eachNote(ctx context.Context, q rowQuerier, f func(origin []byte, n int64, text, anchor string) error) error {
	rows, err := q.QueryContext(ctx, "SELECT origin, n, note, anchor FROM checkpoint ORDER BY id")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var origin []byte
		var n int64
		var text, anchor string
		if err := rows.Scan(&origin, &n, &text, &anchor); err != nil {
			return err
		}
		if err := f(origin, n, text, anchor); err != nil {
			return err
		}
	}
	return rows.Err()
}

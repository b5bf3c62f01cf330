package ledger

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
)

// Merged counts what Merge copied.
type Merged struct {
	Ledgers, Runs, Events, Blobs, Erased int64
}

// ErrConflict means two ledgers hold different rows for the same thing, of which neither
// continues the other.
var ErrConflict = errors.New("ledgers contradict each other")

// Merge copies what lies in the ledger at path into this one: its runs with their origin,
// heads and notes, so that they verify as they did there, and an import head that names
// the tip of its chain. The other file must verify; it is not changed. What is here
// already is left as it is; of two copies of a run the longer stands if it continues the
// other, else nothing is copied and the error wraps ErrConflict. So it does where the
// other file holds something that it says was recorded here and that is not here: nobody
// else continues a run of this ledger. What was erased in either is erased here, unless a
// run of this ledger holds it.
//
// A merged run can be read and exported here; it goes on, or is forked, where it was
// recorded.
func (l *Ledger) Merge(ctx context.Context, path string) (Merged, error) {
	m, err := l.merge(ctx, path)
	if err != nil {
		return m, fail("merge "+path, hintFor(err), classify(err))
	}
	return m, nil
}

func (l *Ledger) merge(ctx context.Context, path string) (Merged, error) {
	if l.w == nil {
		return Merged{}, ErrReadOnly
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Merged{}, err
	}
	in, err := Open(ctx, abs, Options{ReadOnly: true})
	if err != nil {
		return Merged{}, err
	}
	defer in.Close()
	if bytes.Equal(in.meta.ledger, l.meta.ledger) {
		return Merged{}, errors.New("it is the same ledger")
	}
	rep, err := in.Verify(ctx)
	if err != nil {
		return Merged{}, err
	}
	if !rep.OK() {
		return Merged{}, fmt.Errorf("%w: it does not verify: %s", ErrDamaged, firstFault(rep))
	}
	tx, err := in.readers.BeginTx(ctx, nil)
	if err != nil {
		return Merged{}, err
	}
	defer tx.Rollback()
	c := &copier{l: l, from: tx}
	err = l.w.tx(func() error { return c.all(ctx, in) })
	if err != nil {
		return Merged{}, err
	}
	if c.m.Erased > 0 {
		err = l.w.truncate(ctx)
	}
	return c.m, err
}

func firstFault(r Report) string {
	if r.Integrity.Count > 0 {
		return r.Integrity.First[0]
	}
	return r.Completeness.First[0]
}

// copier copies rows within one transaction of the writer.
type copier struct {
	l    *Ledger
	from rowQuerier
	m    Merged

	run []byte // of the last event that was looked at
	own bool   // whether it was recorded in this ledger
}

// The tables in the order in which their rows refer to each other. New rows are compared
// with those here by key, and must equal them in every hashed column.
var copied = []struct {
	table, columns, key, same string
	n                         int // columns of the key, the first ones
}{
	{"meta", "ledger, format, host, build, at_ns, genesis", "ledger = ?", "genesis", 1},
	{"blob", "digest, salt, size, media, enc, data", "digest = ?", "digest", 1},
	{"run", "run, origin, parent, parent_seq, relation, thread, task, grp, sample, at_ns, genesis", "run = ?", "genesis", 1},
	{"event", "run, seq, kind, step, ref, call, at_ns, mono_ns, payload, prev, hash", "run = ? AND seq = ?", "hash", 2},
	{"head", "origin, n, reason, subject, seq, tip, at_ns, prev, hash", "origin = ? AND n = ?", "hash", 2},
}

func (c *copier) all(ctx context.Context, in *Ledger) error {
	for i := range copied {
		if err := c.table(ctx, i); err != nil {
			return fmt.Errorf("copy %s: %w", copied[i].table, err)
		}
	}
	if err := c.erasures(ctx); err != nil {
		return err
	}
	if err := c.notes(ctx); err != nil {
		return err
	}
	return c.importHead(ctx, in)
}

func (c *copier) table(ctx context.Context, i int) error {
	t := copied[i]
	w := c.l.w.conn
	find, err := w.PrepareContext(ctx, "SELECT "+t.same+" FROM "+t.table+" WHERE "+t.key)
	if err != nil {
		return err
	}
	defer find.Close()
	rows, err := c.from.QueryContext(ctx, "SELECT "+t.columns+" FROM "+t.table+order(t.table))
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	insert, err := w.PrepareContext(ctx, insertInto(t.table, t.columns, len(names)))
	if err != nil {
		return err
	}
	defer insert.Close()
	values, to := make([]any, len(names)), make([]any, len(names))
	for k := range values {
		to[k] = &values[k]
	}
	same := indexOf(names, t.same)
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		var have []byte
		switch err := find.QueryRowContext(ctx, values[:t.n]...).Scan(&have); {
		case err == nil && bytes.Equal(have, values[same].([]byte)):
			continue
		case err == nil:
			return fmt.Errorf("%w: %s %v", ErrConflict, t.table, keyText(values[:t.n]))
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		ours, err := c.ours(ctx, t.table, names, values)
		if err != nil {
			return err
		}
		if ours {
			return fmt.Errorf("%w: %s %v says that it was recorded in this ledger, which does not hold it", ErrConflict, t.table, keyText(values[:t.n]))
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return err
		}
		c.counted(t.table)
	}
	return rows.Err()
}

// ours reports whether a row says that it was recorded in this ledger.
func (c *copier) ours(ctx context.Context, table string, names []string, values []any) (bool, error) {
	switch table {
	case "run", "head":
		origin, _ := values[indexOf(names, "origin")].([]byte)
		return bytes.Equal(origin, c.l.meta.ledger), nil
	case "event": // its run is here by now, and its events come one after another
		run, _ := values[0].([]byte)
		if c.run != nil && bytes.Equal(run, c.run) {
			return c.own, nil
		}
		var origin []byte
		err := c.l.w.conn.QueryRowContext(ctx, "SELECT origin FROM run WHERE run = ?", run).Scan(&origin)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, err
		}
		c.run, c.own = bytes.Clone(run), bytes.Equal(origin, c.l.meta.ledger)
		return c.own, nil
	}
	return false, nil
}

func (c *copier) counted(table string) {
	switch table {
	case "meta":
		c.m.Ledgers++
	case "run":
		c.m.Runs++
	case "event":
		c.m.Events++
	case "blob":
		c.m.Blobs++
	}
}

// order lists rows in the order in which triggers want them.
func order(table string) string {
	switch table {
	case "event":
		return " ORDER BY run, seq"
	case "head":
		return " ORDER BY origin, n"
	case "blob":
		return " ORDER BY id"
	}
	return ""
}

func insertInto(table, columns string, n int) string {
	marks := "?"
	for range n - 1 {
		marks += ",?"
	}
	if table == "meta" {
		return "INSERT INTO meta (" + columns + ", self) VALUES (" + marks + ", 0)"
	}
	return "INSERT INTO " + table + " (" + columns + ") VALUES (" + marks + ")"
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

func keyText(key []any) string {
	if len(key) == 1 {
		return fmt.Sprintf("%x", key[0])
	}
	return fmt.Sprintf("%x %v", key[0], key[1])
}

// erasures erases here what was erased there, but for what runs of this ledger hold: they
// are redacted here, by whom they belong to.
func (c *copier) erasures(ctx context.Context) error {
	gone, err := c.erased(ctx)
	if err != nil || len(gone) == 0 {
		return err
	}
	if err := c.spare(ctx, gone); err != nil {
		return err
	}
	for d := range gone {
		if _, err := c.l.w.conn.ExecContext(ctx, "UPDATE blob SET data = NULL, salt = NULL WHERE digest = ?", d[:]); err != nil {
			return fmt.Errorf("erase blob: %w", err)
		}
	}
	c.m.Erased += int64(len(gone))
	return nil
}

// erased lists what was erased there and is still here.
func (c *copier) erased(ctx context.Context) (map[[32]byte]bool, error) {
	rows, err := c.from.QueryContext(ctx, "SELECT digest FROM blob WHERE data IS NULL")
	if err != nil {
		return nil, fmt.Errorf("read erasures: %w", err)
	}
	defer rows.Close()
	gone := map[[32]byte]bool{}
	for rows.Next() {
		var d []byte
		if err := rows.Scan(&d); err != nil {
			return nil, err
		}
		var here int
		err := c.l.w.conn.QueryRowContext(ctx, "SELECT count(*) FROM blob WHERE digest = ? AND data IS NOT NULL", d).Scan(&here)
		if err != nil {
			return nil, err
		}
		if here > 0 {
			gone[[32]byte(d)] = true
		}
	}
	return gone, rows.Err()
}

// aDigest is a digest as an event spells it.
var aDigest = regexp.MustCompile(`[0-9a-f]{64}`)

// spare takes from a set of blobs those that events of this ledger's own runs name.
func (c *copier) spare(ctx context.Context, set map[[32]byte]bool) error {
	rows, err := c.l.w.conn.QueryContext(ctx, "SELECT payload FROM event JOIN run USING (run) WHERE origin = ?", c.l.meta.ledger)
	if err != nil {
		return fmt.Errorf("read own events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var payload string
		if err := rows.Scan(&payload); err != nil {
			return err
		}
		for _, h := range aDigest.FindAllString(payload, -1) {
			if d, err := hex.DecodeString(h); err == nil {
				delete(set, [32]byte(d))
			}
		}
	}
	return rows.Err()
}

// notes copies the signed notes that are not here.
func (c *copier) notes(ctx context.Context) error {
	rows, err := c.from.QueryContext(ctx, "SELECT origin, n, note, anchor, at_ns FROM checkpoint ORDER BY id")
	if err != nil {
		return fmt.Errorf("read notes: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var origin []byte
		var n, at int64
		var text, anchor string
		if err := rows.Scan(&origin, &n, &text, &anchor, &at); err != nil {
			return err
		}
		if _, err := c.l.w.conn.ExecContext(ctx, `INSERT INTO checkpoint (origin, n, note, anchor, at_ns) SELECT ?1, ?2, ?3, ?4, ?5
			WHERE NOT EXISTS (SELECT 1 FROM checkpoint WHERE origin = ?1 AND note = ?3)`, origin, n, text, anchor, at); err != nil {
			return fmt.Errorf("copy note: %w", err)
		}
	}
	return rows.Err()
}

// importHead names the tip of the other ledger's chain in this one's, unless the last
// import of it named the same.
func (c *copier) importHead(ctx context.Context, in *Ledger) error {
	var n int64
	var tip []byte
	err := c.from.QueryRowContext(ctx, "SELECT n, hash FROM head WHERE origin = ? ORDER BY n DESC LIMIT 1", in.meta.ledger).Scan(&n, &tip)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read last head: %w", err)
	}
	var known int64
	err = c.l.w.conn.QueryRowContext(ctx, "SELECT count(*) FROM head WHERE origin = ? AND reason = 'import' AND subject = ? AND seq = ?",
		c.l.meta.ledger, in.meta.ledger, n).Scan(&known)
	if err != nil || known > 0 {
		return err
	}
	return c.l.w.appendHead(c.l.meta.ledger, "import", &eventRow{run: in.meta.ledger, seq: n, hash: tip, at: c.l.clock().UnixNano()})
}

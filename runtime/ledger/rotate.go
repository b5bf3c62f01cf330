package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Rotated says where the old rows lie and what the new file goes on from.
type Rotated struct {
	Archive string // path of the old file
	Ledger  string // its identifier
	Heads   int64  // of its chain, all of which the new file's first head names
	Next    string // identifier of the new file, at the old place
}

var (
	errInUse    = errors.New("another process has the ledger open")
	errOpenRuns = errors.New("runs in it did not end")
	errEmpty    = errors.New("nothing has been recorded yet")
)

// Rotate moves the file to archive, a path beside it, and puts a new ledger in its place,
// whose first head names the tip of the old chain: nothing can be cut from the old file
// unseen, nor the old file be replaced. seal is called before, while nobody else can
// write, and may sign; nil does nothing. The handle is closed in any case.
//
// Every run must have ended, since one goes on only where it was recorded, and no other
// process may have the file open. At each moment one whole ledger lies at the path: a
// process that dies on the way leaves either the old one there or the new one.
func (l *Ledger) Rotate(ctx context.Context, archive string, seal func(*Ledger) error) (Rotated, error) {
	r, err := l.rotate(ctx, archive, seal)
	if cerr := l.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return r, fail("rotate ledger", rotateHint(err), classify(err))
	}
	return r, nil
}

func rotateHint(err error) string {
	switch {
	case errors.Is(err, errInUse):
		return "end the processes that use it"
	case errors.Is(err, errOpenRuns):
		return "see holdfast log ls, then resume them, or answer what they wait for"
	}
	return hintFor(err)
}

func (l *Ledger) rotate(ctx context.Context, archive string, seal func(*Ledger) error) (Rotated, error) {
	if l.w == nil {
		return Rotated{}, ErrReadOnly
	}
	if filepath.Dir(archive) != filepath.Dir(l.path) || archive == l.path {
		return Rotated{}, fmt.Errorf("%s does not lie beside the ledger", archive)
	}
	if err := l.locks.setup(ctx); err != nil { // until Close: nobody opens it for writing
		return Rotated{}, err
	}
	if err := l.alone(ctx); err != nil {
		return Rotated{}, err
	}
	if err := l.allEnded(ctx); err != nil {
		return Rotated{}, err
	}
	if seal != nil {
		if err := seal(l); err != nil {
			return Rotated{}, err
		}
	}
	leaves, err := headHashes(ctx, l.readers, l.meta.ledger)
	if err != nil {
		return Rotated{}, err
	}
	if len(leaves) == 0 {
		return Rotated{}, errEmpty
	}
	r := Rotated{Archive: archive, Ledger: l.ID(), Heads: int64(len(leaves))}
	next := l.path + ".next"
	if r.Next, err = l.successor(ctx, next, r.Heads, leaves[len(leaves)-1]); err != nil {
		return r, err
	}
	return r, l.swap(archive, next)
}

// alone takes the file out of the mode in which others may have it open, which SQLite
// allows to the only connection. Its write-ahead log is empty then, and gone.
func (l *Ledger) alone(ctx context.Context) error {
	if err := l.readers.Close(); err != nil {
		return err
	}
	l.readers = openDB(l.path, true)
	var mode string
	err := l.w.conn.QueryRowContext(ctx, "PRAGMA journal_mode=DELETE").Scan(&mode)
	if transient(err) || err == nil && mode != "delete" {
		return errInUse
	}
	l.w.reached("alone")
	return err
}

func (l *Ledger) allEnded(ctx context.Context) error {
	runs, err := l.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.State != Ended {
			return fmt.Errorf("%w: run %s is %s", errOpenRuns, r.ID, r.State)
		}
	}
	return nil
}

// successor makes the new file at next: a ledger with one head, which names the tip of
// this one.
func (l *Ledger) successor(ctx context.Context, next string, n int64, tip []byte) (id string, err error) {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} { // of one that died on the way
		if err := os.Remove(next + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	if err := createFile(next); err != nil {
		return "", err
	}
	w, err := newWriter(ctx, next)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	w.hook = l.w.hook
	now := l.clock()
	m := &metaRow{ledger: newID(now), format: Format, host: l.meta.host, build: l.meta.build, at: now.UnixNano()}
	if err := w.tx(func() error { return build(ctx, w.conn, m) }); err != nil {
		return "", err
	}
	if err := w.prepare(ctx); err != nil {
		return "", err
	}
	err = w.tx(func() error {
		return w.appendHead(m.ledger, "import", &eventRow{run: l.meta.ledger, seq: n, hash: tip, at: now.UnixNano()})
	})
	return hex.EncodeToString(m.ledger), err
}

// swap gives the old file its second name, then the new file the first.
func (l *Ledger) swap(archive, next string) error {
	l.w.reached("made")
	if err := l.unfinished(archive); err != nil {
		return err
	}
	if err := errors.Join(l.readers.Close(), l.w.close()); err != nil {
		return err
	}
	if err := os.Link(l.path, archive); err != nil {
		return err
	}
	l.w.reached("linked")
	if err := os.Rename(next, l.path); err != nil {
		return err
	}
	l.w.reached("renamed")
	return syncDir(filepath.Dir(l.path))
}

// unfinished removes the second name that a rotation which died on the way gave the
// file. Any other file there stays, and is an error.
func (l *Ledger) unfinished(archive string) error {
	there, err := os.Lstat(archive)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	own, err := os.Lstat(l.path)
	if err != nil {
		return err
	}
	if !os.SameFile(there, own) {
		return fmt.Errorf("%s: %w", archive, fs.ErrExist)
	}
	return os.Remove(archive)
}

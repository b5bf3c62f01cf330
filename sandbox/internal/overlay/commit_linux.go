package overlay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Request is a layer to be committed.
type Request struct {
	Call   string
	Target Target
	Layer  *Layer
	// Since is the time, on the coarse clock, from which on a change of the
	// workspace by somebody else is one that the call may not have seen.
	Since time.Time
	// Locked says that the caller holds the lock of the store.
	Locked bool
	// Deciding is called when everything is prepared and nothing is changed. An
	// error ends the commit without a trace.
	Deciding func(id string) error
}

// Commit carries out the changes of a layer that are not held back, all of them
// or none, and returns the identity under which they can be undone; "" if there
// was nothing to do. A *ConflictError means that the workspace is not as the
// call saw it; then, as with every error, nothing was changed, unless the error
// says that taking back failed.
func (s *Store) Commit(ctx context.Context, r Request) (string, error) {
	var items []item
	var taken []string
	for _, it := range r.Layer.items {
		if it.Held != "" {
			continue
		}
		if it.PreIno != 0 && !time.Unix(it.preChanged.Unix()).Before(r.Since) && !(it.Type == Dir && it.Op != Chmod) {
			taken = append(taken, it.Path)
		}
		items = append(items, it)
	}
	if len(taken) > 0 {
		return "", &ConflictError{taken}
	}
	if len(items) == 0 {
		return "", nil
	}
	c := &commit{store: s, journal: &journal{Call: r.Call, Target: r.Target, Items: items}, deciding: r.Deciding, locked: r.Locked}
	c.content = func(_ int, it *item) (*os.File, error) { return beneath(r.Layer.upper, it.Path) }
	return c.run(ctx)
}

// beneath opens a file of a layer.
func beneath(dir int, p string) (*os.File, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, p, &how)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), p), nil
}

// commit is one transaction on its way.
type commit struct {
	store    *Store
	journal  *journal
	dir      string // of the transaction in the store
	tree     *tree
	shelf    *shelf
	deciding func(string) error
	content  func(int, *item) (*os.File, error)
	locked   bool
	forUndo  bool // what is taken away need not be kept again
}

func (c *commit) run(ctx context.Context) (string, error) {
	if !c.locked {
		unlock, err := c.store.Lock(ctx)
		if err != nil {
			return "", fmt.Errorf("commit changes: %w", err)
		}
		defer unlock()
	}
	var err error
	if c.journal.ID, err = newID(); err != nil {
		return "", fmt.Errorf("commit changes: %w", err)
	}
	if c.tree, err = openTree(c.journal.Target); err != nil {
		return "", fmt.Errorf("commit changes: %w", err)
	}
	defer c.tree.close()
	c.dir = filepath.Join(c.store.dir, "open", c.journal.ID)
	if err := c.prepare(ctx); err != nil {
		return "", errors.Join(fmt.Errorf("prepare changes: %w", err), c.abandon())
	}
	if c.deciding != nil {
		if err := c.deciding(c.journal.ID); err != nil {
			return "", errors.Join(err, c.abandon())
		}
	}
	c.store.step("applying")
	if err := mark(filepath.Join(c.dir, applyingFile)); err != nil {
		return "", errors.Join(fmt.Errorf("commit changes: %w", err), c.abandon())
	}
	if err := c.applyAll(); err != nil {
		return "", err
	}
	c.store.step("settle")
	if err := c.store.settle(c.tree, c.journal, c.shelf); err != nil {
		return "", c.takeBack(len(c.journal.Items)-1, fmt.Errorf("write out the changes: %w", err))
	}
	c.store.step("done")
	if err := mark(filepath.Join(c.dir, doneFile)); err != nil {
		return "", c.takeBack(len(c.journal.Items)-1, fmt.Errorf("commit changes: %w", err))
	}
	c.store.step("clean")
	// the changes are made; what cannot be cleaned up now, a recovery will
	if c.tree.drop(c.shelf) == nil {
		c.store.step("file")
		_ = os.Rename(c.dir, filepath.Join(c.store.dir, "done", c.journal.ID))
	}
	c.shelf.close()
	return c.journal.ID, nil
}

// applyAll carries out every item, or takes back those it did.
func (c *commit) applyAll() error {
	for i := range c.journal.Items {
		it := &c.journal.Items[i]
		c.store.step(fmt.Sprintf("apply %d", i))
		err := apply(c.tree, c.shelf, i, it)
		if err == errTaken {
			return c.takeBack(i-1, &ConflictError{[]string{it.Path}})
		}
		if err != nil {
			return c.takeBack(i-1, fmt.Errorf("commit %q: %w", it.Path, err))
		}
	}
	return nil
}

// takeBack reverts items 0 to last and returns why, with whatever could not be
// reverted.
func (c *commit) takeBack(last int, why error) error {
	left, err := revertAll(c.tree, c.shelf, c.journal, last, c.store.step)
	if err != nil || len(left) > 0 {
		c.shelf.close()
		return errors.Join(why, fmt.Errorf("take changes back: %w", cannot(left, err)))
	}
	return errors.Join(why, c.abandon())
}

func cannot(left []string, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%q changed meanwhile; what stood there lies in the folder %s* of the workspace", strings.Join(left, ", "), stagePrefix)
}

// revertAll takes items back, last first, and lists the paths that somebody
// else has changed since.
func revertAll(w *tree, s *shelf, j *journal, last int, step func(string)) (left []string, err error) {
	for i := last; i >= 0; i-- {
		step(fmt.Sprintf("revert %d", i))
		ok, err := revert(w, s, i, &j.Items[i])
		if err != nil {
			return left, fmt.Errorf("%q: %w", j.Items[i].Path, err)
		}
		if !ok {
			left = append(left, j.Items[i].Path)
		}
	}
	return left, nil
}

// abandon removes what was prepared. Nothing was changed, or all of it was
// taken back.
func (c *commit) abandon() error {
	if c.shelf != nil {
		err := c.store.reverted(c.dir, c.tree, c.journal, c.shelf)
		if err == nil {
			err = c.tree.drop(c.shelf)
		}
		c.shelf.close()
		if err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
	}
	return os.RemoveAll(c.dir)
}

// prepare puts everything that will take a place on the shelf and writes the
// journal.
func (c *commit) prepare(ctx context.Context) error {
	c.store.step("begin")
	if !c.forUndo { // which keeps nothing, and forgets the commit that it undoes
		if err := c.store.room(c.need()); err != nil {
			return err
		}
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	// until the journal stands, this says where a shelf might be
	j := c.journal
	j.Made, j.Shelf = time.Now().UTC(), stagePrefix+j.ID
	b, err := json.Marshal(journal{ID: j.ID, Call: j.Call, Target: j.Target, Shelf: j.Shelf, Made: j.Made})
	if err != nil {
		return err
	}
	name := filepath.Join(c.dir, journalFile)
	if err := errors.Join(os.WriteFile(name+".new", b, 0o600), os.Rename(name+".new", name)); err != nil {
		return err
	}
	c.store.step("shelf")
	if c.shelf, err = c.tree.makeShelf(j.ID); err != nil {
		return err
	}
	j.ShelfIno = c.shelf.ino
	for i := range j.Items {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.store.step(fmt.Sprintf("stage %d", i))
		it := &j.Items[i]
		if err := c.keep(ctx, it); err != nil {
			return fmt.Errorf("keep %q: %w", it.Path, err)
		}
		if err := c.stage(ctx, i, it); err != nil {
			return fmt.Errorf("%q: %w", it.Path, err)
		}
	}
	if c.many() {
		c.store.step("sync")
		if err := unix.Syncfs(c.shelf.fd); err != nil {
			return fmt.Errorf("write out what is prepared: %w", err)
		}
	}
	if b, err = json.Marshal(j); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(c.dir, sizeFile), strconv.AppendInt(nil, c.need()+int64(len(b)), 10), 0o600); err != nil {
		return err
	}
	c.store.step("journal")
	if err := write(filepath.Join(c.dir, journalFile), b); err != nil {
		return err
	}
	return ctx.Err()
}

// need is how many bytes of content the commit keeps for an undo.
func (c *commit) need() int64 {
	n := int64(0)
	for _, it := range c.journal.Items {
		if !c.forUndo && it.PreType == File && it.Op != Chmod {
			n += it.PreSize
		}
	}
	return n
}

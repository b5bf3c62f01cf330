package overlay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Recovered is one transaction that a process did not live to finish.
type Recovered struct {
	ID, Call, Dir string
	Finished      bool     // all of its changes are made; else none
	Missing       bool     // its workspace is not there: it waits for that, and Finished says nothing
	Left          []string // paths that are left as they are: somebody else changed them, or took away what was kept beside them
	Kept          string   // where what is known of Left lies: the journal, and what files held before
}

// Recover finishes or takes back what processes left behind when they died.
// Afterwards each of their commits has happened as a whole or not at all,
// except for paths in Left. A workspace that is not there, or another directory
// in its place, is left alone and tried again the next time: nobody sees half of
// a commit there.
func (s *Store) Recover(ctx context.Context) ([]Recovered, error) {
	unlock, err := s.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("recover commits: %w", err)
	}
	defer unlock()
	list, err := os.ReadDir(filepath.Join(s.dir, "open"))
	if err != nil {
		return nil, fmt.Errorf("recover commits: %w", err)
	}
	var found []Recovered
	var errs []error
	for _, e := range list {
		r, err := s.recoverOne(filepath.Join(s.dir, "open", e.Name()))
		if err != nil {
			errs = append(errs, fmt.Errorf("recover commit %s: %w", e.Name(), err))
		}
		if r != nil {
			found = append(found, *r)
		}
	}
	return found, errors.Join(errs...)
}

func (s *Store) recoverOne(dir string) (*Recovered, error) {
	j, err := readJournal(dir)
	if errors.Is(err, os.ErrNotExist) { // it died before anything was prepared
		return nil, os.RemoveAll(dir)
	}
	if err != nil {
		return nil, err
	}
	r := &Recovered{ID: j.ID, Call: j.Call, Dir: j.Target.Dir, Finished: exists(filepath.Join(dir, doneFile))}
	w, err := openTree(j.Target.again())
	if away(err) {
		if !exists(filepath.Join(dir, applyingFile)) {
			return nil, os.RemoveAll(dir)
		}
		r.Missing = true
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer w.close()
	sh, err := w.openShelf(j.Shelf, j.ShelfIno)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if sh == nil && w.dev != j.Target.Dev && exists(filepath.Join(dir, applyingFile)) && !r.Finished {
		r.Missing = true // another file system with the same number for its directory
		return r, nil
	}
	half := exists(filepath.Join(dir, applyingFile)) && !r.Finished
	switch {
	case sh == nil && half && !exists(filepath.Join(dir, revertedFile)):
		for _, it := range j.Items { // somebody removed the shelf: what is made cannot be taken back
			r.Left = append(r.Left, it.Path)
		}
	case sh != nil:
		defer sh.close()
		if half {
			r.Left, err = revertAll(w, sh, j, len(j.Items)-1, s.step)
			if err != nil {
				return r, err
			}
		}
		if len(r.Left) == 0 {
			s.step("drop shelf")
			err := s.reverted(dir, w, j, sh)
			if err == nil {
				err = w.drop(sh)
			}
			if err != nil {
				return r, err
			}
		}
	}
	s.step("forget")
	if len(r.Left) > 0 {
		r.Kept = filepath.Join(s.dir, "left", j.ID)
		return r, errors.Join(os.MkdirAll(filepath.Dir(r.Kept), 0o700), os.Rename(dir, r.Kept))
	}
	if r.Finished {
		return r, os.Rename(dir, filepath.Join(s.dir, "done", j.ID))
	}
	return r, os.RemoveAll(dir)
}

// away reports whether a workspace is not where it was, as far as can be told: gone, another
// one, behind a link or a file, on a file system that does not answer, or closed to us. It
// must not keep anybody from working elsewhere.
func away(err error) bool {
	for _, e := range []error{os.ErrNotExist, errElsewhere, os.ErrPermission, unix.ELOOP, unix.ENOTDIR, unix.ENOTCONN, unix.ESTALE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// reverted marks a commit of which nothing is made any more, before its shelf goes: without
// one, nobody could tell it from a commit whose shelf somebody removed.
func (s *Store) reverted(dir string, w *tree, j *journal, sh *shelf) error {
	if !exists(filepath.Join(dir, applyingFile)) || exists(filepath.Join(dir, doneFile)) {
		return nil
	}
	if err := s.settle(w, j, sh); err != nil {
		return err
	}
	return mark(filepath.Join(dir, revertedFile))
}

// Undo takes a commit back, as a commit of its own: all of it or nothing. It
// refuses with a *ConflictError if anything it would touch was changed since.
func (s *Store) Undo(ctx context.Context, id string) error {
	if !slices.Contains(s.Done(), id) {
		return fmt.Errorf("undo commit: %q is not one that is kept", id)
	}
	old := filepath.Join(s.dir, "done", id)
	j, err := readJournal(old)
	if err != nil {
		return fmt.Errorf("undo commit: %w", err)
	}
	items, err := inverse(j)
	if err != nil {
		return fmt.Errorf("undo commit %s: %w", id, err)
	}
	if err := measure(items, old); err != nil {
		return fmt.Errorf("undo commit %s: %w", id, err)
	}
	c := &commit{store: s, journal: &journal{Call: "undo " + id, Target: j.Target.again(), Items: items}, forUndo: true}
	c.content = func(_ int, it *item) (*os.File, error) { return os.Open(filepath.Join(old, "pre", it.Post)) }
	if _, err := c.run(ctx); err != nil {
		return fmt.Errorf("undo commit %s: %w", id, err)
	}
	return s.forget(id)
}

// measure notes how long the files are that an undo puts back.
func measure(items []item, old string) error {
	for i := range items {
		it := &items[i]
		if it.Type != File || it.Op != Create && it.Op != Replace {
			continue
		}
		st, err := os.Stat(filepath.Join(old, "pre", it.Post))
		if err != nil {
			return fmt.Errorf("what stood at %q is not kept any more: %w", it.Path, err)
		}
		it.Size = st.Size()
	}
	return nil
}

// Done lists the commits that can be undone, oldest first.
func (s *Store) Done() []string {
	list, _ := os.ReadDir(filepath.Join(s.dir, "done"))
	var ids []string
	for _, e := range list {
		ids = append(ids, e.Name())
	}
	return ids
}

// inverse turns the items of a commit around.
func inverse(j *journal) ([]item, error) {
	w, err := openTree(j.Target.again())
	if err != nil {
		return nil, err
	}
	defer w.close()
	var list []item
	for _, was := range slices.Backward(j.Items) {
		it := item{Change: Change{Path: was.Path, Pre: was.Post, Post: was.Pre, Type: was.PreType, Mode: was.PreMode & 0o777}}
		if was.Op != Create && it.Type == File && !was.Kept || it.Type == Other {
			return nil, fmt.Errorf("what stood at %q was not kept", was.Path)
		}
		switch was.Op {
		case Create:
			it.Op, it.Type = Remove, was.Type
		case Remove:
			it.Op = Create
			it.PreUID, it.PreGID = was.PreUID, was.PreGID
		case Replace:
			it.Op = Replace
		case Chmod:
			it.Op, it.Type = Chmod, Dir
		}
		if was.Op != Create && was.PreType == Link {
			it.Link = was.PreLink
		}
		if it.Op != Create {
			if err := it.standing(w); err != nil {
				return nil, err
			}
		}
		list = append(list, it)
	}
	slices.SortStableFunc(list, order)
	return list, nil
}

// standing notes what is at the path now; its content is compared when it is
// taken away.
func (it *item) standing(w *tree) error {
	st, err := w.look(it.Path)
	if err != nil {
		return err
	}
	if st == nil {
		return &ConflictError{[]string{it.Path}}
	}
	it.before(st)
	return nil
}

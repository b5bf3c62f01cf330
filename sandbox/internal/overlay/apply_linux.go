package overlay

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// errTaken means that a path is not as the call saw it.
var errTaken = errors.New("changed meanwhile")

// place is the name of item i on the shelf.
func place(i int) string { return strconv.Itoa(i) }

// apply carries out item i. It either happens as a whole or, with an error, not
// at all; errTaken means that the workspace is not as the call saw it.
func apply(w *tree, s *shelf, i int, it *item) error {
	dir, base, err := w.parent(it.Path)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return errTaken
	}
	if err != nil {
		return err
	}
	switch it.Op {
	case Create:
		err := unix.Renameat2(s.fd, place(i), dir, base, unix.RENAME_NOREPLACE)
		if err == unix.EEXIST {
			return errTaken
		}
		return err
	case Replace:
		return replace(s, i, it, dir, base)
	case Remove:
		return takeAway(w, s, i, it, dir, base)
	case Chmod:
		return chmod(dir, base, it.PreIno, it.PreMode&0o7777, it.Mode)
	}
	return fmt.Errorf("unknown change %q", it.Op)
}

// replace exchanges and then looks at what came out: only so nobody can change
// it between the look and the exchange.
func replace(s *shelf, i int, it *item, dir int, base string) error {
	err := unix.Renameat2(s.fd, place(i), dir, base, unix.RENAME_EXCHANGE)
	if err == unix.ENOENT {
		return errTaken
	}
	if err != nil {
		return err
	}
	ok, err := asBefore(s.fd, place(i), it)
	if ok && err == nil {
		return nil
	}
	if back := unix.Renameat2(s.fd, place(i), dir, base, unix.RENAME_EXCHANGE); back != nil {
		return errors.Join(err, back)
	}
	if err != nil {
		return err
	}
	return errTaken
}

func takeAway(w *tree, s *shelf, i int, it *item, dir int, base string) error {
	err := unix.Renameat2(dir, base, s.fd, place(i), unix.RENAME_NOREPLACE)
	if err == unix.ENOENT {
		return errTaken
	}
	if err != nil {
		return err
	}
	if it.Type == Dir {
		w.forget() // it may be the one that is remembered
	}
	ok, err := asBefore(s.fd, place(i), it)
	if ok && err == nil {
		return nil
	}
	if back := unix.Renameat2(s.fd, place(i), dir, base, unix.RENAME_NOREPLACE); back != nil {
		return errors.Join(err, back)
	}
	if err != nil {
		return err
	}
	return errTaken
}

// asBefore reports whether an entry is what stood at the item's path when the
// call began.
func asBefore(dir int, name string, it *item) (bool, error) {
	st, err := lstat(dir, name)
	if err != nil || st == nil {
		return false, err
	}
	if st.Ino != it.PreIno || typeOf(st.Mode) != it.PreType {
		return false, nil
	}
	switch it.PreType {
	case Dir:
		return empty(dir, name)
	case Other:
		return true, nil
	}
	if it.PreType == File && st.Size != it.PreSize {
		return false, nil
	}
	sum, _, err := digest(context.Background(), dir, name, st, false)
	if err == errGrows {
		return false, nil
	}
	return sum == it.Pre, err
}

func empty(dir int, name string) (bool, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	names, err := entryNames(fd)
	return len(names) == 0, err
}

// chmod changes the mode of a directory that has the given inode and mode.
func chmod(dir int, base string, ino uint64, from, to uint32) error {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return errTaken
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Ino != ino || st.Mode&0o7777 != from {
		return errTaken
	}
	return unix.Fchmod(fd, to|from&0o7000)
}

// revert takes item i back if it was carried out, which it finds out from what
// stands where. It may be called any number of times. It returns false if
// somebody else has changed the path since: that is left alone, and what the
// path held before stays on the shelf.
func revert(w *tree, s *shelf, i int, it *item) (bool, error) {
	dir, base, err := w.parent(it.Path)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		on, err := lstat(s.fd, place(i))
		return it.Op == Create || it.Op == Remove && on == nil || it.Op == Replace && on != nil && on.Ino == it.Staged, err
	}
	if err != nil {
		return false, err
	}
	at, err := lstat(dir, base)
	if err != nil {
		return false, err
	}
	on, err := lstat(s.fd, place(i))
	if err != nil {
		return false, err
	}
	switch it.Op {
	case Create:
		if on != nil || at == nil || at.Ino != it.Staged {
			return true, nil // not carried out, or gone again
		}
		return uncreate(w, s, i, it, dir, base, at)
	case Replace:
		if on == nil || on.Ino == it.Staged {
			return true, nil // not carried out
		}
		if at == nil || at.Ino != it.Staged || !ours(dir, base, at, it) {
			return false, nil
		}
		return true, unix.Renameat2(s.fd, place(i), dir, base, unix.RENAME_EXCHANGE)
	case Remove:
		if on == nil {
			return true, nil
		}
		err := unix.Renameat2(s.fd, place(i), dir, base, unix.RENAME_NOREPLACE)
		if err == unix.EEXIST {
			return false, nil
		}
		return true, err
	case Chmod:
		if at == nil || at.Ino != it.PreIno || at.Mode&0o777 != it.Mode {
			return true, nil
		}
		return true, chmod(dir, base, it.PreIno, at.Mode&0o7777, it.PreMode&0o7777)
	}
	return false, fmt.Errorf("unknown change %q", it.Op)
}

// ours reports whether an entry still is what the commit put there.
func ours(dir int, base string, st *unix.Stat_t, it *item) bool {
	if it.Type == Dir {
		return true
	}
	if it.Type == File && st.Size != it.Size {
		return false
	}
	sum, _, err := digest(context.Background(), dir, base, st, false)
	return err == nil && sum == it.Post
}

// uncreate puts what was created back on the shelf.
func uncreate(w *tree, s *shelf, i int, it *item, dir int, base string, at *unix.Stat_t) (bool, error) {
	if !ours(dir, base, at, it) {
		return false, nil
	}
	if err := unix.Renameat2(dir, base, s.fd, place(i), unix.RENAME_NOREPLACE); err != nil {
		return false, err
	}
	if it.Type != Dir {
		return true, nil
	}
	w.forget()
	if ok, err := empty(s.fd, place(i)); ok || err != nil {
		return ok, err
	}
	// somebody put something into it: it is theirs now
	return false, unix.Renameat2(s.fd, place(i), dir, base, unix.RENAME_NOREPLACE)
}

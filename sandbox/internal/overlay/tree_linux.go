package overlay

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Target is the workspace that a commit changes.
type Target struct {
	Dir      string // absolute host path, free of symbolic links
	Dev, Ino uint64 // as approved; Dev is major<<32 | minor
	// Own says that the owner of Dir is to own what is made, which only root
	// can arrange.
	Own bool
}

// tree is an open workspace. Paths in it are resolved beneath it, without
// following any link.
type tree struct {
	fd      int
	dev     uint64
	uid     int
	gid     int
	lastDir string
	lastFD  int
}

// errElsewhere means that what bears a workspace's name is not that workspace.
var errElsewhere = errors.New("another directory than the one the call worked on")

// again returns t with the device that its file system has now, if the directory
// seems to be the same: some have another one after each start of the machine.
func (t Target) again() Target {
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, t.Dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &st) == nil && st.Ino == t.Ino {
		t.Dev = uint64(st.Dev_major)<<32 | uint64(st.Dev_minor)
	}
	return t
}

func openTree(t Target) (*tree, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, t.Dir, &how)
	if err != nil {
		return nil, fmt.Errorf("open workspace %s: %w", t.Dir, err)
	}
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("examine workspace: %w", err)
	}
	dev := uint64(st.Dev_major)<<32 | uint64(st.Dev_minor)
	if dev != t.Dev || st.Ino != t.Ino {
		unix.Close(fd)
		return nil, fmt.Errorf("open workspace: %s is %w", t.Dir, errElsewhere)
	}
	w := &tree{fd: fd, dev: dev, uid: -1, gid: -1, lastFD: -1}
	if t.Own {
		w.uid, w.gid = int(st.Uid), int(st.Gid)
	}
	return w, nil
}

func (w *tree) close() {
	w.forget()
	unix.Close(w.fd)
}

func (w *tree) forget() {
	if w.lastFD >= 0 {
		unix.Close(w.lastFD)
	}
	w.lastDir, w.lastFD = "", -1
}

// parent opens the directory of a path. The descriptor is the tree's.
func (w *tree) parent(p string) (int, string, error) {
	dir, base := path.Split(p)
	if dir == "" {
		return w.fd, base, nil
	}
	if dir == w.lastDir && w.lastFD >= 0 {
		return w.lastFD, base, nil
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV}
	fd, err := unix.Openat2(w.fd, dir, &how)
	if err != nil {
		return -1, "", err
	}
	w.forget()
	w.lastDir, w.lastFD = dir, fd
	return fd, base, nil
}

// look is lstat of a path of the workspace; nil if nothing stands there.
func (w *tree) look(p string) (*unix.Stat_t, error) {
	dir, base, err := w.parent(p)
	if err == unix.ENOENT || err == unix.ENOTDIR || err == unix.ELOOP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return lstat(dir, base)
}

// open opens a file of the workspace for reading.
func (w *tree) open(p string) (*os.File, error) {
	dir, base, err := w.parent(p)
	if err != nil {
		return nil, err
	}
	return openFile(dir, base, 0, false)
}

// shelf is the directory in the workspace where a commit prepares what it will
// put in place, and where what it takes away comes to lie.
type shelf struct {
	fd   int
	name string
	ino  uint64
}

func (w *tree) makeShelf(id string) (*shelf, error) {
	name := stagePrefix + id
	if err := unix.Mkdirat(w.fd, name, 0o700); err != nil {
		return nil, fmt.Errorf("prepare in the workspace: %w", err)
	}
	return w.openShelf(name, 0)
}

// openShelf opens a shelf by name; ino, if not 0, must be its inode.
func (w *tree) openShelf(name string, ino uint64) (*shelf, error) {
	fd, err := unix.Openat(w.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if ino != 0 && st.Ino != ino {
		unix.Close(fd)
		return nil, fmt.Errorf("%q is another directory than the one that was made", name)
	}
	return &shelf{fd, name, st.Ino}, nil
}

func (s *shelf) close() { unix.Close(s.fd) }

// drop removes the shelf with what lies on it. What lies there is flat: files,
// links and empty directories.
func (w *tree) drop(s *shelf) error {
	names, err := entryNames(s.fd)
	if err != nil {
		return err
	}
	for _, n := range names {
		err := unix.Unlinkat(s.fd, n, 0)
		if err == unix.EISDIR || err == unix.EPERM {
			err = unix.Unlinkat(s.fd, n, unix.AT_REMOVEDIR)
		}
		if err != nil && err != unix.ENOENT {
			return err
		}
	}
	return unix.Unlinkat(w.fd, s.name, unix.AT_REMOVEDIR)
}

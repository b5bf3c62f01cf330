//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"golang.org/x/sys/unix"
)

// sharedState is where state directories lie that have no home to lie in.
const sharedState = "/var/tmp"

// stateHome returns where the journals of this user's commits lie: as it is
// configured, which must be a place that can be trusted, else in the first of
// stateHomes that this user can write. others are directories that were used when
// the environment was another; what is left there counts too.
func stateHome(c Config, uid int, top string) (dir string, others []string, err error) {
	if c.StateDir != "" {
		dir, err = filepath.Abs(c.StateDir)
		if err == nil && !trusted(filepath.Dir(dir), uid) {
			err = fmt.Errorf("others than this user and root could put another directory in the place of %s, or a link on the way to it is theirs", dir)
		}
		return dir, nil, err
	}
	list, err := stateHomes(uid, top)
	if err != nil {
		return "", nil, err
	}
	list = slices.DeleteFunc(list, func(d string) bool { return !writable(d) })
	if len(list) == 0 {
		return "", nil, fmt.Errorf("nowhere to keep commits: below XDG_STATE_HOME, HOME and %s this user cannot write, or others could replace what is written", top)
	}
	for _, d := range list[1:] {
		if ownedAlone(d, uid) && d != list[0] {
			others = append(others, d)
		}
	}
	return list[0], others, nil
}

// stateHomes lists where state directories of this user may lie, the best first:
// below XDG_STATE_HOME, below HOME, and below top, which everybody may write.
// Where others could replace what is there is no place for one.
func stateHomes(uid int, top string) ([]string, error) {
	var list []string
	if x := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(x) {
		list = append(list, filepath.Join(x, "holdfast", "sandbox"))
	}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) && exists(home) {
		list = append(list, filepath.Join(home, ".local", "state", "holdfast", "sandbox"))
	}
	list = slices.DeleteFunc(list, func(d string) bool { return !trusted(filepath.Dir(d), uid) })
	if st, err := os.Stat(top); err != nil || st.Mode().Perm()&0o022 != 0 && st.Mode()&os.ModeSticky == 0 {
		return list, nil
	}
	shared, err := sharedHomes(top, uid)
	return append(list, shared...), err
}

// writable reports whether this user can write d, or make it.
func writable(d string) bool {
	for {
		err := unix.Access(d, unix.W_OK|unix.X_OK)
		if err != unix.ENOENT || d == "/" {
			return err == nil
		}
		d = filepath.Dir(d)
	}
}

// unsetStates locates the directories that runners of this user take to whose
// configuration names none. No cell of any runner may see or change what lies in
// them, whether it opens them or not.
func unsetStates(uid int, top string) ([]stateDir, error) {
	dirs, err := stateHomes(uid, top)
	if err != nil {
		return nil, err
	}
	var list []stateDir
	for _, d := range dirs {
		if !ownedAlone(d, uid) {
			continue // none yet, or none that would be used
		}
		s, err := locateState(d)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// anyName ends a path whose last part is still to be made up.
const anyName = "-*"

// settle makes the directory that stateHomes lists below top, if dir is that. A
// name that another user takes at this very moment stops nobody either: then
// there is one that could not be foreseen.
func settle(dir, top string, uid int) (string, error) {
	if filepath.Dir(dir) != top || ownedAlone(dir, uid) {
		return dir, nil
	}
	plain := strings.TrimSuffix(dir, anyName)
	if os.Mkdir(plain, 0o700) == nil || ownedAlone(plain, uid) {
		return plain, nil
	}
	d, err := os.MkdirTemp(top, filepath.Base(plain)+anyName)
	if err != nil {
		return "", fmt.Errorf("make state directory: %w", err)
	}
	return d, nil
}

// sharedHomes lists this user's directories below a directory that everybody may
// write, the one to use first. Another user may have taken the plain name, which
// must stop nobody: then there is one with a name that could not be foreseen.
func sharedHomes(top string, uid int) ([]string, error) {
	plain := filepath.Join(top, fmt.Sprintf("holdfast-%d", uid))
	list, err := filepath.Glob(plain + anyName)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(append([]string{plain}, list...), func(d string) bool { return !ownedAlone(d, uid) })
	if len(list) > 0 {
		return list, nil
	}
	if _, err := os.Lstat(plain); errors.Is(err, fs.ErrNotExist) {
		return []string{plain}, nil
	}
	return []string{plain + anyName}, nil
}

// stateLayer tells where journals would lie, and what lies there.
func stateLayer(c Config, uid int) Layer {
	l := Layer{Name: "state directory", State: Missing, Lost: "every profile", Fix: stateHint}
	dir, others, err := stateHome(c, uid, sharedState)
	if err != nil {
		l.Evidence = err.Error()
		return l
	}
	if l.Evidence = dir; !exists(dir) {
		l.Evidence += ", to be made by the first call"
	} else if !ownedAlone(dir, uid) {
		l.Evidence += " does not belong to this user alone"
		return l
	}
	commits, bytes, open := 0, int64(0), 0
	for _, d := range append([]string{dir}, others...) {
		n, b, o := overlay.Kept(d)
		commits, bytes, open = commits+n, bytes+b, open+o
	}
	l.State, l.Lost, l.Fix = Ready, "", ""
	l.Evidence += fmt.Sprintf("; %d commits can be undone, with %d of %d MiB", commits, bytes>>20, c.undoBytes()>>20)
	if open > 0 {
		l.Evidence += fmt.Sprintf("; %d begun and to be settled by the next call", open)
	}
	return l
}

// ownedAlone reports whether d is a directory of this user that is closed to
// everybody else.
func ownedAlone(d string, uid int) bool {
	var st unix.Stat_t
	return unix.Lstat(d, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == uid && st.Mode&0o077 == 0
}

// trusted reports whether nobody but this user and root can change what a path
// names, as far as it exists: each directory on the way, that of each link and the
// link itself belong to one of them, and where others may write, they cannot move
// what is not theirs.
func trusted(p string, uid int) bool {
	cur, links := "/", 0
	for todo := strings.Split(p, "/"); ; {
		var st unix.Stat_t
		if unix.Lstat(cur, &st) != nil || !oursAlone(&st, uid) {
			return false
		}
		for len(todo) > 0 && (todo[0] == "" || todo[0] == ".") {
			todo = todo[1:]
		}
		if len(todo) == 0 {
			return true
		}
		next := filepath.Join(cur, todo[0]) // cur holds no link
		todo = todo[1:]
		err := unix.Lstat(next, &st)
		switch {
		case err == unix.ENOENT:
			return true
		case err != nil:
			return false
		case st.Mode&unix.S_IFMT != unix.S_IFLNK:
			cur = next
			continue
		}
		to, err := os.Readlink(next)
		if links++; err != nil || links > 40 || st.Uid != 0 && int(st.Uid) != uid {
			return false
		}
		if filepath.IsAbs(to) {
			cur = "/"
		}
		todo = append(strings.Split(to, "/"), todo...)
	}
}

// oursAlone reports whether a directory is this user's or root's, and others
// cannot replace what lies in it.
func oursAlone(st *unix.Stat_t, uid int) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && (st.Uid == 0 || int(st.Uid) == uid) && (st.Mode&0o022 == 0 || st.Mode&unix.S_ISVTX != 0)
}

// stateDir is where a store lies, as sources of cells are compared with it. A
// cell that saw it could read what other workspaces held, and one that changed
// it could have anything undone. The zero stateDir is in no source.
type stateDir struct {
	path  string
	above []fileID // of the directory and of each above it
}

// fileID is a file of this machine, by whatever name.
type fileID struct{ dev, ino uint64 }

func locateState(dir string) (stateDir, error) {
	p, err := filepath.EvalSymlinks(dir)
	if err == nil {
		p, err = filepath.Abs(p)
	}
	if err != nil {
		return stateDir{}, fmt.Errorf("locate state directory: %w", err)
	}
	s := stateDir{path: p}
	for {
		var st unix.Statx_t
		if err := unix.Statx(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &st); err != nil {
			return stateDir{}, fmt.Errorf("locate state directory: examine %s: %w", p, err)
		}
		s.above = append(s.above, fileID{uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), st.Ino})
		if p == "/" {
			return s, nil
		}
		p = filepath.Dir(p)
	}
}

// check refuses a source that holds the state directory or lies in it, or that
// something is mounted below of which the same is true.
func (s stateDir) check(t *mountTable, p string, src Source, field string) error {
	if s.path == "" {
		return nil
	}
	hit := within(p, s.path) || slices.Contains(s.above, fileID{src.Dev, src.Ino})
	if !hit {
		mine, err := t.locate(s.path)
		if err != nil {
			return fmt.Errorf("locate state directory: %w", err)
		}
		at, err := t.locate(p)
		if err != nil {
			return fmt.Errorf("locate %s: %w", p, err)
		}
		hit = at.meets(mine) || slices.ContainsFunc(t.mounts, func(m hostMount) bool {
			return m.point != p && within(m.point, p) && m.shown().meets(mine)
		})
	}
	if hit {
		return &SpecError{field, fmt.Sprintf("%s holds the state directory of the sandbox, %s, or lies in it", p, s.path)}
	}
	return nil
}

// onDisk is a directory of a file system, wherever that is mounted.
type onDisk struct{ fs, path string }

// meets reports whether one of two directories lies in the other.
func (a onDisk) meets(b onDisk) bool {
	return a.fs == b.fs && (within(a.path, b.path) || within(b.path, a.path))
}

// shown is what a mount shows.
func (m hostMount) shown() onDisk { return onDisk{m.fs, m.root} }

// locate says where on which file system a path lies that holds no link.
func (t *mountTable) locate(p string) (onDisk, error) {
	fd, err := openPath(p)
	if err != nil {
		return onDisk{}, err
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return onDisk{}, err
	}
	i := slices.IndexFunc(t.mounts, func(m hostMount) bool { return m.id == st.Mnt_id })
	if i < 0 || !within(p, t.mounts[i].point) {
		return onDisk{}, errors.New("its mount is not in the mount table")
	}
	m := t.mounts[i]
	return onDisk{m.fs, filepath.Join(m.root, strings.TrimPrefix(p, strings.TrimSuffix(m.point, "/")))}, nil
}

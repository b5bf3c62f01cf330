//go:build linux && (amd64 || arm64)

package verify

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// folderPrefix begins the names of the directories in which rows are tried.
const folderPrefix = "holdfast-verify-"

// folder makes a directory for one row. It is locked until remove is called or the process
// dies, however it does.
func folder() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", folderPrefix)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", nil, err
	}
	fd, err := lock(dir)
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir); unix.Close(fd) }, nil
}

// lock takes the lock of a directory that is not held, without following a link to it.
func lock(dir string) (fd int, err error) {
	fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return -1, &os.PathError{Op: "lock", Path: dir, Err: err}
	}
	return fd, nil
}

// young is how old a directory must be before it counts as left behind: between its making
// and its locking it looks so.
const young = time.Minute

// sweep removes what processes of this user left behind that died while they tried a row.
func sweep() {
	found, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*"))
	for _, dir := range found {
		var st unix.Stat_t
		if unix.Lstat(dir, &st) != nil || int(st.Uid) != os.Getuid() || time.Since(time.Unix(st.Mtim.Unix())) < young {
			continue
		}
		if fd, err := lock(dir); err == nil {
			os.RemoveAll(dir)
			unix.Close(fd)
		}
	}
}

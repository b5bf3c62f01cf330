package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Filesystems whose locks and syncs SQLite's write-ahead log can rely on.
var localFS = map[int64]string{
	unix.EXT4_SUPER_MAGIC:  "ext4",
	unix.XFS_SUPER_MAGIC:   "xfs",
	unix.BTRFS_SUPER_MAGIC: "btrfs",
	unix.F2FS_SUPER_MAGIC:  "f2fs",
	0x2FC12FC1:             "zfs",
}

// Filesystems that are local but may not outlive a restart.
var volatileFS = map[int64]string{
	unix.TMPFS_MAGIC:           "tmpfs",
	unix.OVERLAYFS_SUPER_MAGIC: "overlayfs",
}

// prepareDir makes the ledger's directory if it may, and checks it. The warning is ""
// on a filesystem that keeps what it synced.
func prepareDir(dir string, create bool) (warning string, err error) {
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	if err := checkOwn(dir, true); err != nil {
		return "", err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", fmt.Errorf("statfs %s: %w", dir, err)
	}
	return checkFS(int64(st.Type))
}

func checkFS(magic int64) (warning string, err error) {
	if _, ok := localFS[magic]; ok {
		return "", nil
	}
	if name, ok := volatileFS[magic]; ok {
		return "the ledger lies on " + name + ", which may not survive a restart", nil
	}
	return "", fmt.Errorf("filesystem type %#x is not known to be a local one: %w", magic, errFS)
}

var errFS = errors.New("locks and syncs cannot be relied on")

// checkOwn refuses a directory or file that is a link, is not ours, or that others
// may read. It never opens the file: closing any descriptor of a database would
// drop the locks that this process holds on it.
func checkOwn(path string, dir bool) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	want, max := "a regular file", fs.FileMode(0o600)
	ok := fi.Mode().IsRegular()
	if dir {
		want, max, ok = "a directory", 0o700, fi.IsDir()
	}
	if !ok {
		return fmt.Errorf("%s is not %s: %w", path, want, errMode)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return fmt.Errorf("stat %s: %w", path, err)
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: %w", path, st.Uid, errMode)
	}
	if fi.Mode().Perm()&^max != 0 {
		return fmt.Errorf("%s has mode %#o, at most %#o is allowed: %w", path, fi.Mode().Perm(), max, errMode)
	}
	return nil
}

var errMode = errors.New("others could change or read the ledger")

// prepareFile creates the database file empty, or checks the one that is there along
// with its write-ahead log. Only the holder of the setup lock may call it with create.
func prepareFile(path string, create bool) error {
	err := checkOwn(path, false)
	if errors.Is(err, fs.ErrNotExist) && create {
		err = createFile(path)
	}
	if err != nil {
		return err
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := checkOwn(path+suffix, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func createFile(path string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &fs.PathError{Op: "create", Path: path, Err: err}
	}
	if err := errors.Join(unix.Fsync(fd), unix.Close(fd)); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package overlay

import (
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	maxEntries = 100_000
	opaqueAttr = "user.overlay.opaque"
)

// entryNames lists a directory, sorted.
func entryNames(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	names, err := f.Readdirnames(maxEntries + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(names) > maxEntries {
		return nil, ErrTooMany
	}
	slices.Sort(names)
	return names, nil
}

func typeOf(mode uint32) Type {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return File
	case unix.S_IFDIR:
		return Dir
	case unix.S_IFLNK:
		return Link
	}
	return Other
}

// lstat returns nil if there is nothing.
func lstat(dir int, name string) (*unix.Stat_t, error) {
	if dir < 0 {
		return nil, nil
	}
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil, nil
	}
	return &st, err
}

// enter opens a directory below dir; what the owner closed to itself is opened
// again, in the layer only.
func enter(dir int, name string, layer bool, mode uint32) (int, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	if layer && mode&0o700 != 0o700 {
		if err := unix.Fchmodat(dir, name, mode&0o777|0o700, 0); err != nil {
			return -1, err
		}
	}
	return unix.Openat(dir, name, flags, 0)
}

// whiteout reports whether an entry of the layer hides one below it.
func whiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

func opaque(dir int) bool {
	var b [1]byte
	n, err := unix.Fgetxattr(dir, opaqueAttr, b[:])
	return err == nil && n == 1 && b[0] == 'y'
}

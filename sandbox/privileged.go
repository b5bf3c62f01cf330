//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxScan bounds how many entries of a workspace are looked at before a call
// that may write. What lies beyond is recorded as not looked at.
const maxScan = 100_000

// errTooMany ends a scan at its bound.
var errTooMany = errors.New("too many entries")

// scan looks for set-user-id and set-group-id files that belong to somebody
// else than the cell. A cell that may write can change such a file through a
// shared mapping, which leaves the bit where it is: the next one to run it
// would run the cell's code with the owner's rights. A workspace of root that
// is shifted is the dangerous case, as all of root's files are writable there.
type scan struct {
	id      Identity
	left    int  // entries still to be looked at
	partial bool // whether some could not be
}

// workspace returns a *SpecError for the first such file below dir, and sets
// partial if it did not see everything.
func (s *scan) workspace(dir string) error {
	at, err := openPath(dir)
	if err != nil {
		return fmt.Errorf("look through the workspace: %w", err)
	}
	defer unix.Close(at)
	err = s.entries(at, ".", dir)
	if err == errTooMany {
		s.partial, err = true, nil
	}
	return err
}

// entries looks through one directory, named for messages by p. What vanishes
// meanwhile is no concern.
func (s *scan) entries(at int, name, p string) error {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		s.partial = s.partial || err != unix.ENOENT
		return nil
	}
	defer unix.Close(fd)
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil || n <= 0 {
			return nil
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if err := s.entry(fd, name, p+"/"+name); err != nil {
				return err
			}
		}
	}
}

func (s *scan) entry(at int, name, p string) error {
	if s.left--; s.left < 0 {
		return errTooMany
	}
	var st unix.Stat_t
	if unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return s.entries(at, name, p)
	case unix.S_IFREG:
		if st.Mode&unix.S_ISUID != 0 && int(st.Uid) != s.id.UID || st.Mode&unix.S_ISGID != 0 && int(st.Gid) != s.id.GID {
			return &SpecError{"Workspace.Dir", fmt.Sprintf("%q runs with the rights of user %d, group %d: "+
				"a workspace to write holds no set-user-id or set-group-id file of others", p, st.Uid, st.Gid)}
		}
	}
	return nil
}

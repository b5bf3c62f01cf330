package overlay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// errGrows means that a file is not as long as it was a moment ago.
var errGrows = errors.New("it changes while it is read")

// digest hashes the content of a file or the target of a link. layer says that
// a file which its owner closed to itself may be opened. No more is read of a
// file than st says that it holds; one that turns out longer or shorter is an
// error, as is the end of ctx.
func digest(ctx context.Context, dir int, name string, st *unix.Stat_t, layer bool) (sum, link string, err error) {
	switch typeOf(st.Mode) {
	case Link:
		link, err = readlink(dir, name)
		if err != nil {
			return "", "", err
		}
		h := sha256.Sum256([]byte(link))
		return hex.EncodeToString(h[:]), link, nil
	case File:
		f, err := openFile(dir, name, st.Mode, layer)
		if err != nil {
			return "", "", err
		}
		defer f.Close()
		h := sha256.New()
		if err := copyExactly(ctx, h, f, st.Size); err != nil {
			return "", "", err
		}
		return hex.EncodeToString(h.Sum(nil)), "", nil
	}
	return "", "", nil
}

// copyExactly copies a file of a known size, and hears ctx while it does.
func copyExactly(ctx context.Context, to io.Writer, from io.Reader, size int64) error {
	const piece = 1 << 20
	for size >= 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.Copy(to, io.LimitReader(from, min(piece, size+1)))
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		size -= n
	}
	if size != 0 {
		return errGrows
	}
	return nil
}

func openFile(dir int, name string, mode uint32, layer bool) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := unix.Openat(dir, name, flags, 0)
	if err == unix.EACCES && layer {
		if err = unix.Fchmodat(dir, name, mode&0o777|0o400, 0); err == nil {
			fd, err = unix.Openat(dir, name, flags, 0)
		}
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readMost reads so many bytes of a file, and one more if it is longer.
func readMost(dir int, name string, mode uint32, layer bool, most int64) ([]byte, error) {
	f, err := openFile(dir, name, mode, layer)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most+1))
}

func readlink(dir int, name string) (string, error) {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, b)
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// inspectGit returns why a file of git's is held back for what it says, or "".
func inspectGit(upper int, name string, st *unix.Stat_t, lower int, parts []string) (string, error) {
	if isIndex(parts) {
		return inspectIndex(upper, name, st, lower)
	}
	if parts[len(parts)-1] == packedRefs {
		if why, err := inspectPacked(upper, name, st, lower); err != nil || why != "" {
			return why, err
		}
	}
	if isRef(parts) { // which may well have that name
		return inspectRef(upper, name, st)
	}
	return "", nil
}

// inspectIndex returns why the index of a git repository is held back, or "". git
// is the repository as it is in the workspace, or -1.
func inspectIndex(dir int, name string, st *unix.Stat_t, git int) (string, error) {
	if short, err := shortNames(git); err != nil || !short {
		return "only an index with SHA-1 names can be looked through", err
	}
	b, err := readMost(dir, name, st.Mode, true, maxIndex)
	if err != nil {
		return "", err
	}
	if err = errors.New("it is too long to be looked at"); len(b) <= maxIndex {
		_, err = parseIndex(b)
	}
	if err != nil {
		return "git would act on it: " + err.Error(), nil
	}
	return "", nil
}

// inspectRef returns why a reference is held back, or "".
func inspectRef(dir int, name string, st *unix.Stat_t) (string, error) {
	b, err := readMost(dir, name, st.Mode, true, maxRef)
	if err != nil || !strayRef(string(b)) {
		return "", err
	}
	return "it points git at a file that is no reference", nil
}

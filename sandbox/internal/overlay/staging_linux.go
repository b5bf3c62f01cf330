package overlay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// stage puts on the shelf what will take the place of item i.
func (c *commit) stage(ctx context.Context, i int, it *item) error {
	if it.Op == Remove || it.Op == Chmod {
		return nil
	}
	name := place(i)
	var err error
	switch it.Type {
	case File:
		err = c.stageFile(ctx, i, it)
	case Link:
		err = unix.Symlinkat(it.Link, c.shelf.fd, name)
	case Dir:
		if err = unix.Mkdirat(c.shelf.fd, name, 0o700); err == nil {
			err = unix.Fchmodat(c.shelf.fd, name, it.Mode, 0)
		}
	default:
		err = errors.New("is neither a file, a folder nor a link")
	}
	if err != nil {
		return err
	}
	if uid, gid := c.owner(it); uid >= 0 && it.Type != File {
		if err := unix.Fchownat(c.shelf.fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	st, err := lstat(c.shelf.fd, name)
	if err != nil || st == nil {
		return errors.Join(err, errors.New("vanished while it was prepared"))
	}
	it.Staged = st.Ino
	return nil
}

// owner is who shall own an item: the owner of the workspace, with the group of
// what it replaces; -1 if that is not for this process to choose. Whoever else
// owned what is replaced does not own what a call put there.
func (c *commit) owner(it *item) (uid, gid int) {
	if c.tree.uid < 0 {
		return -1, -1
	}
	if (it.Op == Replace || it.PreIno != 0) && int(it.PreUID) == c.tree.uid || c.forUndo {
		return int(it.PreUID), int(it.PreGID)
	}
	return c.tree.uid, c.tree.gid
}

// stageFile copies the content, which must be what was read before.
func (c *commit) stageFile(ctx context.Context, i int, it *item) error {
	from, err := c.content(i, it)
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := unix.Openat(c.shelf.fd, place(i), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(fd), it.Path)
	defer to.Close()
	h := sha256.New()
	if err := copyExactly(ctx, io.MultiWriter(to, h), from, it.Size); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != it.Post {
		return errGrows
	}
	if uid, gid := c.owner(it); uid >= 0 {
		if err := unix.Fchown(fd, uid, gid); err != nil {
			return err
		}
	}
	if it.Op == Replace {
		c.copyAttributes(it, fd)
	}
	if err := unix.Fchmod(fd, it.Mode); err != nil {
		return err
	}
	if it.modified.Sec != 0 || it.modified.Nsec != 0 {
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, it.modified}
		if err := unix.UtimesNanoAt(c.shelf.fd, place(i), times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if c.many() {
		return nil // all of them are, at once, when the last one is staged
	}
	return to.Sync()
}

// many reports whether it is cheaper to have the whole file system written out
// than each file by itself.
func (c *commit) many() bool { return len(c.journal.Items) > 32 }

// copyAttributes gives the new content the extended attributes of the file it
// replaces, access lists and labels among them, as far as this process may.
// Those of the layer are the cell's and are not taken over, nor are
// capabilities, which belong to the old content.
func (c *commit) copyAttributes(it *item, to int) {
	f, err := c.tree.open(it.Path)
	if err != nil {
		return
	}
	defer f.Close()
	from := int(f.Fd())
	names := make([]byte, 16<<10)
	n, err := unix.Flistxattr(from, names)
	if err != nil || n <= 0 {
		return
	}
	value := make([]byte, 64<<10)
	for name := range bytes.SplitSeq(names[:n], []byte{0}) {
		k := string(name)
		if k == "" || k == "security.capability" || strings.HasPrefix(k, "trusted.") || strings.Contains(k, "overlay.") {
			continue
		}
		if n, err := unix.Fgetxattr(from, k, value); err == nil {
			_ = unix.Fsetxattr(to, k, value[:n], 0)
		}
	}
}

// keep copies what an item takes away into the store, for an undo.
func (c *commit) keep(ctx context.Context, it *item) error {
	if c.forUndo || it.PreType != File || it.Op == Chmod {
		return nil
	}
	f, err := c.tree.open(it.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	dir := filepath.Join(c.dir, "pre")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	to, err := os.OpenFile(filepath.Join(dir, it.Pre), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = copyExactly(ctx, to, f, it.PreSize)
	it.Kept = true
	return errors.Join(err, to.Close())
}

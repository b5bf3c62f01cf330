package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrExists means that the store already has a model of that name.
var ErrExists = errors.New("there is already a model of that name")

// The store is two folders: files named by the SHA-256 of their content, and names, each
// a small file with the digest it stands for. A name appears last and goes first, so that
// whenever the program stops there is no name without its file.
const (
	blobsDir = "blobs"
	namesDir = "names"
	pending  = ".import-"
)

func (s Store) blob(digest string) string { return filepath.Join(s.Dir, blobsDir, "sha256-"+digest) }

func (s Store) nameFile(name string) string { return filepath.Join(s.Dir, namesDir, name) }

// named reads a name of the store.
func (s Store) named(name string) (Location, bool) {
	if s.checkName(name) != nil {
		return Location{}, false
	}
	f, _, err := open(s.nameFile(name))
	if err != nil {
		return Location{}, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return Location{}, false
	}
	digest, ok := strings.CutPrefix(strings.TrimSuffix(string(b), "\n"), "sha256:")
	if !ok || !isDigest(digest) || !regular(s.blob(digest)) {
		return Location{}, false
	}
	return Location{Name: name, Path: s.blob(digest), Digest: digest}, true
}

// isDigest reports whether s is a SHA-256 in lower-case hex.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}

// Import copies a model into the store under a name, by default its own, and returns
// where it is and its SHA-256 in hex. from is a path or ollama:NAME. The copy is inspected,
// not the original, and takes its name only when it is whole and on disk; a name that is
// there already is never replaced. Two names for the same content share one file. want,
// unless "", is the digest it must have. progress is as in
// File.Sum.
func (s Store) Import(ctx context.Context, from, name, want string, progress func(done, total int64)) (Location, string, error) {
	op := "import model " + quote(from)
	src, err := s.source(from)
	if err != nil {
		return Location{}, "", err
	}
	defer src.Close()
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(src.Name), suffix)
	}
	if err := s.checkName(name); err != nil {
		return Location{}, "", &Error{Op: op, Hint: "give it a name of letters, digits and . _ + : -", Err: err}
	}
	if _, err := os.Lstat(s.nameFile(name)); err == nil || regular(filepath.Join(s.Dir, name+suffix)) {
		return Location{}, "", &Error{Op: op, Hint: "give it another name, or remove the old one", Err: ErrExists}
	}
	digest, err := s.take(ctx, src, name, want, progress)
	if errors.Is(err, ErrExists) {
		return Location{}, "", &Error{Op: op, Hint: "give it another name, or remove the old one", Err: err}
	}
	if errors.Is(err, ErrFormat) {
		return Location{}, "", &Error{Op: op, Hint: formatHint, Err: err}
	}
	if err != nil {
		return Location{}, "", &Error{Op: op, Err: cause(err)}
	}
	return Location{Name: name, Path: s.blob(digest), Digest: digest}, digest, nil
}

// source opens what is to be imported.
func (s Store) source(from string) (*File, error) {
	if strings.HasPrefix(from, ollamaPrefix) {
		l, err := s.Find(from)
		if err != nil {
			return nil, err
		}
		return l.Open()
	}
	return Location{Name: filepath.Base(from), Path: from}.Open()
}

// take copies src and publishes the copy.
func (s Store) take(ctx context.Context, src *File, name, want string, progress func(done, total int64)) (string, error) {
	for _, d := range []string{blobsDir, namesDir} {
		if err := os.MkdirAll(filepath.Join(s.Dir, d), 0o755); err != nil {
			return "", err
		}
	}
	tmp, err := os.CreateTemp(filepath.Join(s.Dir, blobsDir), pending+"*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if err := syscall.Flock(int(tmp.Fd()), syscall.LOCK_EX); err != nil { // marks it as being written, see sweep
		return "", err
	}
	digest, err := fill(ctx, tmp, src, progress)
	if err != nil {
		return "", err
	}
	for _, w := range []string{src.Digest, strings.ToLower(strings.TrimPrefix(want, "sha256:"))} {
		if w != "" && digest != w {
			return "", fmt.Errorf("%w: want %s, got %s", ErrDigest, quote(w), digest)
		}
	}
	unlock, err := s.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := s.publish(tmp.Name(), digest, name); err != nil {
		return "", errors.Join(err, s.sweep())
	}
	return digest, nil
}

// fill copies src to tmp, inspects the copy and puts it on disk.
func fill(ctx context.Context, tmp *os.File, src *File, progress func(done, total int64)) (string, error) {
	h := sha256.New()
	n, err := copyTo(ctx, io.MultiWriter(tmp, h), io.NewSectionReader(src.data, 0, src.Size), src.Size, progress)
	if err != nil {
		return "", err
	}
	if _, err := Inspect(tmp, n); err != nil {
		return "", err
	}
	if err := errors.Join(tmp.Chmod(0o444), tmp.Sync()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// publish gives a file its digest, then the name. A file of that digest which is there
// already is replaced: it may have been damaged.
func (s Store) publish(tmp, digest, name string) error {
	if err := os.Rename(tmp, s.blob(digest)); err != nil {
		return err
	}
	if err := syncDir(filepath.Join(s.Dir, blobsDir)); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Join(s.Dir, namesDir), pending+"*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString("sha256:" + digest + "\n")
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), s.nameFile(name)); errors.Is(err, fs.ErrExist) {
		return ErrExists
	} else if err != nil {
		return err
	}
	return syncDir(filepath.Join(s.Dir, namesDir))
}

// lock holds the store for one change of its names. The lock ends with the process.
func (s Store) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(s.Dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

// copyTo copies until the end of src, telling progress and watching ctx.
func copyTo(ctx context.Context, dst io.Writer, src io.Reader, total int64, progress func(done, total int64)) (int64, error) {
	buf := make([]byte, 1<<20)
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		n, err := src.Read(buf)
		if _, werr := dst.Write(buf[:n]); werr != nil {
			return done, werr
		}
		done += int64(n)
		if n > 0 && progress != nil {
			progress(done, total)
		}
		if err == io.EOF {
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
}

// Remove takes a name out of the store, and its file where no other name stands for it.
func (s Store) Remove(name string) error {
	op := "remove model " + quote(name)
	name = strings.TrimSuffix(name, suffix)
	if s.checkName(name) != nil {
		return &Error{Op: op, Hint: "only models of the store can be removed", Err: ErrNotFound}
	}
	err := os.Remove(filepath.Join(s.Dir, name+suffix)) // put there by hand
	if errors.Is(err, fs.ErrNotExist) {
		err = s.drop(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: op, Hint: notFoundHint, Err: ErrNotFound}
	}
	if err != nil {
		return &Error{Op: op, Err: cause(err)}
	}
	return nil
}

func (s Store) drop(name string) error {
	if _, err := os.Lstat(s.nameFile(name)); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(s.nameFile(name)); err != nil {
		return err
	}
	if err := syncDir(filepath.Join(s.Dir, namesDir)); err != nil {
		return err
	}
	return s.sweep()
}

// sweep removes files that no name stands for, and what interrupted imports left. The
// store is locked. A name that cannot be read keeps every file.
func (s Store) sweep() error {
	names, err := os.ReadDir(filepath.Join(s.Dir, namesDir))
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), pending) {
			continue
		}
		b, err := os.ReadFile(s.nameFile(n.Name()))
		digest, ok := strings.CutPrefix(strings.TrimSuffix(string(b), "\n"), "sha256:")
		if err != nil || !ok {
			return nil
		}
		kept["sha256-"+digest] = true
	}
	blobs, err := os.ReadDir(filepath.Join(s.Dir, blobsDir))
	if err != nil {
		return err
	}
	for _, b := range blobs {
		path := filepath.Join(s.Dir, blobsDir, b.Name())
		switch {
		case strings.HasPrefix(b.Name(), pending) && !abandoned(path), kept[b.Name()]:
			continue
		case strings.HasPrefix(b.Name(), "sha256-"), strings.HasPrefix(b.Name(), pending):
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// abandoned reports whether nobody writes a copy any more.
func abandoned(path string) bool {
	f, _, err := open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// checkName reports whether a model of the store may have this name: letters,
// digits and . _ + : -, not beginning with a dot.
func (s Store) checkName(name string) error {
	if s.Dir == "" {
		return errors.New("there is no store: neither HOME nor XDG_DATA_HOME is set")
	}
	for i, c := range name {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._+:-", c)
		if !plain || i == 0 && (c == '.' || c == '-') {
			return fmt.Errorf("%s %w", quote(name), ErrName)
		}
	}
	if name == "" || name == ReferenceName || len(name) > 200 || strings.HasPrefix(name, ollamaPrefix) || strings.HasPrefix(name, "openai:") {
		return fmt.Errorf("%s %w", quote(name), ErrName)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return &Error{Op: "sync " + quotePath(dir), Err: cause(err)}
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return &Error{Op: "sync " + quotePath(dir), Err: cause(err)}
	}
	return nil
}

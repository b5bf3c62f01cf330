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
)

// ErrExists means that the store already has a model of that name.
var ErrExists = errors.New("there is already a model of that name")

// Import copies a model file into the store under a name, by default its file name,
// and returns where it is and its SHA-256 in hex. The copy is inspected, not the
// original, and takes its name only when it is whole and on disk; a model that is
// there already is never replaced. want, unless "", is the digest it must have.
// progress is as in Digest.
func (s Store) Import(ctx context.Context, file, name, want string, progress func(done, total int64)) (Location, string, error) {
	op := "import model " + quotePath(file)
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(file), suffix)
	}
	if err := s.checkName(name); err != nil {
		return Location{}, "", &Error{Op: op, Hint: "give it another name", Err: err}
	}
	src, size, err := open(file)
	if err != nil {
		return Location{}, "", err
	}
	defer src.Close()
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return Location{}, "", &Error{Op: op, Err: cause(err)}
	}
	tmp, err := os.CreateTemp(s.Dir, ".import-*")
	if err != nil {
		return Location{}, "", &Error{Op: op, Err: cause(err)}
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	digest, err := s.fill(ctx, tmp, src, size, progress)
	if err == nil && want != "" && digest != strings.ToLower(strings.TrimPrefix(want, "sha256:")) {
		err = fmt.Errorf("%w: want %s, got %s", ErrDigest, quote(want), digest)
	}
	if err != nil {
		return Location{}, "", &Error{Op: op, Err: cause(err)}
	}
	path := filepath.Join(s.Dir, name+suffix)
	if err := os.Link(tmp.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = ErrExists
		}
		return Location{}, "", &Error{Op: op, Hint: "give it another name, or remove the old one", Err: err}
	}
	return Location{Name: name, Path: path}, digest, syncDir(s.Dir)
}

// fill copies src to tmp, inspects the copy and puts it on disk.
func (s Store) fill(ctx context.Context, tmp, src *os.File, size int64, progress func(done, total int64)) (string, error) {
	h := sha256.New()
	n, err := copyTo(ctx, io.MultiWriter(tmp, h), src, size, progress)
	if err != nil {
		return "", err
	}
	if _, err := Inspect(tmp, n); err != nil {
		return "", err
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
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

// Remove deletes a model of the store, by name.
func (s Store) Remove(name string) error {
	op := "remove model " + quote(name)
	name = strings.TrimSuffix(name, suffix)
	if s.checkName(name) != nil {
		return &Error{Op: op, Hint: "only models of the store can be removed", Err: ErrNotFound}
	}
	err := os.Remove(filepath.Join(s.Dir, name+suffix))
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: op, Hint: notFoundHint, Err: ErrNotFound}
	}
	if err != nil {
		return &Error{Op: op, Err: cause(err)}
	}
	return nil
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
			return fmt.Errorf("%s cannot be the name of a model", quote(name))
		}
	}
	if name == "" || name == ReferenceName || len(name) > 200 {
		return fmt.Errorf("%s cannot be the name of a model", quote(name))
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

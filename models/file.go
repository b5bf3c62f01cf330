package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"syscall"
)

// File is a model that is open. It stays the same file whatever becomes of its name, so
// that what was checked is what is loaded. Its content can still be changed by whoever may
// write to it. Close it after the model was loaded.
type File struct {
	Location
	Size int64
	data io.ReaderAt
	f    *os.File // nil if embedded
}

// Open opens a model that Find found. A file of Ollama's is opened below its folder, where
// no link leads out.
func (l Location) Open() (*File, error) {
	if l.Embedded {
		b, err := Reference()
		if err != nil {
			return nil, err
		}
		return &File{Location: l, Size: int64(len(b)), data: bytes.NewReader(b)}, nil
	}
	if l.root == "" {
		f, size, err := open(l.Path)
		if err != nil {
			return nil, err
		}
		return &File{Location: l, Size: size, data: f, f: f}, nil
	}
	f, err := openBelow(l.root, l.rel)
	if err != nil {
		return nil, &Error{Op: "open model " + quotePath(l.Path), Hint: ollamaHint, Err: cause(err)}
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, &Error{Op: "open model " + quotePath(l.Path), Err: cause(err)}
	}
	return &File{Location: l, Size: st.Size(), data: f, f: f}, nil
}

// openBelow opens a regular file below a folder, without waiting for anything that is none.
func openBelow(dir, rel string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// shown is what errors call the model: a file that was named by its path by that, any
// other by its name.
func (f *File) shown() string {
	if f.Digest == "" && f.Path != "" {
		return quotePath(f.Path)
	}
	return quote(f.Name)
}

// Describe inspects the model. Errors are an *Error.
func (f *File) Describe() (Info, error) {
	info, err := Inspect(f.data, f.Size)
	if err != nil {
		return Info{}, &Error{Op: "read model " + f.shown(), Hint: formatHint, Err: err}
	}
	return info, nil
}

// Sum reads the whole model and returns its SHA-256 in hex. Where the model's name stands
// for a digest, another one is an *Error wrapping ErrDigest. progress, unless nil, is told
// after each piece how many bytes of how many are done. It stops with the context's error
// when ctx ends.
func (f *File) Sum(ctx context.Context, progress func(done, total int64)) (string, error) {
	h := sha256.New()
	if _, err := copyTo(ctx, h, io.NewSectionReader(f.data, 0, f.Size), f.Size, progress); err != nil {
		return "", &Error{Op: "read model " + f.shown(), Err: cause(err)}
	}
	got := hex.EncodeToString(h.Sum(nil))
	if f.Digest != "" && got != f.Digest {
		return got, &Error{Op: "verify model " + quote(f.Name), Hint: "the file was changed or damaged; get it again",
			Err: fmt.Errorf("%w: want %s, got %s", ErrDigest, f.Digest, got)}
	}
	return got, nil
}

// Image returns the embedded model's bytes, nil for a model that lies in a file.
func (f *File) Image() ([]byte, error) {
	if f.f != nil {
		return nil, nil
	}
	return Reference()
}

// LoadPath is a path by which this very file can be opened again while it is open: that of
// its descriptor where the system has such, else its own.
func (f *File) LoadPath() string {
	if f.f == nil {
		return ""
	}
	p := fmt.Sprintf("/proc/self/fd/%d", f.f.Fd())
	if st, err := os.Stat(p); err == nil {
		if own, err := f.f.Stat(); err == nil && os.SameFile(st, own) {
			return p
		}
	}
	return f.Path
}

// Close closes the file.
func (f *File) Close() error {
	if f.f == nil {
		return nil
	}
	return f.f.Close()
}

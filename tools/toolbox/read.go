package toolbox

import (
	"bytes"
	"io"
	"os"
	"syscall"
	"unicode/utf8"
)

// Read returns the text of a file of at most limit bytes; a limit of 0 or less is
// DefaultReadLimit. A text is UTF-8 without NUL. ok is false when the text is an
// error.
func Read(root *os.Root, name string, limit int64) (text string, ok bool) {
	rel, ok := inside(name)
	if !ok {
		return errOutside, false
	}
	if limit <= 0 {
		limit = DefaultReadLimit
	}
	f, err := open(root, rel)
	if err != nil {
		return explain(root, err, errRead), false
	}
	defer f.Close()
	b, why := content(root, f, limit)
	if why != "" {
		return why, false
	}
	return string(b), true
}

// open opens a file or directory for reading without ever waiting: a named pipe
// opens at once and is then refused as no regular file.
func open(root *os.Root, rel string) (*os.File, error) {
	return root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// content returns the text of an open file, or why it has none.
func content(root *os.Root, f *os.File, limit int64) (b []byte, why string) {
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, explain(root, err, errRead)
	case info.IsDir():
		return nil, errIsDir
	case !info.Mode().IsRegular():
		return nil, errNotText
	case info.Size() > limit:
		return nil, errTooLarge
	}
	b, err = io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, explain(root, err, errRead)
	case int64(len(b)) > limit:
		return nil, errTooLarge
	case bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b):
		return nil, errNotText
	}
	return b, ""
}

// Package toolbox holds the bodies of the built-in tools: pure functions over one
// directory, and a calculator. The text each returns is exactly what a model gets
// to see, in a run and in training data alike.
//
// Nothing here leaves the given root: paths are resolved by os.Root, which follows
// no link out of it. The package starts no process, opens no connection and keeps
// no state; its functions may be called at once from several goroutines.
package toolbox

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// Mount is where the workspace stands in a cell. A path below it is taken as a
// path of the workspace.
const Mount = "/work"

// DefaultReadLimit is the largest file that Read returns, in bytes, when it is
// given no other limit.
const DefaultReadLimit = 64 << 10

// The texts of failures. They hold nothing of the call's data.
const (
	errMissing   = "error: no such file"
	errIsDir     = "error: is a directory"
	errNotDir    = "error: not a directory"
	errNotText   = "error: not a text file"
	errTooLarge  = "error: file too large"
	errOutside   = "error: outside the workspace"
	errForbidden = "error: permission denied"
	errReadOnly  = "error: the workspace is read-only"
	errNoSpace   = "error: no space left"
	errNoQuery   = "error: nothing to search for"
	errRead      = "error: cannot be read"
	errWrite     = "error: cannot be written"
)

// inside returns the workspace-relative form of a path as a model gives it: "",
// ".", "x", "./x" and "/work/x" are all inside. ok is false for a path that
// leaves the workspace by its text alone.
func inside(name string) (rel string, ok bool) {
	switch {
	case name == Mount:
		name = "."
	case strings.HasPrefix(name, Mount+"/"):
		name = strings.TrimLeft(name[len(Mount):], "/")
	case strings.HasPrefix(name, "/"):
		return "", false
	}
	rel = path.Clean(name)
	if rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return rel, true
}

// explain returns the text for a file error, other for one that has no text of
// its own.
func explain(root *os.Root, err error, other string) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errMissing
	case errors.Is(err, syscall.ENOTDIR):
		return errNotDir
	case errors.Is(err, syscall.EISDIR):
		return errIsDir
	case errors.Is(err, syscall.EROFS):
		return errReadOnly
	case errors.Is(err, fs.ErrPermission):
		return errForbidden
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return errNoSpace
	case escapes(root, err):
		return errOutside
	}
	return other
}

// escapes reports whether err is how os.Root refuses to leave its directory. That
// error has no exported name, so it is compared with the one a certain escape gives.
func escapes(root *os.Root, err error) bool {
	_, sure := root.Lstat("..")
	var p *fs.PathError
	return errors.As(sure, &p) && errors.Is(err, p.Err)
}

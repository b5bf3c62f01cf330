package toolbox

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// Write makes a file hold exactly content, creating it and the directories above
// it as needed, and returns "wrote N bytes". A link is followed only inside the
// root. ok is false when the text is an error; the file may then be incomplete.
func Write(root *os.Root, name, content string) (text string, ok bool) {
	rel, ok := inside(name)
	if !ok {
		return errOutside, false
	}
	if rel == "." || strings.HasSuffix(name, "/") {
		return errIsDir, false
	}
	if dir := path.Dir(rel); dir != "." {
		err := root.MkdirAll(dir, 0o755)
		if errors.Is(err, fs.ErrExist) { // a file stands where a directory is needed
			return errNotDir, false
		}
		if err != nil {
			return explain(root, err, errWrite), false
		}
	}
	if why := put(root, rel, content); why != "" {
		return why, false
	}
	return "wrote " + strconv.Itoa(len(content)) + " bytes", true
}

// put writes a file, or says why it could not. The file is emptied only once it
// is known to be a regular one; a named pipe without a reader fails to open.
func put(root *os.Root, rel, content string) (why string) {
	f, err := root.OpenFile(rel, os.O_WRONLY|os.O_CREATE|syscall.O_NONBLOCK, 0o644)
	if err != nil {
		return explain(root, err, errWrite)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return explain(root, err, errWrite)
	}
	if !info.Mode().IsRegular() {
		return errWrite
	}
	if err := f.Truncate(0); err != nil {
		return explain(root, err, errWrite)
	}
	if _, err := f.WriteString(content); err != nil {
		return explain(root, err, errWrite)
	}
	if err := f.Close(); err != nil {
		return explain(root, err, errWrite)
	}
	return ""
}

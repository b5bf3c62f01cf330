package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// checkIndex returns an error if the index of a git repository is not one that
// git itself would have written. Git looks at the names in an index when it adds
// them but not when it reads them back: an index that names ".git/hooks/x" has
// git write a hook at the next checkout. The format is that of Git's
// Documentation/gitformat-index, versions 2 to 4, with SHA-1 names.
func checkIndex(b []byte) error {
	const header, sum = 12, 20
	if len(b) < header+sum || string(b[:4]) != "DIRC" {
		return errors.New("it is no index")
	}
	version, n := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if version < 2 || version > 4 {
		return errors.New("its version is unknown")
	}
	rest, last := b[header:len(b)-sum], ""
	for range n {
		name, after, err := indexEntry(rest, version, last)
		if err != nil {
			return err
		}
		if !trackable(name) {
			return errors.New("it names a path that git would not add")
		}
		rest, last = after, name
	}
	return checkExtensions(rest)
}

var errWrongLength = errors.New("the length of a name is wrong")

// indexEntry takes one entry off an index.
func indexEntry(b []byte, version uint32, last string) (name string, rest []byte, err error) {
	short := errors.New("its entries end early")
	const fixed = 40 + 20 // times, identity, mode, size, object
	if len(b) < fixed+2 {
		return "", nil, short
	}
	at, flags := fixed+2, binary.BigEndian.Uint16(b[fixed:])
	if flags&0x4000 != 0 {
		if at += 2; version < 3 || len(b) < at {
			return "", nil, short
		}
	}
	if version == 4 {
		drop, used := offset(b[at:])
		if used == 0 || drop > uint64(len(last)) {
			return "", nil, short
		}
		at += used
		end := bytes.IndexByte(b[at:], 0)
		if end < 0 {
			return "", nil, short
		}
		name = last[:uint64(len(last))-drop] + string(b[at:at+end])
		if size := int(flags & 0xfff); size != min(len(name), 0xfff) {
			return "", nil, errWrongLength // where git looks for the next entry
		}
		return name, b[at+end+1:], nil
	}
	end := bytes.IndexByte(b[at:], 0)
	if end < 0 {
		return "", nil, short
	}
	if size := int(flags & 0xfff); size != min(end, 0xfff) {
		return "", nil, errWrongLength
	}
	next := (at + end + 8) &^ 7
	if next > len(b) {
		return "", nil, short
	}
	return string(b[at : at+end]), b[next:], nil
}

// offset decodes the number of bytes that a name does not share with the one
// before it; used is 0 if there is none.
func offset(b []byte) (n uint64, used int) {
	for i, c := range b {
		if i > 0 {
			n++
		}
		if n = n<<7 | uint64(c&0x7f); n > 1<<32 {
			return 0, 0
		}
		if c&0x80 == 0 {
			return n, i + 1
		}
	}
	return 0, 0
}

// trackable reports whether git would add a path.
func trackable(p string) bool {
	return !slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool {
		return s == "" || s == "." || s == ".." || plain(s) == ".git" || strings.ContainsRune(s, '\\')
	})
}

// indexExtensions hold what git can compute again. Not among them are "link",
// which reads entries from another file, and "IEOT" with "EOIE", which tell git's
// threads where else in this file entries begin.
var indexExtensions = []string{"TREE", "REUC", "UNTR", "FSMN"}

func checkExtensions(b []byte) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return errors.New("its extensions end early")
		}
		size := binary.BigEndian.Uint32(b[4:])
		if !slices.Contains(indexExtensions, string(b[:4])) || uint64(size) > uint64(len(b)-8) {
			return errors.New("it has an extension that is not plain data")
		}
		b = b[8+size:]
	}
	return nil
}

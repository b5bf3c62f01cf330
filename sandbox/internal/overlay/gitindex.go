package overlay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// indexEntry is one entry of an index: what git takes a file of the working tree
// to be, as long as the file's stamps are these.
type indexEntry struct {
	name     string
	mode     uint32
	modified uint32 // seconds
	size     uint32
	object   [20]byte
	stage    uint16 // 0 but in a merge
	assumed  bool   // git does not look at the file at all
	skipped  bool   // git takes the file to be left out of the working tree
	intended bool   // it is to be added later
}

// indexFile is the index of a git repository.
type indexFile struct {
	entries    []indexEntry
	extensions map[string][]byte
}

// parseIndex returns an error if the index of a git repository is not one that
// git itself would have written. Git looks at the names in an index when it adds
// them but not when it reads them back: an index that names ".git/hooks/x" has
// git write a hook at the next checkout. The format is that of Git's
// Documentation/gitformat-index, versions 2 to 4, with SHA-1 names.
func parseIndex(b []byte) (*indexFile, error) {
	const header, sum = 12, 20
	if len(b) < header+sum || string(b[:4]) != "DIRC" {
		return nil, errors.New("it is no index")
	}
	version, n := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	if version < 2 || version > 4 {
		return nil, errors.New("its version is unknown")
	}
	x := &indexFile{}
	rest, last, names := b[header:len(b)-sum], indexEntry{}, 0
	for i := range n {
		e, after, err := takeEntry(rest, version, last.name)
		if err != nil {
			return nil, err
		}
		if names += len(e.name); len(e.name) > maxName || names > maxIndex {
			return nil, errors.New("its names are too long")
		}
		if !trackable(e.name) {
			return nil, errors.New("it names a path that git would not add")
		}
		if c := strings.Compare(last.name, e.name); i > 0 && (c > 0 || c == 0 && last.stage >= e.stage) {
			return nil, errors.New("its entries are out of order")
		}
		x.entries = append(x.entries, e)
		rest, last = after, e
	}
	var err error
	if x.extensions, err = takeExtensions(rest); err != nil {
		return nil, err
	}
	return x, x.checkTrees()
}

// Bounds of an index: its bytes, which are enough for about a million files, and as
// many of their names, which may be far longer than they are written; and the bytes
// of one name.
const (
	maxIndex = 128 << 20
	maxName  = 4096
)

var errWrongLength = errors.New("the length of a name is wrong")

// takeEntry takes one entry off an index.
func takeEntry(b []byte, version uint32, last string) (e indexEntry, rest []byte, err error) {
	short := errors.New("its entries end early")
	const fixed = 40 + 20 // times, identity, mode, size, object
	if len(b) < fixed+2 {
		return e, nil, short
	}
	word := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	at, flags := fixed+2, binary.BigEndian.Uint16(b[fixed:])
	e = indexEntry{modified: word(8), mode: word(24), size: word(36), object: [20]byte(b[40:60]), assumed: flags&0x8000 != 0, stage: flags >> 12 & 3}
	if flags&0x4000 != 0 {
		if at += 2; version < 3 || len(b) < at {
			return e, nil, short
		}
		more := binary.BigEndian.Uint16(b[fixed+2:])
		e.skipped, e.intended = more&0x4000 != 0, more&0x2000 != 0
	}
	if version == 4 {
		drop, used := offset(b[at:])
		if used == 0 || drop > uint64(len(last)) {
			return e, nil, short
		}
		at += used
		end := bytes.IndexByte(b[at:], 0)
		if end < 0 {
			return e, nil, short
		}
		e.name = last[:uint64(len(last))-drop] + string(b[at:at+end])
		if size := int(flags & 0xfff); size != min(len(e.name), 0xfff) {
			return e, nil, errWrongLength // where git looks for the next entry
		}
		return e, b[at+end+1:], nil
	}
	end := bytes.IndexByte(b[at:], 0)
	if end < 0 {
		return e, nil, short
	}
	if size := int(flags & 0xfff); size != min(end, 0xfff) {
		return e, nil, errWrongLength
	}
	next := (at + end + 8) &^ 7
	if next > len(b) {
		return e, nil, short
	}
	e.name = string(b[at : at+end])
	return e, b[next:], nil
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

func takeExtensions(b []byte) (map[string][]byte, error) {
	m := map[string][]byte{}
	for len(b) > 0 {
		if len(b) < 8 {
			return nil, errors.New("its extensions end early")
		}
		name, size := string(b[:4]), binary.BigEndian.Uint32(b[4:])
		if !slices.Contains(indexExtensions, name) || m[name] != nil || uint64(size) > uint64(len(b)-8) {
			return nil, errors.New("it has an extension that is not plain data")
		}
		m[name] = append([]byte{}, b[8:8+size]...)
		b = b[8+size:]
	}
	return m, nil
}

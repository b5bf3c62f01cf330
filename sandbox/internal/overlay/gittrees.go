package overlay

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

var errTrees = errors.New("what it says of folders is not what it says of the files in them")

// Bounds of the folders of an index: all of them, and in one another.
const (
	maxTrees     = 1 << 20
	maxTreeDepth = 256
)

// checkTrees compares the extension "TREE", in which git keeps the name of each
// folder's tree object, with the entries. Git believes it: where it has the name
// of the last commit's tree, git status shows no change of what is in the folder.
func (x *indexFile) checkTrees() error {
	b := x.extensions["TREE"]
	if len(b) == 0 {
		return nil
	}
	r := treeReader{rest: b, left: maxTrees}
	if _, err := r.folder(x.entries, "", 0); err != nil {
		return err
	}
	if len(r.rest) > 0 {
		return errTrees
	}
	return nil
}

// treeReader goes through the extension. Each folder stands before those in it.
type treeReader struct {
	rest []byte
	left int // folders that may still come
}

// gitTree is one folder of the extension.
type gitTree struct {
	name  string // its last part
	known bool   // what follows is that of its tree object
	sum   [sha1.Size]byte
	count int // entries below it
	below int // folders in it
}

// folder takes one folder, and all in it, off the extension. entries are those
// below prefix, or more.
func (r *treeReader) folder(entries []indexEntry, prefix string, depth int) (gitTree, error) {
	t, err := r.head()
	if r.left--; err != nil || r.left < 0 || depth > maxTreeDepth || (t.name == "") != (depth == 0) {
		return t, errTrees
	}
	if depth > 0 {
		prefix += t.name + "/"
	}
	inside := belowPrefix(entries, prefix)
	subs := map[string]gitTree{}
	for range t.below {
		sub, err := r.folder(inside, prefix, depth+1)
		if err != nil {
			return t, err
		}
		subs[sub.name] = sub
	}
	if !t.known {
		return t, nil
	}
	if sum, ok := treeName(inside, prefix, subs); !ok || sum != t.sum || t.count != len(inside) {
		return t, errTrees
	}
	return t, nil
}

// head takes what the extension says of one folder itself.
func (r *treeReader) head() (t gitTree, err error) {
	name, b, ok := bytes.Cut(r.rest, []byte{0})
	line, b, more := bytes.Cut(b, []byte("\n"))
	count, below, both := strings.Cut(string(line), " ")
	if !ok || !more || !both || bytes.IndexByte(name, '/') >= 0 {
		return t, errTrees
	}
	t.name = string(name)
	if t.count, err = strconv.Atoi(count); err != nil {
		return t, errTrees
	}
	if t.below, err = strconv.Atoi(below); err != nil || t.below < 0 {
		return t, errTrees
	}
	if t.count >= 0 {
		if len(b) < sha1.Size {
			return t, errTrees
		}
		t.known, t.sum, b = true, [sha1.Size]byte(b[:sha1.Size]), b[sha1.Size:]
	}
	r.rest = b
	return t, nil
}

// belowPrefix returns the entries whose names begin with a prefix; entries are in
// order, so these stand together.
func belowPrefix(entries []indexEntry, prefix string) []indexEntry {
	first := sort.Search(len(entries), func(i int) bool { return entries[i].name >= prefix })
	entries = entries[first:]
	return entries[:sort.Search(len(entries), func(i int) bool { return !strings.HasPrefix(entries[i].name, prefix) })]
}

// treeName is the name of the tree object that git would make of a folder, if
// those of the folders in it are known. The entries are all below prefix, in the
// order of the index, which is that of trees.
func treeName(entries []indexEntry, prefix string, subs map[string]gitTree) (sum [sha1.Size]byte, ok bool) {
	var b bytes.Buffer
	for i := 0; i < len(entries); {
		e := entries[i]
		dir, _, isDir := strings.Cut(e.name[len(prefix):], "/")
		if !isDir {
			fmt.Fprintf(&b, "%o %s\x00%s", e.mode, dir, e.object[:])
			i++
			continue
		}
		sub := subs[dir]
		if !sub.known {
			return sum, false
		}
		fmt.Fprintf(&b, "40000 %s\x00%s", dir, sub.sum[:])
		i += sub.count // which is how many there are
	}
	return objectName("tree", b.Bytes()), true
}

// objectName is the SHA-1 name of a git object.
func objectName(kind string, content []byte) [sha1.Size]byte {
	return sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", kind, len(content)), content...))
}

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

// checkTrees compares the extension "TREE", in which git keeps the name of each
// folder's tree object, with the entries. Git believes it: where it has the name
// of the last commit's tree, git status shows no change of what is in the folder.
func (x *indexFile) checkTrees() error {
	b := x.extensions["TREE"]
	if len(b) == 0 {
		return nil
	}
	rest, err := trees{}.check(b, x.entries, "", 0)
	if err == nil && len(rest) > 0 {
		err = errTrees
	}
	return err
}

// trees are the names of tree objects by their folder, with a slash behind it.
type trees map[string][sha1.Size]byte

// check takes one folder, and all in it, off the extension. entries are those
// below prefix, or more.
func (t trees) check(b []byte, entries []indexEntry, prefix string, depth int) (rest []byte, err error) {
	name, b, ok := bytes.Cut(b, []byte{0})
	head, b, more := bytes.Cut(b, []byte("\n"))
	if !ok || !more || depth > maxNest || (len(name) == 0) != (depth == 0) || bytes.IndexByte(name, '/') >= 0 {
		return nil, errTrees
	}
	words := strings.Split(string(head), " ")
	if len(words) != 2 {
		return nil, errTrees
	}
	count, err1 := strconv.Atoi(words[0])
	below, err2 := strconv.Atoi(words[1])
	if err1 != nil || err2 != nil || below < 0 {
		return nil, errTrees
	}
	if depth > 0 {
		prefix += string(name) + "/"
	}
	inside := belowPrefix(entries, prefix)
	if count >= 0 {
		if len(b) < sha1.Size || count != len(inside) || t.name(inside, prefix) != [sha1.Size]byte(b[:sha1.Size]) {
			return nil, errTrees
		}
		b = b[sha1.Size:]
	}
	for range below {
		if b, err = t.check(b, inside, prefix, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// belowPrefix returns the entries whose names begin with a prefix; entries are in
// order, so these stand together.
func belowPrefix(entries []indexEntry, prefix string) []indexEntry {
	first := sort.Search(len(entries), func(i int) bool { return entries[i].name >= prefix })
	entries = entries[first:]
	return entries[:sort.Search(len(entries), func(i int) bool { return !strings.HasPrefix(entries[i].name, prefix) })]
}

// name is that of the tree object that git would make of a folder; the entries
// are all below prefix, in the order of the index, which is that of trees.
func (t trees) name(entries []indexEntry, prefix string) [sha1.Size]byte {
	if known, ok := t[prefix]; ok {
		return known
	}
	var b bytes.Buffer
	for i := 0; i < len(entries); {
		e := entries[i]
		rest := e.name[len(prefix):]
		dir, _, isDir := strings.Cut(rest, "/")
		if !isDir {
			fmt.Fprintf(&b, "%o %s\x00%s", e.mode, rest, e.object[:])
			i++
			continue
		}
		inside := belowPrefix(entries[i:], prefix+dir+"/")
		tree := t.name(inside, prefix+dir+"/")
		fmt.Fprintf(&b, "40000 %s\x00%s", dir, tree[:])
		i += len(inside)
	}
	t[prefix] = objectName("tree", b.Bytes())
	return t[prefix]
}

// objectName is the SHA-1 name of a git object.
func objectName(kind string, content []byte) [sha1.Size]byte {
	return sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", kind, len(content)), content...))
}

package toolbox

import (
	"io/fs"
	"os"
	"sort"
	"strings"
)

const maxEntries = 1000

// List returns the entries of a directory, one a line, sorted by bytes; those of
// directories end in "/". An empty directory gives "(empty)". ok is false when
// the text is an error.
func List(root *os.Root, dir string) (text string, ok bool) {
	rel, ok := inside(dir)
	if !ok {
		return errOutside, false
	}
	names, err := entries(root, rel)
	if err != nil {
		return explain(root, err, errRead), false
	}
	if len(names) == 0 {
		return "(empty)", true
	}
	var b strings.Builder
	for i, n := range names {
		if i == maxEntries {
			b.WriteString("more entries left out\n")
			break
		}
		b.WriteString(Inert(n, ""))
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n"), true
}

// entries returns the names in a directory, those of directories with a trailing
// slash, sorted so that a depth-first walk visits full paths in order of bytes.
func entries(root *os.Root, rel string) ([]string, error) {
	f, err := open(root, rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name()
		if e.Type()&fs.ModeType == fs.ModeDir {
			names[i] += "/"
		}
	}
	sort.Strings(names)
	return names, nil
}

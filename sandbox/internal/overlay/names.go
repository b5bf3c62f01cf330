package overlay

import (
	"path"
	"strings"
)

// names answers quickly whether an entry has a guarded name: a whole workspace
// is looked through, and most patterns are plain names.
type names struct {
	last map[string][]string // patterns by their last component, if that is plain
	rest []string            // the others
	free []string            // released
}

func newNames(f Filter) *names {
	n := &names{last: map[string][]string{}, free: f.Release}
	for _, list := range [][]string{guarded, f.Protect} {
		for _, pat := range list {
			base := path.Base(fold(pat))
			if strings.ContainsAny(base, `*?[\`) {
				n.rest = append(n.rest, pat)
			} else {
				n.last[base] = append(n.last[base], pat)
			}
		}
	}
	return n
}

// guards reports whether an entry itself, not a folder above it, is guarded. A
// git directory's entries are, but for plain data.
func (n *names) guards(p, name string, git bool) bool {
	some := n.last[plain(name)]
	if len(some) == 0 && len(n.rest) == 0 && !git || covered(n.free, p) {
		return false
	}
	return covered(some, p) || covered(n.rest, p) || git && holdGit(components(p), File) != ""
}

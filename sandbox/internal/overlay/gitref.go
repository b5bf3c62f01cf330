package overlay

import (
	"slices"
	"strings"
)

// isRef reports whether git may read a path as a reference: one of the heads of a
// git directory, or what lies in a folder "refs", in whatever folder that does: a
// repository need not be called ".git".
func isRef(parts []string) bool {
	last := parts[len(parts)-1]
	return slices.Contains(parts[:len(parts)-1], "refs") || last == "head" || strings.HasSuffix(last, "_head") || last == "auto_merge"
}

// packedRefs is where git keeps references in one file, and replaceRefs begins
// those by which it takes one object for another.
const (
	packedRefs  = "packed-refs"
	replaceRefs = "refs/replace/"
)

// standsFor is why a reference below refs/replace is held back: git shows the
// object that it names wherever the one that it is called by is asked for, so
// that a history or a status is not what it says.
const standsFor = "it has git take one object for another: a person has to make this change"

// maxRef is more than a reference of git's own making is ever long, in bytes.
const maxRef = 4 << 10

// strayRef reports whether a reference stands for another that is none: git
// follows it to whatever file of the git directory it names, and when the
// reference is set next, it is that file which git overwrites.
func strayRef(text string) bool {
	target, symbolic := strings.CutPrefix(text, "ref:")
	if !symbolic {
		return false
	}
	target = strings.Trim(target, " \t\n\v\f\r")
	name, ok := strings.CutPrefix(target, "refs/")
	if !ok || len(text) > maxRef {
		return true
	}
	return slices.ContainsFunc(strings.Split(name, "/"), func(s string) bool {
		return s == "" || s[0] == '.' || strings.HasSuffix(s, ".lock") || strings.ContainsAny(s, "\\\x00")
	})
}

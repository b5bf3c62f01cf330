package overlay

import (
	"bytes"
	"crypto/sha256"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPackedRefs bounds that file, in bytes; it is enough for about a million.
const maxPackedRefs = 64 << 20

// replacements are the lines of packed references that are below refs/replace.
func replacements(packed []byte) map[string]bool {
	lines := map[string]bool{}
	for line := range bytes.Lines(packed) {
		if bytes.Contains(line, []byte(replaceRefs)) {
			lines[strings.TrimSuffix(string(line), "\n")] = true
		}
	}
	return lines
}

// inspectPacked returns why packed references are held back, or "". lower is the
// folder in the workspace, or -1; what it has is let through.
func inspectPacked(upper int, name string, st *unix.Stat_t, lower int) (string, error) {
	b, err := readMost(upper, name, st.Mode, true, maxPackedRefs)
	if err != nil {
		return "", err
	}
	if len(b) > maxPackedRefs {
		return "it is too long to be looked at", nil
	}
	lines := replacements(b)
	if len(lines) == 0 {
		return "", nil
	}
	was, err := readThere(lower, name, maxPackedRefs)
	if err != nil {
		return "", err
	}
	there := replacements(was)
	for line := range lines {
		if there[line] {
			continue
		}
		object, ref, _ := strings.Cut(line, " ")
		name, ok := strings.CutPrefix(ref, replaceRefs)
		if !ok || len(name) > 2*sha256.Size || strings.ContainsAny(name, "/\x00") {
			return standsFor, nil
		}
		loose, err := readThere(lower, ref, maxRef)
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(string(loose)) != object {
			return standsFor, nil
		}
	}
	return "", nil
}

// readThere reads so much of a file below a folder of the workspace; nothing if
// there is none.
func readThere(dir int, p string, most int64) ([]byte, error) {
	if dir < 0 {
		return nil, nil
	}
	at, base, err := folderOf(dir, p)
	if err != nil || at < 0 {
		return nil, err
	}
	defer unix.Close(at)
	st, err := lstat(at, base)
	if err != nil || st == nil || typeOf(st.Mode) != File {
		return nil, err
	}
	return readMost(at, base, st.Mode, false, most)
}

// packed keeps loose references where the packed ones that would take their place
// are held back.
func (d *drain) packed() {
	kept := map[string]bool{} // folders of references
	for _, p := range d.items {
		if p.Held != "" && p.Op != Remove && plain(path.Base(p.Path)) == packedRefs {
			kept[path.Join(path.Dir(p.Path), "refs")] = true
		}
	}
	if len(kept) == 0 {
		return
	}
	for i := range d.items {
		it := &d.items[i]
		if it.Op != Remove || it.Held != "" {
			continue
		}
		for at := it.Path; at != "."; at = path.Dir(at) {
			if kept[at] {
				it.Held = "what would take its place is held back"
				break
			}
		}
	}
}

package overlay_test

import (
	"crypto/sha1"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
)

const hook = ".git/hooks/post-checkout"

// entry is the fixed part of an entry of an index.
func entry(flags int) []byte {
	b := make([]byte, 60, 128)
	binary.BigEndian.PutUint32(b[24:], 0o100755)
	copy(b[40:], "an object's 20 bytes")
	return binary.BigEndian.AppendUint16(b, uint16(flags))
}

func extension(name string, content []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte(name), uint32(len(content))), content...)
}

func wholeIndex(version, n uint32, parts ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("DIRC"), version), n)
	b = append(b, slices.Concat(parts...)...)
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// skipping is an index of version 4 whose first entry says that its name is
// longer than it is: git takes it at its word and finds the second entry inside
// of an extension, where a reader that looks for the end of the name finds "b".
func skipping() []byte {
	second := slices.Concat(entry(1), []byte("\x01b\x00"))
	from := slices.Concat([]byte("!\x00"), second, []byte("TREE0000"), make([]byte, 16))
	length := len(from) - 1
	inside := slices.Concat(make([]byte, 16), entry(len(hook)), []byte{byte(length)}, []byte(hook+"\x00"), extension("XXXX", nil))
	return wholeIndex(4, 2, entry(length), []byte("\x00!\x00"), second, extension("TREE", inside))
}

// elsewhere is an index that names one file, with the table for git's threads
// that says that the file's entry stands inside of an extension.
func elsewhere() []byte {
	plain := index("a")
	plain = plain[12 : len(plain)-20]
	other := index(hook)
	offsets := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, uint32(12+len(plain)+8))
	return wholeIndex(2, 1, plain, extension("UNTR", other[12:len(other)-20]), extension("IEOT", append(offsets, 0, 0, 0, 1)))
}

// growing is an index of version 4 in which each name is the one before and a
// letter more: few bytes, and as many letters as their square.
func growing(n int) []byte {
	var parts [][]byte
	for i := range n {
		parts = append(parts, entry(min(i+1, 0xfff)), []byte{0, 'a', 0})
	}
	return wholeIndex(4, uint32(n), parts...)
}

// TestIndexIsReadAsGitReadsIt: what git would find in an index, by whatever way
// it goes through it, is what was looked at.
func TestIndexIsReadAsGitReadsIt(t *testing.T) {
	for name, b := range map[string][]byte{"a name longer than it is": skipping(), "a table of other places": elsewhere(), "names without end": growing(5000)} {
		t.Run(name, func(t *testing.T) {
			if err := overlay.CheckIndex(b); err == nil {
				t.Error("it is let through")
			}
		})
	}
	t.Run("control: names that end", func(t *testing.T) {
		if err := overlay.CheckIndex(growing(4000)); err != nil {
			t.Error(err)
		}
	})
	t.Run("control: git finds the hook", func(t *testing.T) {
		git, err := exec.LookPath("git")
		if err != nil {
			t.Skip("UNTESTED(git is not installed)")
		}
		dir := t.TempDir()
		for _, args := range [][]string{{"init", "-q"}, {"ls-files"}} {
			cmd := exec.Command(git, args...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %v %s", args, err, out)
			}
			if args[0] == "ls-files" && !strings.Contains(string(out), hook) {
				t.Errorf("git finds %q", out)
			}
			if err := os.WriteFile(filepath.Join(dir, ".git/index"), skipping(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestIndexOfAnotherFormIsHeld: the bytes of an entry with a SHA-256 name are
// another entry with a SHA-1 name.
func TestIndexOfAnotherFormIsHeld(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		held       bool
	}{
		"SHA-1":     {".git/config", "[extensions]\n\tobjectFormat = SHA1\n", false},
		"SHA-256":   {".git/config", "[core]\n\tbare = false\n[Extensions]\n\tobjectformat = sha256\n", true},
		"elsewhere": {".git/commondir", "../main\n", true},
		"by a link": {".git/config", ">../other", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, map[string]string{".git/index": string(index("a"))})
			put(t, w.work(), map[string]string{c.file: c.text, "other": "[extensions] objectFormat = sha256"})
			if held := heldIn(w.read(t, overlay.Filter{})); (held[".git/index"] != "") != c.held {
				t.Errorf("held %q", held)
			}
		})
	}
}

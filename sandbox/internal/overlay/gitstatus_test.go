package overlay_test

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
)

// stamp is when the files of these tests were changed.
var stamp = time.Unix(1_700_000_000, 0)

// tracked is one entry of an index: a file's name, what it is said to hold, how
// long it is said to be, and bits.
type tracked struct {
	name, holds string
	size        int
	flags       uint16 // 0x8000: unchanged, whatever it is
	more        uint16 // 0x4000: left out of the working tree
}

func blob(content string) []byte {
	sum := sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content))
	return sum[:]
}

// indexOf writes an index with these entries and extensions.
func indexOf(entries []tracked, extensions ...[]byte) string {
	var parts [][]byte
	for _, e := range entries {
		b := make([]byte, 60, 256)
		binary.BigEndian.PutUint32(b[8:], uint32(stamp.Unix()))
		binary.BigEndian.PutUint32(b[24:], 0o100644)
		binary.BigEndian.PutUint32(b[36:], uint32(e.size))
		copy(b[40:], blob(e.holds))
		flags := e.flags | uint16(len(e.name))
		if e.more != 0 {
			b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, flags|0x4000), e.more)
		} else {
			b = binary.BigEndian.AppendUint16(b, flags)
		}
		b = append(b, e.name...)
		parts = append(parts, b, make([]byte, 8-len(b)%8))
	}
	return string(wholeIndex(3, uint32(len(entries)), append(parts, extensions...)...))
}

// TestIndexHidesNoChange: an index that a call wrote is committed only if git
// status shows with it what is changed. What it says was so before the call is
// not the call's doing.
func TestIndexHidesNoChange(t *testing.T) {
	plain := []tracked{{"f", "new!", 4, 0, 0}}
	forged := []tracked{{"f", "old!", 4, 0, 0}}
	sparse := "[core]\n\tsparseCheckout = true\n"
	for name, c := range map[string]struct {
		file      string // in the workspace; "" for none
		call      string // what the call makes of it; "" for nothing
		config    string
		was, now  []tracked
		wasE, ext []byte
		held      bool
	}{
		"it says what is so":             {file: "new!", now: plain},
		"it says what was so":            {file: "new!", now: forged, held: true},
		"of another length":              {file: "newer!", now: forged},
		"with no length":                 {file: "new!", now: []tracked{{"f", "old!", 0, 0, 0}}},
		"it said so before":              {file: "new!", was: forged, now: append(forged, tracked{"g", "x", 9, 0, 0})},
		"of another file of the call":    {file: "old!", call: "new!", was: forged, now: append(forged, tracked{"g", "x", 9, 0, 0}), held: true},
		"of what the call wrote":         {file: "old!", call: "new!", was: forged, now: plain},
		"of what the call removes":       {file: "new!", call: "whiteout", now: forged},
		"of what is not there":           {now: forged},
		"ends of lines":                  {file: "a\r\nb\r\n", now: []tracked{{"f", "a\nb\n", 6, 0, 0}}},
		"ends of lines and more":         {file: "a\r\nc\r\n", now: []tracked{{"f", "a\nb\n", 6, 0, 0}}, held: true},
		"git is to pass over it":         {file: "new!", now: []tracked{{"f", "old!", 9, 0x8000, 0}}, held: true},
		"it was passed over before":      {file: "new!", was: []tracked{{"f", "old!", 9, 0x8000, 0}}, now: []tracked{{"f", "old!", 8, 0x8000, 0}}},
		"it is left out":                 {file: "new!", now: []tracked{{"f", "old!", 9, 0, 0x4000}}, held: true},
		"it is left out of a part":       {config: sparse, now: []tracked{{"f", "old!", 9, 0, 0x4000}}},
		"it is there, out of a part":     {file: "new!", config: sparse, now: []tracked{{"f", "old!", 9, 0, 0x4000}}, held: true},
		"nothing new need be looked for": {file: "new!", now: plain, ext: extension("UNTR", []byte("x")), held: true},
		"as before nothing need be":      {file: "new!", was: plain, now: plain, wasE: extension("UNTR", []byte("x")), ext: extension("UNTR", []byte("x"))},
		"a watcher has seen nothing":     {file: "new!", now: plain, ext: extension("FSMN", []byte("x")), held: true},
		"the files are elsewhere":        {file: "new!", config: "[core]\n\tworktree = ../x\n", now: plain, held: true},
		"a folder is another":            {file: "new!", now: plain, ext: extension("TREE", append([]byte("\x001 0\n"), make([]byte, 20)...)), held: true},
		"a folder is not known":          {file: "new!", now: plain, ext: extension("TREE", []byte("\x00-1 0\n"))},
		"twice the same":                 {file: "new!", now: append(plain, plain...), held: true},
	} {
		t.Run(name, func(t *testing.T) {
			changes := map[string]string{"sub/.git/index": indexOf(c.now, c.ext)}
			if c.call != "" {
				changes["sub/f"] = c.call
			}
			w := newWorld(t, changes)
			work := map[string]string{"sub/.git/config": c.config, "sub/.git/HEAD": "ref: refs/heads/main\n"}
			if c.file != "" {
				work["sub/f"] = c.file
			}
			if c.was != nil {
				work["sub/.git/index"] = indexOf(c.was, c.wasE)
			}
			put(t, w.work(), work)
			for _, dir := range []string{w.work(), w.upper()} {
				if err := os.Chtimes(filepath.Join(dir, "sub/f"), stamp, stamp); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			held := heldIn(w.read(t, overlay.Filter{}))
			if why := held["sub/.git/index"]; (why != "") != c.held {
				t.Errorf("held %q", held)
			}
		})
	}
}

// TestStatusOfGitIsBelieved: the control: with a forged index git itself shows no
// change, and what git writes about folders is what is computed here.
func TestStatusOfGitIsBelieved(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("UNTESTED(git is not installed)")
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-c", "user.name=x", "-c", "user.email=x@x", "-c", "core.checkStat=minimal", "-c", "core.trustctime=false"}, args...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v %s", args, err, out)
		}
		return string(out)
	}
	run("init", "-q")
	put(t, dir, map[string]string{"f": "old!", "a/b/c": "1", "a/b.d": "1", "a/b-d": "1", "a.x/y": "2", "z": "3"})
	run("add", ".")
	run("commit", "-q", "-m", "x")
	file := filepath.Join(dir, ".git/index")
	b, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(b), "TREE") {
		t.Fatalf("control: %v, no folders in the index", err)
	}
	if err := overlay.CheckIndex(b); err != nil {
		t.Errorf("what git wrote: %v", err)
	}
	for i := range 20 { // somewhere in the name of a folder's object
		forged := slices.Clone(b)
		forged[len(b)-21-i] ^= 1
		if overlay.CheckIndex(forged) == nil {
			t.Errorf("with another byte %d from the end it is let through", i)
		}
	}
	put(t, dir, map[string]string{"f": "new!"})
	if err := os.Chtimes(filepath.Join(dir, "f"), stamp, stamp); err != nil {
		t.Fatal(err)
	}
	if out := run("status", "--porcelain"); out != " M f\n" {
		t.Fatalf("control: %q", out)
	}
	// the entries of the index as they were, but for the stamps of f
	var list []tracked
	for _, e := range []string{"a.x/y=2", "a/b-d=1", "a/b.d=1", "a/b/c=1", "f=old!", "z=3"} {
		name, holds, _ := strings.Cut(e, "=")
		list = append(list, tracked{name, holds, len(holds), 0, 0})
		if err := os.Chtimes(filepath.Join(dir, name), stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(file, []byte(indexOf(list)), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run("status", "--porcelain"); out != "" {
		t.Errorf("control: git still shows %q", out)
	}
}

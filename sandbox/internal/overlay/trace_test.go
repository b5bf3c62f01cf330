package overlay_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"golang.org/x/sys/unix"
)

// TestLinksLeadWhereTheKernelSays: for random trees of links, what is written
// through a hook, or made by writing through it, is what is held back.
func TestLinksLeadWhereTheKernelSays(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 7))
	names := []string{"a", "b", "c", "d"}
	pick := func() string { return names[rng.IntN(len(names))] }
	target := func() string {
		parts := make([]string, 1+rng.IntN(4))
		for i := range parts {
			parts[i] = pick()
			if rng.IntN(4) == 0 {
				parts[i] = ".."
			}
		}
		p := strings.Join(parts, "/")
		switch rng.IntN(8) {
		case 1:
			return "../../work/./" + p
		case 2:
			return p + "/"
		}
		return p
	}
	there, made, checked := 0, 0, 0
	for round := range 900 {
		w := newWorld(t, nil)
		work := w.work()
		if err := errors.Join(os.RemoveAll(work), os.RemoveAll(w.upper()), os.MkdirAll(filepath.Join(work, ".git/hooks"), 0o755), os.Mkdir(w.upper(), 0o755)); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(work) // nothing is made outside
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			p := pick()
			for range rng.IntN(3) {
				p += "/" + pick()
			}
			// some of these fail, since a name is taken or what is above is no folder
			switch rng.IntN(5) {
			case 0, 1:
				_ = root.MkdirAll(p, 0o755)
			case 2:
				_ = root.WriteFile(p, []byte("1"), 0o644)
			default:
				_ = root.Symlink(target(), p)
			}
		}
		root.Close()
		hook := filepath.Join(work, ".git/hooks/pre-commit")
		if err := os.Symlink("../../"+target(), hook); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(hook); err == nil {
			there++
		} else {
			made++
		}
		// the kernel writes through the hook, never out of this test's own folder,
		// and the file that holds the mark is it
		mark := fmt.Sprint("mark ", round)
		fd, err := unix.Openat2(openDir(t, w.dir), "work/.git/hooks/pre-commit",
			&unix.OpenHow{Flags: unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC | unix.O_CLOEXEC, Mode: 0o644, Resolve: unix.RESOLVE_BENEATH})
		if err != nil {
			continue // a folder, a circle, a folder that is not there, or the way out
		}
		_, err = unix.Write(fd, []byte(mark))
		if err = errors.Join(err, unix.Close(fd)); err != nil {
			t.Fatal(err)
		}
		found := find(t, work, mark)
		if found == "" {
			continue // beside the workspace
		}
		checked++
		if made > 0 && rng.IntN(2) == 0 {
			if err := os.Remove(filepath.Join(work, found)); err != nil { // now it is to be made
				t.Fatal(err)
			}
		}
		put(t, w.upper(), map[string]string{found: "evil"})
		l, err := overlay.Read(t.Context(), openDir(t, w.upper()), openDir(t, work), overlay.Filter{}, most)
		if err != nil {
			t.Fatal(err)
		}
		if heldIn(l)[found] == "" {
			t.Fatalf("round %d: a write through the hook comes to %q, which is not held: %s", round, found, outline(work))
		}
	}
	if there < 20 || made < 20 || checked < 50 {
		t.Errorf("%d hooks led to something, %d to nothing, %d could be followed", there, made, checked)
	}
	t.Logf("%d hooks led to something, %d to nothing, %d could be followed", there, made, checked)
}

// find returns the file below root that holds a text, seen without links.
func find(t *testing.T, root, text string) (found string) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if b, _ := os.ReadFile(p); string(b) == text {
				found, err = filepath.Rel(root, p)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// outline lists a tree with its links.
func outline(root string) string {
	var list []string
	_ = filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if to, lerr := os.Readlink(p); lerr == nil {
			p += ">" + to
		}
		list = append(list, strings.TrimPrefix(p, root))
		return nil
	})
	return strings.Join(list, " ")
}

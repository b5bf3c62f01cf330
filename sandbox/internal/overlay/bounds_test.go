package overlay_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
)

// TestHugeFilesAreNotRead: a call that removes or replaces more than is kept for
// an undo is refused, at once and whatever the size.
func TestHugeFilesAreNotRead(t *testing.T) {
	for name, changes := range map[string]map[string]string{
		"removed": {"huge": "whiteout"}, "with its folder": {"dir": "whiteout"}, "replaced": {"huge": "new"},
		"hidden by a folder": {"huge/x": "new"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, changes)
			for _, p := range []string{"huge", "dir/huge"} {
				put(t, w.work(), map[string]string{p: ""})
				if err := os.Truncate(filepath.Join(w.work(), p), 1<<40); err != nil {
					t.Fatal(err)
				}
			}
			_, err := overlay.Read(t.Context(), openDir(t, w.upper()), openDir(t, w.work()), overlay.Filter{}, most)
			if !errors.Is(err, overlay.ErrTooMany) || !strings.Contains(err.Error(), "8 MiB") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// edit makes one commit that replaces a file of the given size.
func edit(t *testing.T, s *overlay.Store, size int) (world, string) {
	t.Helper()
	w := newWorld(t, map[string]string{"big": "small"})
	if err := os.WriteFile(filepath.Join(w.work(), "big"), bytes.Repeat([]byte("x"), size), 0o644); err != nil {
		t.Fatal(err)
	}
	id, err := s.Commit(t.Context(), w.request(t, w.read(t, overlay.Filter{})))
	if err != nil {
		t.Fatal(err)
	}
	return w, id
}

// TestStoreForgetsTheOldest: what is kept for undoing stays below its bound, and
// the newest commits are those that can be undone.
func TestStoreForgetsTheOldest(t *testing.T) {
	s, err := overlay.OpenStore(filepath.Join(t.TempDir(), "s"), most)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	var last world
	for range 5 {
		w, id := edit(t, s, 3<<20)
		last, ids = w, append(ids, id)
		if n, bytes, _ := overlay.Kept(s.Dir()); bytes > most || n > 2 {
			t.Errorf("%d commits are kept, with %d bytes", n, bytes)
		}
	}
	if err := s.Undo(t.Context(), ids[0]); err == nil {
		t.Error("a forgotten commit was undone")
	}
	if err := s.Undo(t.Context(), ids[4]); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(filepath.Join(last.work(), "big")); err != nil || len(b) != 3<<20 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for range 40 {
		edit(t, s, 10)
	}
	if n, _, _ := overlay.Kept(s.Dir()); n != 32 {
		t.Errorf("%d commits are kept", n)
	}
	done := s.Done()
	if err := s.Undo(t.Context(), done[0]); err != nil { // the oldest, with no room for another
		t.Error(err)
	}
	if got := s.Done(); len(got) != 32 || got[0] != done[1] { // the undoing is one, too
		t.Errorf("undoing the oldest of 32 left %d, another one gone: %v", len(got), got[0] != done[1])
	}
}

// TestCommitHearsTheEndOfItsContext until the decision is recorded: then
// nothing is changed and nothing is left.
func TestCommitHearsTheEndOfItsContext(t *testing.T) {
	w := newWorld(t, everything)
	was := look(t, w.work())
	s := w.open(t)
	for _, at := range []string{"begin", "shelf", "stage 0", "stage 3", "journal"} {
		ctx, cancel := context.WithCancel(t.Context())
		s.Step(func(step string) {
			if step == at {
				cancel()
			}
		})
		r := w.request(t, w.read(t, overlay.Filter{}))
		r.Deciding = func(string) error { t.Errorf("%s: decided", at); return nil }
		if _, err := s.Commit(ctx, r); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", at, err)
		}
		if got := look(t, w.work()); got != was {
			t.Errorf("%s: %s", at, got)
		}
		if got := look(t, filepath.Join(w.store(), "open")); got != "" {
			t.Errorf("%s: the store holds %s", at, got)
		}
	}
}

// TestUndoKilledAtEveryStep: an undo happens as a whole or not at all.
func TestUndoKilledAtEveryStep(t *testing.T) {
	none, all, last := 0, 0, false
	for n := 0; !last; n++ {
		w := newWorld(t, everything)
		makeOpaque(t, filepath.Join(w.upper(), "opaque"))
		was := look(t, w.work())
		s := w.open(t)
		id, err := s.Commit(t.Context(), w.request(t, w.read(t, overlay.Filter{})))
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			k := 0
			s.Step(func(string) {
				if k++; k > n {
					panic("died")
				}
			})
			err := s.Undo(t.Context(), id)
			if last = true; err != nil {
				t.Fatal(err)
			}
		}()
		s = w.open(t)
		if found, err := s.Recover(t.Context()); err != nil {
			t.Fatalf("step %d: %v %v", n, found, err)
		}
		switch got := look(t, w.work()); got {
		case afterEverything:
			none++
			if err := s.Undo(t.Context(), id); err != nil { // it still can be undone
				t.Errorf("step %d: %v", n, err)
			}
		case was:
			all++
		default:
			t.Fatalf("died before step %d:\n%s", n, got)
		}
	}
	if none < 20 || all < 2 {
		t.Errorf("%d times nothing, %d times everything", none, all)
	}
	t.Logf("died before %d steps: %d times nothing was undone, %d times everything", none+all-1, none, all)
}

package overlay_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
)

// halfMade leaves a commit that died in the midst of its changes.
func halfMade(t *testing.T) (w world, was string) {
	t.Helper()
	w = newWorld(t, smallChanges)
	was = look(t, w.work())
	s := w.open(t)
	s.Step(func(step string) {
		if step == "apply 2" {
			panic("died")
		}
	})
	func() {
		defer func() { _ = recover() }()
		s.Commit(t.Context(), w.request(t, w.read(t, overlay.Filter{})))
	}()
	if look(t, w.work()) == was {
		t.Fatal("control: nothing is half made")
	}
	return w, was
}

// otherDevice makes every journal of a store name another device.
func otherDevice(t *testing.T, w world, kind string) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(w.store(), kind, "*", "journal.json"))
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	for _, p := range list {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		changed := regexp.MustCompile(`"Dev":\d+`).ReplaceAll(b, []byte(`"Dev":4711`))
		if err := os.WriteFile(p, changed, 0o600); err != nil || string(changed) == string(b) {
			t.Fatal(err)
		}
	}
}

// TestMissingWorkspaceWaits: a workspace that is gone keeps nobody from working on
// others, and is settled when it is back.
func TestMissingWorkspaceWaits(t *testing.T) {
	for name, inPlace := range map[string]bool{"gone": false, "another in its place": true, "a link in its place": true} {
		t.Run(name, func(t *testing.T) {
			link := name == "a link in its place"
			w, was := halfMade(t)
			away := w.work() + ".away"
			if err := os.Rename(w.work(), away); err != nil {
				t.Fatal(err)
			}
			switch {
			case link:
				if err := os.Symlink(away, w.work()); err != nil {
					t.Fatal(err)
				}
			case inPlace:
				put(t, w.work(), map[string]string{"old": "another"})
			}
			for range 2 {
				found, err := w.open(t).Recover(t.Context())
				if err != nil || len(found) != 1 || !found[0].Missing {
					t.Fatalf("%+v %v", found, err)
				}
			}
			if inPlace {
				if got := look(t, w.work()); !link && got != "old=another" {
					t.Errorf("changed %s", got)
				}
				if err := os.RemoveAll(w.work()); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Rename(away, w.work()); err != nil {
				t.Fatal(err)
			}
			found, err := w.open(t).Recover(t.Context())
			if err != nil || len(found) != 1 || found[0].Missing || look(t, w.work()) != was {
				t.Errorf("%+v %v: %s", found, err, look(t, w.work()))
			}
		})
	}
}

// TestDeviceNumbersChange: after a restart a file system may have another number;
// a commit that died can be settled all the same, and one that was made undone.
func TestDeviceNumbersChange(t *testing.T) {
	w, was := halfMade(t)
	otherDevice(t, w, "open")
	if found, err := w.open(t).Recover(t.Context()); err != nil || len(found) != 1 || found[0].Missing || look(t, w.work()) != was {
		t.Errorf("%+v %v: %s", found, err, look(t, w.work()))
	}
	s := w.open(t)
	id, err := s.Commit(t.Context(), w.request(t, w.read(t, overlay.Filter{})))
	if err != nil || look(t, w.work()) != afterSmall {
		t.Fatal(err, look(t, w.work()))
	}
	otherDevice(t, w, "done")
	if err := s.Undo(t.Context(), id); err != nil || look(t, w.work()) != was {
		t.Errorf("%v: %s", err, look(t, w.work()))
	}
}

// TestShelfTakenAway removes the shelf of a commit that died half-way: what was made cannot
// be taken back, and that must be told, with all that is still known kept.
func TestShelfTakenAway(t *testing.T) {
	w, was := halfMade(t)
	shelves, err := filepath.Glob(filepath.Join(w.work(), ".holdfast-*"))
	if err != nil || len(shelves) != 1 {
		t.Fatal(shelves, err)
	}
	if err := os.RemoveAll(shelves[0]); err != nil {
		t.Fatal(err)
	}
	found, err := w.open(t).Recover(t.Context())
	if err != nil || len(found) != 1 || len(found[0].Left) == 0 || found[0].Finished {
		t.Fatalf("%+v, %v", found, err)
	}
	if look(t, w.work()) == was {
		t.Error("nothing was changed, so this test shows nothing")
	}
	for _, name := range []string{"journal.json", "pre"} {
		if _, err := os.Stat(filepath.Join(found[0].Kept, name)); err != nil {
			t.Error(err)
		}
	}
	if again, err := w.open(t).Recover(t.Context()); err != nil || len(again) != 0 {
		t.Errorf("told twice: %+v, %v", again, err)
	}
}

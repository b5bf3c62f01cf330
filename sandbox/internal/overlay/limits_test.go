package overlay_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"golang.org/x/sys/unix"
)

// heldIn lists the paths of a layer that are held back.
func heldIn(l *overlay.Layer) map[string]string {
	m := map[string]string{}
	for _, c := range l.Changes() {
		if c.Held != "" {
			m[c.Path] = c.Held
		}
	}
	return m
}

func TestGitIsNotPointedElsewhere(t *testing.T) {
	for name, files := range map[string]map[string]string{
		".git":                 {".git": "gitdir: evil\n"},
		"dir/.git":             {"dir/.git": ">../evil"},
		".git/commondir":       {".git/commondir": "../evil\n"},
		".git/config.worktree": {".git/config.worktree": "[core]\n"},
		".git/worktrees/w":     {".git/worktrees/w/commondir": "../../../evil\n"},
		".github":              {".github": ">evil"},
		".config":              {".config": ">evil"},
		"bare/config":          {"bare/config": "[core]\n", "bare/HEAD": "ref: x\n", "bare/objects/": "", "bare/refs/": ""},
		"common/config":        {"common/config": "[core]\n", "common/HEAD": "ref: x\n", "common/commondir": "../dir\n"},
		".g\u200cit/config":    {".g\u200cit/config": "[core]\n"},
		"lefthook-local.toml":  {"lefthook-local.toml": "[pre-commit]\n"},
		".husky/pre-commit":    {".husky/pre-commit": "#!/bin/sh\n"},
		".envrc.":              {".envrc.": "x"},
		"GIT~1/hooks/x":        {"GIT~1/hooks/x": "x"},
		"ſkill.md":             {"ſkill.md": "x"},
	} {
		t.Run("held "+name, func(t *testing.T) {
			held := heldIn(newWorld(t, files).read(t, overlay.Filter{}))
			if held[name] == "" {
				t.Errorf("%q is committed; held are %q", name, held)
			}
		})
	}
	t.Run("a second call does not complete a repository", func(t *testing.T) {
		w := newWorld(t, map[string]string{"bare/objects/": "", "bare/refs/": ""})
		put(t, w.work(), map[string]string{"bare/config": "[core]\n", "bare/HEAD": "ref: x\n"})
		if held := heldIn(w.read(t, overlay.Filter{})); held["bare/objects"] == "" || held["bare/refs"] == "" {
			t.Errorf("held are %q", held)
		}
	})
	t.Run("what is protected below a link", func(t *testing.T) {
		w := newWorld(t, map[string]string{"secret": ">dir"})
		if held := heldIn(w.read(t, overlay.Filter{Protect: []string{"secret/key"}})); held["secret"] == "" {
			t.Error("a link stands where a protected folder would be")
		}
	})
	t.Run("work in a repository goes on", func(t *testing.T) {
		w := newWorld(t, map[string]string{".git/HEAD": "ref: refs/heads/y\n", ".git/objects/ab/c": "x", ".git/refs/heads/y": "1",
			"HEAD": "x", "config": "x", ".github/README": "x"})
		put(t, w.work(), map[string]string{".git/HEAD": "ref: x\n", ".git/objects/aa/b": "x", ".git/refs/heads/x": "1"})
		if held := heldIn(w.read(t, overlay.Filter{})); len(held) > 0 {
			t.Errorf("held are %q", held)
		}
	})
}

// small is an upper layer with a quota of 1 MiB; it needs root to mount.
func small(t *testing.T, w world) {
	t.Helper()
	if err := unix.Mount("tmpfs", w.upper(), "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("UNTESTED(cannot mount a small file system: %v)", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(w.upper(), unix.MNT_DETACH) })
}

func TestLayerIsNoLargerThanItsQuota(t *testing.T) {
	for name, fill := range map[string]func(dir string) error{
		"holes": func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, "a"), nil, 0o600), os.Truncate(filepath.Join(dir, "a"), 2<<20))
		},
		"hard links": func(dir string) error {
			err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 400<<10), 0o600)
			for _, n := range []string{"b", "c"} {
				err = errors.Join(err, os.Link(filepath.Join(dir, "a"), filepath.Join(dir, n)))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, map[string]string{"first": "1"})
			small(t, w)
			if err := fill(w.upper()); err != nil {
				t.Fatal(err)
			}
			if _, err := overlay.Read(t.Context(), openDir(t, w.upper()), openDir(t, w.work()), overlay.Filter{}, most); !errors.Is(err, overlay.ErrTooMany) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("names", func(t *testing.T) {
		w := newWorld(t, map[string]string{"first": "1"})
		dir, links := w.upper(), ">"+strings.Repeat("x", 4000)
		files := map[string]string{}
		for i := range 5000 {
			files[fmt.Sprint(i)] = links
		}
		put(t, dir, files)
		if _, err := overlay.Read(t.Context(), openDir(t, dir), openDir(t, w.work()), overlay.Filter{}, most); !errors.Is(err, overlay.ErrTooMany) {
			t.Errorf("%v", err)
		}
	})
}

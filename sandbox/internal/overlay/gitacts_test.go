package overlay_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
)

// gitActsOn are names in a git directory that have git execute something, read
// settings or objects from elsewhere, or take one object for another.
var gitActsOn = []string{"config", "config.worktree", "commondir", "gitdir", "hooks/post-checkout", "info/attributes", "info/grafts",
	"info/sparse-checkout", "rebase-merge/git-rebase-todo", "rebase-merge/author-script", "rebase-apply/apply-opt", "sequencer/todo",
	"sequencer/opts", "objects/info/alternates", "objects/info/http-alternates", "modules/n/config", "modules/n/hooks/post-merge",
	"worktrees/v/config.worktree", "worktrees/v/gitdir", "worktrees/v/commondir", "refs/replace/" + zeros, "reftable/tables.list"}

const zeros = "0000000000000000000000000000000000000000"

// TestWhatGitActsOnIsHeld: in whatever kind of git directory it lies, whether it
// is made, replaced or taken away.
func TestWhatGitActsOnIsHeld(t *testing.T) {
	whole := func(dir string) map[string]string {
		return map[string]string{dir + "HEAD": "ref: refs/heads/x\n", dir + "objects/": "", dir + "refs/": ""}
	}
	for dir, lower := range map[string]map[string]string{
		".git/":             whole(".git/"),
		".git/modules/m/":   whole(".git/modules/m/"),
		".git/worktrees/w/": {".git/worktrees/w/HEAD": "x", ".git/worktrees/w/commondir": "../..\n"},
		"bare/":             whole("bare/"),
		"bare/modules/m/":   whole("bare/"),
		"tree/":             {"tree/HEAD": "x", "tree/commondir": "../elsewhere\n"},
		"":                  whole(""),
	} {
		for _, way := range []string{"made", "replaced", "removed"} {
			t.Run(way+" in "+strings.TrimSuffix("top/"+dir, "/"), func(t *testing.T) {
				upper := map[string]string{}
				was := maps.Clone(lower)
				for _, n := range gitActsOn {
					upper[dir+n] = "2"
					if way == "removed" {
						upper[dir+n] = "whiteout"
					}
					if _, there := was[dir+n]; !there && way != "made" {
						was[dir+n] = "1"
					}
				}
				w := newWorld(t, upper)
				put(t, w.work(), was)
				held := heldIn(w.read(t, overlay.Filter{}))
				for _, n := range gitActsOn {
					if held[dir+n] == "" {
						t.Errorf("%s is let through", dir+n)
					}
				}
			})
		}
	}
	t.Run("removed by a folder that hides it", func(t *testing.T) {
		w := newWorld(t, map[string]string{"bare/HEAD": "ref: refs/heads/x\n", "bare/objects/": "", "bare/refs/": ""})
		put(t, w.work(), whole("bare/"))
		put(t, w.work(), map[string]string{"bare/config": "1", "bare/hooks/pre-receive": "1"})
		makeOpaque(t, filepath.Join(w.upper(), "bare"))
		if held := heldIn(w.read(t, overlay.Filter{})); held["bare/config"] == "" || held["bare/hooks/pre-receive"] == "" {
			t.Errorf("held %q", held)
		}
	})
	t.Run("a link, and a lock, anywhere in it", func(t *testing.T) {
		links := map[string]string{"b/logs/HEAD": ">../../old", "b/logs/refs/heads": ">../../..", "b/refs/heads/x": ">../../../old", "b/objects/ab/c": ">/etc/passwd",
			"b/refs/heads/y.lock": "x"}
		w := newWorld(t, links)
		put(t, w.upper(), map[string]string{"b/logs/x": "1", "b/refs/heads/z": "1"})
		put(t, w.work(), whole("b/"))
		if held := heldIn(w.read(t, overlay.Filter{})); len(held) != len(links) {
			t.Errorf("held %q", held)
		}
		if held := heldIn(w.read(t, overlay.Filter{Release: []string{"b/logs"}})); len(held) != len(links)-2 {
			t.Errorf("held with logs released: %q", held)
		}
	})
	t.Run("control: what is released is let through", func(t *testing.T) {
		w := newWorld(t, map[string]string{"b/config": "2", "b/hooks/new": "2", "b/description": "whiteout", "b/info/x": "2"})
		put(t, w.work(), whole("b/"))
		put(t, w.work(), map[string]string{"b/config": "1", "b/description": "1"})
		if held := heldIn(w.read(t, overlay.Filter{Release: []string{"b/config", "b/hooks", "b/description"}})); len(held) != 2 || held["b/info/x"] == "" {
			t.Errorf("held %q", held)
		}
		makeOpaque(t, filepath.Join(w.upper(), "b"))
		put(t, w.work(), map[string]string{"b/shallow": "1", "b/grafts": "1"})
		if held := heldIn(w.read(t, overlay.Filter{Release: []string{"b/shallow"}})); held["b/shallow"] != "" || held["b/grafts"] == "" {
			t.Errorf("held where the folder hides them: %q", held)
		}
	})
	t.Run("what a bare repository leads to", func(t *testing.T) {
		w := newWorld(t, map[string]string{"s/hook": "2", "s/attributes": "2", "s/other": "2", "h/update": "2", "l/hook": "2", "old": "2"})
		put(t, w.work(), whole("b/"))
		put(t, w.work(), map[string]string{"b/config": "[core]\n\thooksPath = ../h\n", "b/hooks/post-receive": ">../../s/hook", "b/info/attributes": ">../../s/attributes", "s/hook": "1", "l/hook": "1"})
		if err := os.Link(filepath.Join(w.work(), "l/hook"), filepath.Join(w.work(), "b/hooks/update")); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(heldIn(w.read(t, overlay.Filter{})))), " "); got != "h h/update l/hook s/attributes s/hook" {
			t.Errorf("held %q", got)
		}
	})
	t.Run("control: git writes through a link", func(t *testing.T) {
		dir, run := repository(t)
		run("init", "-q", "--bare", "b")
		put(t, dir, map[string]string{"b/logs/HEAD": ">../../f", "f": ""})
		run("push", "-q", "./b", "HEAD:refs/heads/x")
		put(t, dir, map[string]string{"b/logs/refs/heads/x": ">../../../../f"})
		run("commit", "-qm", "two", "--allow-empty")
		run("push", "-q", "./b", "HEAD:refs/heads/x")
		if b, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || !strings.Contains(string(b), "push") {
			t.Errorf("%q %v", b, err)
		}
	})
	t.Run("control: a bare repository may go as a whole", func(t *testing.T) {
		w := newWorld(t, map[string]string{"bare": "whiteout"})
		put(t, w.work(), whole("bare/"))
		put(t, w.work(), map[string]string{"bare/config": "1"})
		if held := heldIn(w.read(t, overlay.Filter{})); len(held) > 0 {
			t.Errorf("held %q", held)
		}
	})
}

// repository makes one with a commit, and returns what runs git in it.
func repository(t *testing.T) (dir string, run func(...string) string) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("UNTESTED(git is not installed)")
	}
	dir = t.TempDir()
	run = func(args ...string) string {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-c", "user.name=x", "-c", "user.email=x@x"}, args...)...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v %s", args, err, b)
		}
		return strings.TrimSpace(string(b))
	}
	run("init", "-q")
	put(t, dir, map[string]string{"f": "1"})
	run("add", "f")
	run("commit", "-qm", "one")
	return dir, run
}

// TestNoObjectStandsForAnother: a reference below refs/replace has git show one
// object where another was asked for, and so hide a change. Packed, it does as
// well; then nothing is lost of the references that were to be packed.
func TestNoObjectStandsForAnother(t *testing.T) {
	ones := strings.Repeat("1", 40)
	line := ones + " refs/replace/" + zeros + "\n"
	main := ones + " refs/heads/main\n"
	for name, c := range map[string]struct {
		lower, upper map[string]string
		held         string
	}{
		"packed references":     {nil, map[string]string{".git/packed-refs": main}, ""},
		"a new replacement":     {nil, map[string]string{".git/packed-refs": main + line}, ".git/packed-refs"},
		"with another space":    {nil, map[string]string{".git/packed-refs": ones + "\trefs/replace/" + zeros + "\n"}, ".git/packed-refs"},
		"in a bare repository":  {nil, map[string]string{"b/packed-refs": line}, "b/packed-refs"},
		"one that was packed":   {map[string]string{".git/packed-refs": line}, map[string]string{".git/packed-refs": main + line}, ""},
		"one that was not":      {map[string]string{".git/refs/replace/" + zeros: ones + "\n"}, map[string]string{".git/packed-refs": line}, ""},
		"of another object":     {map[string]string{".git/refs/replace/" + zeros: zeros + "\n"}, map[string]string{".git/packed-refs": line}, ".git/packed-refs"},
		"and loose ones go":     {map[string]string{".git/refs/heads/main": ones}, map[string]string{".git/packed-refs": main + line, ".git/refs/heads/main": "whiteout"}, ".git/packed-refs .git/refs/heads/main"},
		"loose ones are packed": {map[string]string{".git/refs/heads/main": ones}, map[string]string{".git/packed-refs": main, ".git/refs/heads/main": "whiteout"}, ""},
		"in folders that go":    {map[string]string{".git/refs/heads/a/b": ones}, map[string]string{".git/packed-refs": line, ".git/refs/heads/a": "whiteout"}, ".git/packed-refs .git/refs/heads/a .git/refs/heads/a/b"},
		"a name without end":    {nil, map[string]string{".git/packed-refs": ones + " refs/replace/" + strings.Repeat("x", 70000) + "\n"}, ".git/packed-refs"},
		"a branch of that name": {nil, map[string]string{".git/refs/heads/packed-refs": "ref: config\n", "refs/b/packed-refs": line}, ".git/refs/heads/packed-refs refs/b/packed-refs"},
		"in folders of sources": {nil, map[string]string{"doc/refs": "1", "doc/replace/refs": "1", "refs": "1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.upper)
			put(t, w.work(), c.lower)
			held := heldIn(w.read(t, overlay.Filter{}))
			if got := strings.Join(slices.Sorted(maps.Keys(held)), " "); got != c.held {
				t.Errorf("held %q, want %q", held, c.held)
			}
		})
	}
	t.Run("the whole folder of references stays, no other", func(t *testing.T) {
		w := newWorld(t, map[string]string{".git/packed-refs": line, ".git/refs": "whiteout", "b/refs": "whiteout"})
		put(t, w.work(), map[string]string{".git/refs/heads/a/b": ones, "b/refs/heads/a": ones})
		held := heldIn(w.read(t, overlay.Filter{}))
		for _, n := range []string{".git/refs", ".git/refs/heads", ".git/refs/heads/a", ".git/refs/heads/a/b"} {
			if held[n] == "" {
				t.Errorf("%s is let through", n)
			}
		}
		if held["b/refs"] != "" || held["b/refs/heads/a"] != "" {
			t.Errorf("held %q", held)
		}
	})
	t.Run("control: git shows no change", func(t *testing.T) {
		dir, run := repository(t)
		put(t, dir, map[string]string{"f": "2"})
		run("add", "f")
		head, other := run("rev-parse", "HEAD"), run("commit-tree", "-m", "one", run("write-tree"))
		if got := run("status", "--short"); got == "" {
			t.Fatal("git shows no change before")
		}
		for _, where := range []map[string]string{{".git/refs/replace/" + head: other + "\n"}, {".git/packed-refs": other + " refs/replace/" + head + "\n"}} {
			put(t, dir, where)
			if got := run("status", "--short"); got != "" {
				t.Errorf("%q: git shows %q", where, got)
			}
			for name := range where {
				if err := os.Remove(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestWhatTellsGitWhatToDo: git-lfs sends files, and asks for passwords, where
// .lfsconfig says; attributes only choose among what a person has set up.
func TestWhatTellsGitWhatToDo(t *testing.T) {
	w := newWorld(t, map[string]string{".lfsconfig": "[lfs]\n\turl = https://example.com/x\n", "sub/.gitattributes": "* -diff\n"})
	for _, c := range w.read(t, overlay.Filter{}).Changes() {
		switch {
		case c.Path == ".lfsconfig" && c.Held == "":
			t.Error(".lfsconfig is let through")
		case c.Path == "sub/.gitattributes" && (c.Held != "" || len(c.Notes) != 1):
			t.Errorf("attributes: held %q, told %q", c.Held, c.Notes)
		}
	}
}

package overlay_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"golang.org/x/sys/unix"
)

// TestWhatGuardedNamesLeadTo: a change is held back if a guarded name of the
// workspace is another name for it, however it leads there.
func TestWhatGuardedNamesLeadTo(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	config := func(text string) map[string]string { return map[string]string{".git/config": text, "s/x": "1"} }
	for name, c := range map[string]struct {
		work, changes map[string]string
		held          string // paths, by a space
	}{
		"a hook that is a link":      {map[string]string{".git/hooks/pre-commit": ">../../s/hook.sh", "s/hook.sh": "1"}, map[string]string{"s/hook.sh": "2", "s/other": "2"}, "s/hook.sh"},
		"a link over another link":   {map[string]string{".git/hooks/pre-commit": ">../../l/hook.sh", "l": ">s", "s/hook.sh": "1"}, map[string]string{"s/hook.sh": "2", "l": ">dir"}, "l s/hook.sh"},
		"a hook that is not there":   {map[string]string{".git/hooks/pre-commit": ">../../s/hook.sh"}, map[string]string{"s/hook.sh": "2"}, "s/hook.sh"},
		"a folder that is not there": {map[string]string{".git/hooks/pre-commit": ">../../s/t/hook.sh"}, map[string]string{"s": ">dir"}, "s"},
		"an absolute link":           {map[string]string{".git/hooks/pre-commit": ">ROOT/s/hook.sh", "s/hook.sh": "1"}, map[string]string{"s/hook.sh": "2"}, "s/hook.sh"},
		"a way out and back in":      {map[string]string{".git/hooks/pre-commit": ">../../../work/s/hook.sh", "s/hook.sh": "1"}, map[string]string{"s/hook.sh": "2"}, "s/hook.sh"},
		"one that is removed":        {map[string]string{".git/hooks/pre-commit": ">../../s/hook.sh", "s/hook.sh": "1"}, map[string]string{"s": "whiteout"}, "s s/hook.sh"},
		"a folder of hooks":          {map[string]string{".git/hooks": ">../s"}, map[string]string{"s/pre-commit": "2"}, "s s/pre-commit"},
		"a link in such a folder":    {map[string]string{".git/hooks": ">../s", "s/pre-commit": ">../dir/a"}, map[string]string{"dir/a": "2"}, "dir/a"},
		"a hook of a nested tree":    {map[string]string{"sub/.git/hooks/x": ">../../s/hook.sh", "sub/s/hook.sh": "1"}, map[string]string{"sub/s/hook.sh": "2"}, "sub/s/hook.sh"},
		"instructions":               {map[string]string{"AGENTS.md": ">docs/agents.md", "docs/agents.md": "1"}, map[string]string{"docs/agents.md": "2"}, "docs/agents.md"},
		"a workflow":                 {map[string]string{".github/workflows": ">../ci", "ci/a.yml": "1"}, map[string]string{"ci/a.yml": "2", "ci/b.yml": "2"}, "ci/a.yml ci/b.yml"},
		"hooksPath":                  {config("[core]\n\thooksPath = s\n"), map[string]string{"s/x": "2", "s/pre-commit": "2", "dir/a": "2"}, "s/pre-commit s/x"},
		"hooksPath, quoted":          {config("[CORE]\n\tHooksPath = \"s\" ; here\n"), map[string]string{"s/x": "2"}, "s/x"},
		"hooksPath, on two lines":    {config("[core] hooksPath = \\\n ./s\n"), map[string]string{"s/x": "2"}, "s/x"},
		"hooksPath, not there":       {config("[core]\n\thooksPath = tools/hooks\n"), map[string]string{"tools/hooks/pre-push": "2", "tools/y": "1"}, "tools/hooks tools/hooks/pre-push"},
		"hooksPath, the tree itself": {config("[core]\n\thooksPath = .\n"), map[string]string{"pre-commit": "2", "old": "2"}, "pre-commit"},
		"hooksPath of an include": {map[string]string{".git/config": "[include]\n path = ../team.cfg\n", "team.cfg": "[core]\nhooksPath=s\n", "s/x": "1"},
			map[string]string{"team.cfg": "[core]\n", "s/x": "2"}, "s/x team.cfg"},
		"hooksPath of a working tree": {map[string]string{".git/config.worktree": "[core]\nhooksPath=s\n", "s/x": "1"}, map[string]string{"s/x": "2"}, "s/x"},
		"hooksPath of a tree elsewhere": {config("[core]\n\tworktree = ../tree\n\thooksPath = hk\n"),
			map[string]string{"tree/hk/x": "2", "hk/x": "2", "tree/y": "2"}, "hk hk/x tree/hk tree/hk/x"},
		"hooksPath of a linked tree": {map[string]string{"wt/.git": "gitdir: ../.bare/worktrees/wt\n", ".bare/worktrees/wt/commondir": "../..\n",
			".bare/config": "[core]\nhooksPath = hk\n", "wt/hk/x": "1"}, map[string]string{"wt/hk/x": "2"}, "wt/hk/x"},
		"a filter":                           {config("[filter \"f\"]\n\tclean = sh s/x %f\n"), map[string]string{"s/x": "2"}, "s/x"},
		"an alias":                           {config("[alias]\n\tgo = !s/x\n\tst = status\n"), map[string]string{"s/x": "2", "status": "2"}, "s/x"},
		"an alias with what a shell puts in": {config("[alias]\n\tgo = \"!$(git rev-parse --show-toplevel)/s/x\"\n"), map[string]string{"s/x": "2"}, "s/x"},
		"a filter with what a shell puts in": {config("[filter \"f\"]\n\tsmudge = $HOME/work/s/x\n"), map[string]string{"s/x": "2", "old": "2"}, "s/x"},
		"a program at the other end":         {config("[remote \"here\"]\n\turl = dir/a\n\tuploadpack = s/x\n"), map[string]string{"s/x": "2", "dir/a": "2"}, "s/x"},
		"a program that moves large files":   {config("[lfs \"customtransfer.t\"]\n\tpath = s/x\n"), map[string]string{"s/x": "2"}, "s/x"},
		"a watcher":                          {config("[core]\n\tfsmonitor = ./s/x\n"), map[string]string{"s/x": "2"}, "s/x"},
		"plain words":                        {config("[core]\n\tautocrlf = old\n\tbare = false\n[remote \"keep\"]\n\turl = dir/a\n"), map[string]string{"old": "2", "dir/a": "2", "false": "2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.changes)
			work := maps.Clone(c.work)
			for p, v := range work {
				work[p] = strings.ReplaceAll(v, "ROOT", w.work())
			}
			put(t, w.work(), work)
			l, err := overlay.Read(t.Context(), openDir(t, w.upper()), openDir(t, w.work()), overlay.Filter{}, most)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(slices.Sorted(maps.Keys(heldIn(l))), " "); got != c.held {
				t.Errorf("held %q, want %q: %v", got, c.held, heldIn(l))
			}
		})
	}
	t.Run("hard links", func(t *testing.T) {
		w := newWorld(t, map[string]string{"s/hook.sh": "2"})
		put(t, w.work(), map[string]string{"s/hook.sh": "1", ".git/hooks/": ""})
		if err := os.Link(filepath.Join(w.work(), "s/hook.sh"), filepath.Join(w.work(), ".git/hooks/pre-commit")); err != nil {
			t.Fatal(err)
		}
		if held := heldIn(w.read(t, overlay.Filter{})); held["s/hook.sh"] == "" {
			t.Error("another name of a hook is committed")
		}
	})
	t.Run("a repository above the workspace", func(t *testing.T) {
		w := newWorld(t, map[string]string{"s/x": "2", "old": "2"})
		put(t, w.work(), map[string]string{"s/x": "1"})
		put(t, w.dir, map[string]string{".git/config": "[core]\nhooksPath = work/s\n", ".git/hooks/pre-commit": ">../../work/old"})
		if held := heldIn(w.read(t, overlay.Filter{})); held["s/x"] == "" || held["old"] == "" {
			t.Errorf("held %q", held)
		}
	})
	t.Run("a workspace in a git directory", func(t *testing.T) {
		w := newWorld(t, map[string]string{"pre-push": "2"})
		put(t, w.dir, map[string]string{".git/HEAD": "x"})
		hooks := filepath.Join(w.dir, ".git/hooks")
		if err := os.Rename(w.work(), hooks); err != nil {
			t.Fatal(err)
		}
		l, err := overlay.Read(t.Context(), openDir(t, w.upper()), openDir(t, hooks), overlay.Filter{}, most)
		if err != nil || heldIn(l)["pre-push"] == "" {
			t.Errorf("held %q, %v", heldIn(l), err)
		}
	})
	t.Run("the configuration of the user", func(t *testing.T) {
		home := t.TempDir()
		t.Setenv("HOME", home)
		put(t, home, map[string]string{".gitconfig": "[core]\nhooksPath = team\n"})
		w := newWorld(t, map[string]string{"team/pre-commit": "2"})
		put(t, w.work(), map[string]string{".git/config": ""})
		if held := heldIn(w.read(t, overlay.Filter{})); held["team/pre-commit"] == "" {
			t.Errorf("held %q", held)
		}
	})
	t.Run("the home of another user", func(t *testing.T) {
		w := newWorld(t, nil)
		passwd := filepath.Join(t.TempDir(), "passwd")
		if err := os.WriteFile(passwd, []byte("root:x:0:0:root:/root:/bin/sh\nfred:x:9:9:Fred:"+w.dir+":/bin/sh\nshort:x:9\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		defer overlay.SetPasswd(passwd)()
		// fred's home is the folder above the workspace, and so may be that of a
		// user whom only a directory service knows
		for text, held := range map[string]bool{"~fred/work/s": true, "~nobody-here/work/s": true, "~short/work/s": true, "~root/work/s": false, "~fred/s": false} {
			w := world{w.dir}
			put(t, w.work(), map[string]string{".git/config": "[core]\n\thooksPath = " + text + "\n", "s/x": "1"})
			put(t, w.upper(), map[string]string{"s/x": "2"})
			if got := heldIn(w.read(t, overlay.Filter{})); (got["s/x"] != "") != held {
				t.Errorf("%s: held %q", text, got)
			}
		}
	})
	t.Run("a new repository that the user's configuration would act in", func(t *testing.T) {
		home := t.TempDir()
		t.Setenv("HOME", home)
		t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(home, "global"))
		for text, held := range map[string]bool{"[core]\nhooksPath = team\n": true, "[core]\nhooksPath = ~/team\n": false,
			"[include]\npath = more\n": true, "[filter \"f\"]\nclean = sh ./f %f\n[core]\npager = less -R\n": true,
			"[credential]\nhelper = !/usr/bin/helper x\n[init]\ndefaultBranch = a/b\n": false} {
			for _, name := range []string{".gitconfig", "global"} {
				put(t, home, map[string]string{".gitconfig": "", "global": "", "more": "[core]\nfsmonitor = ./watch"})
				put(t, home, map[string]string{name: text})
				w := newWorld(t, map[string]string{"sub/.git/HEAD": "x", "sub/team/pre-commit": "2"})
				if got := heldIn(w.read(t, overlay.Filter{})); (got["sub/.git"] != "") != held || (got["sub/.git/HEAD"] != "") != held {
					t.Errorf("%s %q: held %q", name, text, got)
				}
			}
		}
	})
	t.Run("what is released is not held", func(t *testing.T) {
		w := newWorld(t, map[string]string{"s/x": "2"})
		put(t, w.work(), map[string]string{".git/config": "[core]\nhooksPath=s\n", "s/x": "1"})
		if held := heldIn(w.read(t, overlay.Filter{Release: []string{"s"}})); len(held) != 0 {
			t.Errorf("held %q", held)
		}
	})
	t.Run("configurations that are no files", func(t *testing.T) {
		w := newWorld(t, map[string]string{"old": "2"})
		put(t, w.work(), map[string]string{".git/config": ">/dev/zero", ".git/commondir": ">/dev/tty", "sub/.git/": "", "pipe/.git/": ""})
		if err := errors.Join(unix.Mkfifo(filepath.Join(w.work(), "sub/.git/config"), 0o600), unix.Mkfifo(filepath.Join(w.work(), "pipe/.git/commondir"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if held := heldIn(w.read(t, overlay.Filter{})); len(held) != 0 {
			t.Errorf("held %q", held)
		}
	})
	t.Run("links that go round", func(t *testing.T) {
		w := newWorld(t, map[string]string{"old": "2"})
		put(t, w.work(), map[string]string{".husky": ">loop", "loop/a/b": ">..", "loop/c": ">c", "loop/d": ">../.husky"})
		if held := heldIn(w.read(t, overlay.Filter{})); len(held) != 0 {
			t.Errorf("held %q", held)
		}
	})
}

// TestGitDirectoryIsClosed: in a git directory only plain data may change.
func TestGitDirectoryIsClosed(t *testing.T) {
	never := []string{"rebase-merge/git-rebase-todo", "rebase-apply/x", "sequencer/todo", "info/attributes", "info/grafts", "BISECT_RUN",
		"rr-cache/a/postimage", "remotes/origin", "branches/x", "modules/m/config", "lfs/hooks/x", "NEWS_OF_TOMORROW", "index.lock",
		"refs/heads/x.lock", "objects/info/alternates", "objects/x/.git/hooks/y", "sharedindex.0", "HEAD/x", "CONFIG", "shallow"}
	data := []string{"HEAD", "ORIG_HEAD", "FETCH_HEAD", "packed-refs", "objects/pack/p.pack", "objects/info/packs", "objects/ab/c",
		"refs/heads/topic/x", "logs/HEAD", "info/refs", "logs/refs/heads/x", "COMMIT_EDITMSG", "MERGE_MSG"}
	for _, folder := range []string{".git/", "deep/er/.git/", ".GIT/", "git~1/"} {
		for i, p := range append(slices.Clone(never), data...) {
			w := newWorld(t, map[string]string{folder + p: "x"})
			if got := heldIn(w.read(t, overlay.Filter{}))[folder+p] != ""; got != (i < len(never)) {
				t.Errorf("%s%s: held %v", folder, p, got)
			}
		}
	}
	w := newWorld(t, map[string]string{".git/refs/heads/x": ">../../../evil", ".git/logs": ">../evil"})
	if held := heldIn(w.read(t, overlay.Filter{})); len(held) != 2 {
		t.Errorf("links in a git directory: held %q", held)
	}
	bare := map[string]string{"b/HEAD": "x", "b/objects/": "", "b/refs/": ""}
	w = newWorld(t, map[string]string{"b/hooks/x": "1", "b/index": "1", "b/sequencer/x": "1", "b/info/attributes": "1", "b/refs/heads/x": "1"})
	put(t, w.work(), bare)
	if held := heldIn(w.read(t, overlay.Filter{})); held["b/hooks/x"] == "" || held["b/index"] == "" || held["b/sequencer/x"] == "" || held["b/info/attributes"] == "" || held["b/refs/heads/x"] != "" {
		t.Errorf("a bare repository: held %q", held)
	}
}

// TestReferencesLeadToReferences: git writes to what a symbolic reference names.
func TestReferencesLeadToReferences(t *testing.T) {
	for text, held := range map[string]bool{"ref: refs/heads/topic\n": false, "0123456789012345678901234567890123456789\n": false,
		"ref: config\n": true, "ref:hooks/post-commit": true, "ref: \t\nconfig": true, "ref: refs/../config\n": true, "ref: refs/heads/../../config": true,
		"ref: refs//x": true, "ref: refs/heads/.x": true, "ref: refs/heads/x.lock": true, "ref: ": true, "ref: worktrees/x/HEAD": true,
		"ref: refs/heads/" + strings.Repeat("x", 5000): true} {
		for _, p := range []string{".git/HEAD", ".git/ORIG_HEAD", ".git/refs/heads/main", ".GIT/refs/remotes/a/HEAD", "b/refs/heads/x", "b/HEAD"} {
			w := newWorld(t, map[string]string{p: text})
			put(t, w.work(), map[string]string{"b/HEAD": "x", "b/objects/": "", "b/refs/": ""})
			if got := heldIn(w.read(t, overlay.Filter{})); (got[p] != "") != held {
				t.Errorf("%s %.40q: held %q", p, text, got)
			}
		}
	}
	t.Run("control: git writes the file", func(t *testing.T) {
		git, err := exec.LookPath("git")
		if err != nil {
			t.Skip("UNTESTED(git is not installed)")
		}
		dir := t.TempDir()
		run := func(args ...string) error {
			cmd := exec.Command(git, args...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
			return cmd.Run()
		}
		if err := run("init", "-q", "-b", "main"); err != nil {
			t.Fatal(err)
		}
		if err := run("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "x"); err != nil {
			t.Fatal(err)
		}
		const target = "hooks/post-commit"
		put(t, dir, map[string]string{".git/refs/heads/main": "ref: " + target + "\n"})
		err = run("-c", "user.name=x", "-c", "user.email=x@x", "commit", "-q", "--allow-empty", "-m", "y")
		if b, rerr := os.ReadFile(filepath.Join(dir, ".git", target)); rerr != nil || len(b) != 41 {
			t.Errorf("%v: %q, %v", err, b, rerr)
		}
	})
}

// index writes an index of version 2 that names the given paths.
func index(names ...string) []byte {
	b := binary.BigEndian.AppendUint32([]byte("DIRC"), 2)
	b = binary.BigEndian.AppendUint32(b, uint32(len(names)))
	for _, n := range names {
		e := append(make([]byte, 60), byte(len(n)>>8), byte(len(n)))
		binary.BigEndian.PutUint32(e[24:], 0o100755)
		e = append(e, n...)
		b = append(append(b, e...), make([]byte, 8-len(e)%8)...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

func TestIndexIsLookedAt(t *testing.T) {
	for name, c := range map[string]struct {
		content []byte
		held    bool
	}{
		"plain":             {index("a", "dir/b", strings.Repeat("long/", 40)+"x"), false},
		"a hook":            {index("a", ".git/hooks/post-checkout"), true},
		"a hook, disguised": {index("sub/.GiT /hooks/x"), true},
		"out of the tree":   {index("../x"), true},
		"absolute":          {index("/etc/x"), true},
		"no index":          {[]byte("x"), true},
		"empty":             {nil, true},
		"split":             {slices.Concat(index("a")[:len(index("a"))-20], []byte("link\x00\x00\x00\x01x"), make([]byte, 20)), true},
		"more than it has":  {append([]byte("DIRC\x00\x00\x00\x02\xff\xff\xff\xff"), make([]byte, 100)...), true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, map[string]string{".git/index": string(c.content)})
			if held := heldIn(w.read(t, overlay.Filter{})); (held[".git/index"] != "") != c.held {
				t.Errorf("held %q", held)
			}
		})
	}
}

// TestIndexesOfGitArePlain: what git itself writes, in every version, is let
// through, and every name that is put into one is found.
func TestIndexesOfGitArePlain(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("UNTESTED(git is not installed)")
	}
	for _, version := range []string{"2", "3", "4"} {
		dir := t.TempDir()
		put(t, dir, map[string]string{"a": "1", "dir/one": "1", "dir/onetwo": "1", "dir/deep/er": "1", strings.Repeat("n", 200): "1"})
		for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"add", "-N", "."}, {"update-index", "--index-version", version}, {"status"}} {
			cmd := exec.Command(git, args...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v %s", args, err, out)
			}
		}
		b, err := os.ReadFile(filepath.Join(dir, ".git/index"))
		if err != nil {
			t.Fatal(err)
		}
		if err := overlay.CheckIndex(b); err != nil {
			t.Errorf("version %s: %v", version, err)
		}
		if err := overlay.CheckIndex(bytes.Replace(b, []byte("dir/onetwo"), []byte("dir/../two"), 1)); version != "4" && err == nil {
			t.Errorf("version %s: a path with dots is let through", version)
		}
	}
}

// TestFoldersOfOthersAreNoObstacle: a workspace may hold what this user cannot
// look into, such as the data of a service.
func TestFoldersOfOthersAreNoObstacle(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("UNTESTED(root can look into everything)")
	}
	w := newWorld(t, map[string]string{"old": "2"})
	closed := filepath.Join(w.work(), "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(closed, 0o700) })
	if held := heldIn(w.read(t, overlay.Filter{})); len(held) > 0 {
		t.Errorf("held %q", held)
	}
}

func TestSearchHasItsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := newWorld(t, map[string]string{"old": "2"})
	if _, err := overlay.Read(ctx, openDir(t, w.upper()), openDir(t, w.work()), overlay.Filter{}, most); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reading: %v", err)
	}
	put(t, w.work(), map[string]string{strings.Repeat("d/", 300): ""})
	if _, err := overlay.Read(t.Context(), openDir(t, w.upper()), openDir(t, w.work()), overlay.Filter{}, most); !errors.Is(err, overlay.ErrTooMany) {
		t.Errorf("folders without end: %v", err)
	}
}

func FuzzCheckIndex(f *testing.F) {
	f.Add(index("a", "dir/b"))
	f.Add(index(".git/x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if overlay.CheckIndex(b) == nil && bytes.Contains(b[:len(b)-20], []byte("\x00.git/")) && binary.BigEndian.Uint32(b[8:]) == 1 {
			t.Error("let through")
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add("[core]\n\thooksPath = \"a b\" ; x\n[include \"x\\\"y\"] path=\\\n z")
	f.Fuzz(func(t *testing.T, s string) {
		for _, p := range overlay.ConfigFiles(s) {
			if len(p) > len(s) {
				t.Errorf("%q out of %q", p, s)
			}
		}
	})
}

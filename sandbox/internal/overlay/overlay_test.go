package overlay_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"golang.org/x/sys/unix"
)

// world is a workspace, a layer over it as the kernel would have made it, and a
// store, below one directory.
type world struct{ dir string }

func (w world) work() string  { return filepath.Join(w.dir, "work") }
func (w world) upper() string { return filepath.Join(w.dir, "upper") }
func (w world) store() string { return filepath.Join(w.dir, "store") }

// before is the workspace of every test; a path that ends in a slash is a
// folder, a value that begins with > a link.
var before = map[string]string{
	"keep": "keep", "old": "old", "gone": "gone", "link": ">old", "dir/a": "a", "dir/b": "b", "dir/deep/c": "c",
	"swap/x": "x", "opaque/hidden": "h", "opaque/same": "same", "kind": "file",
}

func put(t testing.TB, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(p), 0o755)
		switch {
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(p, 0o755))
		case content == "whiteout":
			err = errors.Join(err, unix.Mknod(p, unix.S_IFCHR, 0))
		case strings.HasPrefix(content, ">"):
			err = errors.Join(err, os.Symlink(content[1:], p))
		default:
			err = errors.Join(err, os.WriteFile(p, []byte(content), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func newWorld(t testing.TB, changes map[string]string) world {
	t.Helper()
	// in memory if that is possible: what is tested is order, not the disk
	dir, err := os.MkdirTemp("/dev/shm", "overlay-test")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
	} else if dir, err = filepath.EvalSymlinks(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	w := world{dir}
	put(t, w.work(), before)
	put(t, w.upper(), changes)
	return w
}

// everything is a layer with every kind of change.
var everything = map[string]string{
	"old": "new", "gone": "whiteout", "link": ">keep", "fresh/one": "1", "fresh/two/three": "3", "fresh/empty/": "",
	"dir": "whiteout", "swap": "now a file", "kind/inner": "now a folder", "opaque/same": "changed", "to": ">keep",
}

const afterEverything = "fresh/ fresh/empty/ fresh/one=1 fresh/two/ fresh/two/three=3 keep=keep kind/ kind/inner=now a folder " +
	"link>keep old=new opaque/ opaque/same=changed swap=now a file to>keep"

func makeOpaque(t testing.TB, dir string) {
	t.Helper()
	if err := unix.Setxattr(dir, "user.overlay.opaque", []byte("y"), 0); err != nil {
		t.Skipf("UNTESTED(no user attributes here: %v)", err)
	}
}

// look renders a directory as text.
func look(t testing.TB, root string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			rel += ">" + to
		default:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel += "=" + string(b)
		}
		list = append(list, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, " ")
}

// most is how many bytes the stores of these tests keep.
const most = 8 << 20

func openDir(t testing.TB, dir string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func (w world) read(t testing.TB, f overlay.Filter) *overlay.Layer {
	t.Helper()
	l, err := overlay.Read(context.Background(), openDir(t, w.upper()), openDir(t, w.work()), f, most)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w world) open(t testing.TB) *overlay.Store {
	t.Helper()
	s, err := overlay.OpenStore(w.store(), most)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w world) request(t testing.TB, l *overlay.Layer) overlay.Request {
	t.Helper()
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, w.work(), 0, unix.STATX_BASIC_STATS, &st); err != nil {
		t.Fatal(err)
	}
	return overlay.Request{Call: t.Name(), Layer: l, Since: time.Now().Add(time.Hour),
		Target: overlay.Target{Dir: w.work(), Dev: uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), Ino: st.Ino, Own: os.Getuid() == 0}}
}

func TestCommitMakesEveryKindOfChangeAndUndoTakesItBack(t *testing.T) {
	w := newWorld(t, everything)
	makeOpaque(t, filepath.Join(w.upper(), "opaque"))
	was := look(t, w.work())
	s := w.open(t)
	decided := ""
	r := w.request(t, w.read(t, overlay.Filter{}))
	r.Deciding = func(id string) error {
		if got := look(t, w.work()); !strings.Contains(got, was[:20]) {
			t.Errorf("changed before the decision: %s", got)
		}
		decided = id
		return nil
	}
	id, err := s.Commit(t.Context(), r)
	if err != nil || id == "" || id != decided {
		t.Fatalf("%q %q %v", id, decided, err)
	}
	if got := look(t, w.work()); got != afterEverything {
		t.Fatalf("got  %s\nwant %s", got, afterEverything)
	}
	if err := s.Undo(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := look(t, w.work()); got != was {
		t.Fatalf("after undo\ngot  %s\nwant %s", got, was)
	}
	if err := s.Undo(t.Context(), id); err == nil {
		t.Error("undone twice")
	}
}

func TestRefusedDecisionLeavesNoTrace(t *testing.T) {
	w := newWorld(t, everything)
	was := look(t, w.work())
	s := w.open(t)
	no := errors.New("no")
	r := w.request(t, w.read(t, overlay.Filter{}))
	r.Deciding = func(string) error { return no }
	if _, err := s.Commit(t.Context(), r); !errors.Is(err, no) {
		t.Fatal(err)
	}
	if got := look(t, w.work()); got != was {
		t.Errorf("got %s", got)
	}
	if got := look(t, w.store()); strings.Contains(got, "journal") {
		t.Errorf("store holds %s", got)
	}
}

// TestConflictChangesNothing: whatever the user did meanwhile stays, and none
// of the call's changes is made.
func TestConflictChangesNothing(t *testing.T) {
	for name, meddle := range map[string]func(work string) error{
		"EditedFile":      func(d string) error { return os.WriteFile(filepath.Join(d, "old"), []byte("mine"), 0o644) },
		"ReplacedFile":    func(d string) error { return os.Rename(filepath.Join(d, "keep"), filepath.Join(d, "old")) },
		"RemovedFile":     func(d string) error { return os.Remove(filepath.Join(d, "old")) },
		"RemovedWhatGoes": func(d string) error { return os.Remove(filepath.Join(d, "gone")) },
		"EditedWhatGoes":  func(d string) error { return os.WriteFile(filepath.Join(d, "gone"), []byte("mine"), 0o644) },
		"FilledDirectory": func(d string) error { return os.WriteFile(filepath.Join(d, "dir/mine"), nil, 0o644) },
		"TookNewName":     func(d string) error { return os.WriteFile(filepath.Join(d, "to"), []byte("mine"), 0o644) },
		"LinkedNewFolder": func(d string) error { return os.Symlink("/etc", filepath.Join(d, "fresh")) },
		"RetargetedLink": func(d string) error {
			os.Remove(filepath.Join(d, "link"))
			return os.Symlink("gone", filepath.Join(d, "link"))
		},
		"FolderBecameLink": func(d string) error {
			return errors.Join(os.Rename(filepath.Join(d, "opaque"), filepath.Join(d, "moved")), os.Symlink("moved", filepath.Join(d, "opaque")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, everything)
			s := w.open(t)
			l := w.read(t, overlay.Filter{})
			if err := meddle(w.work()); err != nil {
				t.Fatal(err)
			}
			was := look(t, w.work())
			_, err := s.Commit(t.Context(), w.request(t, l))
			if _, ok := errors.AsType[*overlay.ConflictError](err); !ok && name != "RemovedFile" && name != "RemovedWhatGoes" &&
				name != "FolderBecameLink" && name != "EditedFile" && name != "EditedWhatGoes" && name != "ReplacedFile" {
				t.Errorf("got %v", err)
			}
			if err == nil {
				t.Error("committed")
			}
			if got := look(t, w.work()); got != was {
				t.Errorf("got  %s\nwant %s", got, was)
			}
		})
	}
	t.Run("ChangedSinceTheCallBegan", func(t *testing.T) {
		w := newWorld(t, everything)
		r := w.request(t, w.read(t, overlay.Filter{}))
		r.Since = time.Now().Add(-time.Hour)
		_, err := w.open(t).Commit(t.Context(), r)
		if e, ok := errors.AsType[*overlay.ConflictError](err); !ok || len(e.Paths) < 3 {
			t.Errorf("got %v", err)
		}
	})
}

// TestOtherSystemsOfVersionsAreClosed: what they execute waits for a person, and
// what leads them to such a file elsewhere; their data does not.
func TestOtherSystemsOfVersionsAreClosed(t *testing.T) {
	closed := []string{"a/.hg/hgrc", "a/.hg/hgrc-not-shared", ".hg/sharedpath", "b/_darcs/prefs/defaults", ".pijul/config", "c/.mvn/extensions.xml", ".Rprofile", ".vim/plugin/x"}
	data := []string{"a/.hg/store/00changelog.i", "b/_darcs/pristine.hashed/x", ".pijul/pristine/db", "mvn/x", "vim"}
	changes := map[string]string{}
	for _, p := range append(slices.Clone(closed), data...) {
		changes[p] = "x"
	}
	held := heldIn(newWorld(t, changes).read(t, overlay.Filter{}))
	for i, p := range append(slices.Clone(closed), data...) {
		if (held[p] != "") != (i < len(closed)) {
			t.Errorf("%s: held %q", p, held[p])
		}
	}
}

func TestFilterHoldsBack(t *testing.T) {
	w := newWorld(t, map[string]string{
		"ok": "1", ".git/hooks/pre-commit": "x", ".GIT/Hooks/post": "x", "sub/.git/config": "x", ".envrc": "x", "AGENTS.md": "x",
		"KEEP": "clash", "bad\x1bname": "x", "bad\xff": "x", "Makefile": "all:", "out": ">../../etc/passwd", "priv/secret": "x",
		".holdfast-1/x": "x", ".vscode/tasks.json": "x", ".github/workflows/ci.yml": "x", "rel/.envrc": "x",
	})
	if err := errors.Join(unix.Mkfifo(filepath.Join(w.upper(), "pipe"), 0o644),
		os.Chmod(filepath.Join(w.upper(), "ok"), 0o4777|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	held, notes := map[string]bool{}, map[string]bool{}
	l := w.read(t, overlay.Filter{Protect: []string{"priv"}, Release: []string{"rel/.envrc"}})
	for _, c := range l.Changes() {
		held[c.Path] = c.Held != ""
		notes[c.Path] = len(c.Notes) > 0
		if c.Path == "ok" && c.Mode != 0o755 {
			t.Errorf("mode %o", c.Mode)
		}
	}
	for p, want := range map[string]bool{"ok": false, "Makefile": false, "out": false, ".git/hooks/pre-commit": true, "pipe": true,
		".GIT/Hooks/post": true, "sub/.git/config": true, ".envrc": true, "AGENTS.md": true, "KEEP": true, "bad\x1bname": true, "rel/.envrc": false,
		"bad\xff": true, "priv/secret": true, ".holdfast-1/x": true, ".vscode/tasks.json": true, ".github/workflows/ci.yml": true} {
		if got, ok := held[p]; !ok || got != want {
			t.Errorf("%q: held %v (present %v), want %v", p, got, ok, want)
		}
	}
	if !notes["Makefile"] || !notes["out"] || notes["ok"] {
		t.Errorf("notes %v", notes)
	}
	if _, err := w.open(t).Commit(t.Context(), w.request(t, l)); err != nil {
		t.Fatal(err)
	}
	got := look(t, w.work())
	for _, never := range []string{"hooks", "envrc=x KEEP", "AGENTS", "pipe", "secret", "bad"} {
		if strings.Contains(got, never) {
			t.Errorf("%s was committed: %s", never, got)
		}
	}
	if !strings.Contains(got, "ok=1") {
		t.Errorf("got %s", got)
	}
}

func TestRemovingAHeldPathKeepsTheFolderAboveIt(t *testing.T) {
	w := newWorld(t, map[string]string{".git": "whiteout"})
	put(t, w.work(), map[string]string{".git/hooks/h": "mine", ".git/HEAD": "ref"})
	if _, err := w.open(t).Commit(t.Context(), w.request(t, w.read(t, overlay.Filter{}))); err != nil {
		t.Fatal(err)
	}
	if got := look(t, w.work()); !strings.Contains(got, ".git/hooks/h=mine") || strings.Contains(got, "HEAD") {
		t.Errorf("got %s", got)
	}
}

func TestTooMuchIsRefusedAsAWhole(t *testing.T) {
	w := newWorld(t, map[string]string{"old": "new", strings.Repeat("d/", 70) + "x": "x"})
	_, err := overlay.Read(t.Context(), openDir(t, w.upper()), openDir(t, w.work()), overlay.Filter{}, most)
	if !errors.Is(err, overlay.ErrTooMany) {
		t.Fatalf("got %v", err)
	}
}

func TestStoreOfOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := overlay.OpenStore(dir, most); err == nil {
		t.Error("opened a store that others can read")
	}
}

// dying is the name under which this program commits and kills itself before a
// step.
const dying = "dying"

func TestMain(m *testing.M) {
	if os.Args[0] == dying {
		if strings.ContainsAny(os.Args[2], "0123456789") {
			die(os.Args[1], os.Args[2])
		}
		watched(os.Args[1], os.Args[2])
	}
	os.Exit(m.Run())
}

// die commits, or recovers, in the world at dir and is killed before step n.
func die(dir, at string) {
	t := &testing.T{}
	w := world{dir}
	var n, count int
	fmt.Sscan(at, &n)
	s, err := overlay.OpenStore(w.store(), most)
	if err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	s.Step(func(string) {
		if count++; count > n {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if _, err := s.Recover(context.Background()); err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	if _, err := s.Commit(context.Background(), w.request(t, w.read(t, overlay.Filter{}))); err != nil {
		fmt.Print(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestFoldersOfOpaqueFolders: the kernel marks a folder as hiding what is below it
// once, not those in it again.
func TestFoldersOfOpaqueFolders(t *testing.T) {
	w := newWorld(t, map[string]string{"opaque/in/new": "n", "opaque/in/deep/er/": ""})
	put(t, w.work(), map[string]string{"opaque/in/hidden": "h", "opaque/in/deep/er/x": "x", "opaque/in/deep/y": "y"})
	makeOpaque(t, filepath.Join(w.upper(), "opaque"))
	was := look(t, w.work())
	s := w.open(t)
	id, err := s.Commit(t.Context(), w.request(t, w.read(t, overlay.Filter{})))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := look(t, filepath.Join(w.work(), "opaque")), "in/ in/deep/ in/deep/er/ in/new=n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := s.Undo(t.Context(), id); err != nil || look(t, w.work()) != was {
		t.Errorf("undone: %v, %s", err, look(t, w.work()))
	}
}

// TestWhatToolsObeyIsHeld: files that programs execute or obey because they lie in
// the folder in which they are started.
func TestWhatToolsObeyIsHeld(t *testing.T) {
	held := []string{".helix/languages.toml", "rust-toolchain.toml", ".yarn/releases/yarn.cjs", "sub/.pnpmfile.cjs", "tools/bazel", ".pylintrc",
		".config/mise/config.toml", "appveyor.yml", ".tekton/x.yaml", "sub/.kiro/steering/x.md", ".github/prompts/x.prompt.md", "opencode.json"}
	free := []string{"helix.go", "tools/bazel.go", ".yarn/cache/x.zip", ".github/README.md", "docs/prompts/x.md", "rust-toolchain.md"}
	files := map[string]string{"sub/.gitignore": "x", "gradlew": "x"}
	for _, p := range slices.Concat(held, free) {
		files[p] = "x"
	}
	for _, c := range newWorld(t, files).read(t, overlay.Filter{}).Changes() {
		if c.Type == overlay.File && (c.Held != "") != slices.Contains(held, c.Path) {
			t.Errorf("%s: held %q", c.Path, c.Held)
		}
		if noted := c.Path == "sub/.gitignore" || c.Path == "gradlew"; noted != (len(c.Notes) > 0) {
			t.Errorf("%s: %q", c.Path, c.Notes)
		}
	}
}

// TestKilledAtEveryStep is the promise of the package: a process that commits
// is killed before step n, for every n; after a recovery, itself killed before
// every one of its steps, all of the changes are made or none.
func TestKilledAtEveryStep(t *testing.T) {
	none, all, last := 0, 0, false
	for n := 0; !last; n++ {
		w := newWorld(t, everything)
		makeOpaque(t, filepath.Join(w.upper(), "opaque"))
		was := look(t, w.work())
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{dying, w.dir, fmt.Sprint(n)}
		out, err := cmd.CombinedOutput()
		last = err == nil
		if len(out) > 0 {
			t.Fatalf("step %d: %s", n, out)
		}
		s := w.open(t)
		// a recovery that dies at its third step must not do harm either
		func() {
			defer func() { _ = recover() }()
			k := 0
			s.Step(func(string) {
				if k++; k == 1+n%3 {
					panic("died")
				}
			})
			s.Recover(t.Context())
		}()
		s = w.open(t)
		if found, err := s.Recover(t.Context()); err != nil {
			t.Fatalf("step %d: %v %v", n, found, err)
		}
		switch got := look(t, w.work()); got {
		case was:
			none++
		case afterEverything:
			all++
		default:
			t.Fatalf("killed before step %d:\n%s", n, got)
		}
		if list, _ := os.ReadDir(filepath.Join(w.store(), "open")); len(list) > 0 {
			t.Errorf("step %d: left in the store: %v", n, list)
		}
	}
	if none < 20 || all < 2 {
		t.Errorf("%d times nothing, %d times everything: the steps were not all met", none, all)
	}
	t.Logf("killed before %d steps: %d times nothing was changed, %d times everything", none+all-1, none, all)
}

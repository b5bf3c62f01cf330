//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

func TestNoCellSeesTheStateDirectory(t *testing.T) {
	top := realDir(t)
	state := filepath.Join(top, "a", "state")
	fill(t, top, map[string]string{"beside/x": "1"})
	if err := errors.Join(os.MkdirAll(state, 0o700), os.Symlink("a", filepath.Join(top, "link"))); err != nil {
		t.Fatal(err)
	}
	r := open(t, sandbox.Config{StateDir: filepath.Join(top, "link", "state")})
	for dir, refused := range map[string]bool{top: true, filepath.Dir(state): true, state: true, filepath.Join(state, "done"): true,
		filepath.Join(top, "beside"): false} {
		seen(t, r, dir, refused)
	}
}

// seen checks whether cells may be given dir, in each way there is.
func seen(t *testing.T, r *sandbox.Runner, dir string, refused bool) {
	t.Helper()
	for name, s := range map[string]sandbox.Spec{
		"written": writable(dir), "read": {Workspace: &sandbox.Workspace{Dir: dir}}, "mounted": {Mounts: []sandbox.Mount{{Source: dir, Target: "/seen"}}},
	} {
		s.CallID, s.Argv = "state", []string{"/bin/true"}
		if _, err := r.Run(t.Context(), s, sandbox.Discard); refused != errors.Is(err, sandbox.ErrSpec) || !refused && err != nil {
			t.Errorf("%s %s: %v", dir, name, err)
		}
	}
}

// TestStateDirectoryUnderAnotherName: mounts that show the state directory, a
// part of it or a folder above it are no way around.
func TestStateDirectoryUnderAnotherName(t *testing.T) {
	top := realDir(t)
	state := filepath.Join(top, "a", "state")
	for _, d := range []string{state, filepath.Join(top, "harmless"), filepath.Join(top, "bound")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r := open(t, sandbox.Config{StateDir: state, AllowDirectWrite: true})
	for what, refused := range map[string]bool{state: true, filepath.Join(state, "done"): true, filepath.Join(top, "a"): true,
		filepath.Join(top, "harmless"): false} {
		dir := filepath.Join(top, "ws-"+fmt.Sprint(len(what)))
		below := filepath.Join(dir, "below")
		if err := os.MkdirAll(below, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, at := range []string{below, filepath.Join(top, "bound")} {
			if err := unix.Mount(what, at, "", unix.MS_BIND, ""); err != nil {
				t.Skipf("UNTESTED(cannot mount: %v)", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
		}
		seen(t, r, dir, refused)
		seen(t, r, filepath.Join(top, "bound"), refused)
		if err := unix.Unmount(filepath.Join(top, "bound"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStateDirectoryIsChosen: by setting, then where the environment says if
// nobody else can change what that means, then below /var/tmp, where a name that
// another user took stops nobody.
func TestStateDirectoryIsChosen(t *testing.T) {
	home, shared, me := realDir(t), realDir(t), os.Getuid()
	if err := os.Chmod(shared, 0o1777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(shared, fmt.Sprintf("holdfast-%d", me))
	t.Run("below HOME", func(t *testing.T) {
		t.Setenv("HOME", home)
		t.Setenv("XDG_STATE_HOME", "")
		if got, _, err := sandbox.StateHome(sandbox.Config{}, shared); err != nil || sandbox.Trusted(home) != (got == filepath.Join(home, ".local/state/holdfast/sandbox")) {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("below XDG_STATE_HOME", func(t *testing.T) {
		t.Setenv("HOME", home)
		t.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
		got, _, err := sandbox.StateHome(sandbox.Config{}, shared)
		if err != nil || sandbox.Trusted(home) != (got == filepath.Join(home, "state/holdfast/sandbox")) {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("as it is set", func(t *testing.T) {
		if got, others, err := sandbox.StateHome(sandbox.Config{StateDir: "/x"}, shared); err != nil || got != "/x" || len(others) > 0 {
			t.Errorf("%q %q %v", got, others, err)
		}
	})
	t.Run("not as it is set where others write", func(t *testing.T) {
		top := realDir(t)
		if !sandbox.Trusted(top) {
			t.Skipf("UNTESTED(%s can be changed by others)", top)
		}
		fill(t, top, map[string]string{"mine/x": "", "open/mine/x": "", "sticky/mine/x": ""})
		err := errors.Join(os.Chmod(filepath.Join(top, "open"), 0o777), os.Chmod(filepath.Join(top, "sticky"), 0o777|os.ModeSticky),
			os.Symlink("../mine", filepath.Join(top, "open/link")), os.Symlink("../mine", filepath.Join(top, "sticky/link")),
			os.Symlink("mine", filepath.Join(top, "link")), os.Symlink("loop", filepath.Join(top, "loop")))
		if err != nil {
			t.Fatal(err)
		}
		ways := map[string]bool{"mine": true, "mine/more/still": true, "link": true, "sticky/mine": true, "sticky/link": true,
			"open": false, "open/mine": false, "open/link": false, "open/new": false, "mine/../open/mine": false, "loop": false}
		if os.Getuid() == 0 {
			if err := errors.Join(os.Symlink("../mine", filepath.Join(top, "sticky/theirs")), os.Lchown(filepath.Join(top, "sticky/theirs"), 12345, 12345),
				os.Mkdir(filepath.Join(top, "other"), 0o755), os.Chown(filepath.Join(top, "other"), 12345, 12345)); err != nil {
				t.Fatal(err)
			}
			ways["sticky/theirs"], ways["other"] = false, false
		}
		for p, ok := range ways {
			if _, _, err := sandbox.StateHome(sandbox.Config{StateDir: filepath.Join(top, p, "state")}, shared); (err == nil) != ok {
				t.Errorf("%s: %v", p, err)
			}
		}
		if _, err := sandbox.New(t.Context(), sandbox.Config{StateDir: filepath.Join(top, "open", "state")}); err == nil {
			t.Error("a sandbox was opened")
		}
	})
	t.Run("not where others write", func(t *testing.T) {
		open := filepath.Join(home, "open")
		if err := errors.Join(os.Mkdir(open, 0o777), os.Chmod(open, 0o777)); err != nil {
			t.Fatal(err)
		}
		t.Setenv("HOME", open)
		t.Setenv("XDG_STATE_HOME", filepath.Join(open, "x"))
		if got, _, err := sandbox.StateHome(sandbox.Config{}, shared); err != nil || got != plain {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("not where this user cannot write", func(t *testing.T) {
		closed := filepath.Join(home, "closed")
		if err := os.Mkdir(closed, 0o500); err != nil {
			t.Fatal(err)
		}
		if unix.Access(closed, unix.W_OK) == nil {
			t.Skip("UNTESTED(root can write everywhere)")
		}
		t.Setenv("HOME", closed)
		t.Setenv("XDG_STATE_HOME", "")
		if got, _, err := sandbox.StateHome(sandbox.Config{}, shared); err != nil || got != plain {
			t.Errorf("%q %v", got, err)
		}
	})
	t.Run("nowhere at all", func(t *testing.T) {
		t.Setenv("HOME", "")
		t.Setenv("XDG_STATE_HOME", "")
		for _, mode := range []os.FileMode{0o777, 0o775} { // what lies there can be replaced
			top := realDir(t)
			if err := os.Chmod(top, mode); err != nil {
				t.Fatal(err)
			}
			if got, _, err := sandbox.StateHome(sandbox.Config{}, top); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v: %q %v", mode, got, err)
			}
		}
		if got, _, err := sandbox.StateHome(sandbox.Config{}, filepath.Join(shared, "none")); err == nil {
			t.Errorf("%q", got)
		}
	})
	t.Run("the name is taken while it is chosen", func(t *testing.T) {
		t.Setenv("HOME", "")
		t.Setenv("XDG_STATE_HOME", "")
		os.Remove(plain)
		got, _, err := sandbox.StateHome(sandbox.Config{}, shared, func() {
			if err := os.Symlink(home, plain); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil || !strings.HasPrefix(got, plain+"-") {
			t.Errorf("%q %v", got, err)
		}
		os.Remove(plain)
		os.Remove(got)
		got, _, err = sandbox.StateHome(sandbox.Config{}, shared, func() { // by this user, so it is shared
			if err := os.Mkdir(plain, 0o700); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil || got != plain {
			t.Errorf("%q %v", got, err)
		}
		os.Remove(plain)
	})
	t.Run("the name is taken", func(t *testing.T) {
		t.Setenv("HOME", "")
		t.Setenv("XDG_STATE_HOME", "")
		for how, take := range map[string]func() error{
			"by a link":                    func() error { return os.Symlink(home, plain) },
			"by a file":                    func() error { return os.WriteFile(plain, nil, 0o600) },
			"by a directory that is open":  func() error { return errors.Join(os.Mkdir(plain, 0o755), os.Chmod(plain, 0o755)) },
			"by a directory of another":    func() error { return errors.Join(os.Mkdir(plain, 0o700), os.Chown(plain, 12345, 12345)) },
			"and so is one that was found": func() error { return errors.Join(os.Mkdir(plain, 0o755), os.Mkdir(plain+"-0", 0o755)) },
		} {
			if err := take(); errors.Is(err, os.ErrPermission) {
				t.Logf("%s: UNTESTED(%v)", how, err)
				os.Remove(plain)
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			got, _, err := sandbox.StateHome(sandbox.Config{}, shared)
			if err != nil || !strings.HasPrefix(got, plain+"-") || got == plain+"-0" {
				t.Errorf("%s: %q %v", how, got, err)
			}
			again, _, err := sandbox.StateHome(sandbox.Config{}, shared)
			if err != nil || again != got {
				t.Errorf("%s: %q, then %q %v", how, got, again, err)
			}
			for _, d := range []string{plain, plain + "-0", got} {
				os.Remove(d)
			}
		}
	})
}

// TestCommitsOfOtherEnvironmentsCanBeUndone: what was committed without a HOME
// is found with one.
func TestCommitsOfOtherEnvironmentsCanBeUndone(t *testing.T) {
	home := realDir(t)
	if !sandbox.Trusted(home) {
		t.Skipf("UNTESTED(%s can be changed by others)", home)
	}
	dir := realDir(t)
	fill(t, dir, map[string]string{"a": "old"})
	t.Setenv("HOME", "")
	t.Setenv("XDG_STATE_HOME", filepath.Join(home, "one"))
	s := writable(dir)
	res := sh(t, open(t, sandbox.Config{}), s, "echo new > a")
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", home)
	if err := os.MkdirAll(filepath.Join(home, ".local/state/holdfast"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(home, "one/holdfast/sandbox"), filepath.Join(home, ".local/state/holdfast/sandbox")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_STATE_HOME", filepath.Join(home, "two"))
	r := open(t, sandbox.Config{})
	if !strings.HasPrefix(r.StateDir(), filepath.Join(home, "two")) {
		t.Errorf("state lies in %s", r.StateDir())
	}
	if err := r.Undo(t.Context(), res.CommitID); err != nil || content(t, filepath.Join(dir, "a")) != "old" {
		t.Errorf("%v: %q", err, content(t, filepath.Join(dir, "a")))
	}
	seen(t, r, filepath.Join(home, ".local"), true)
}

// TestStateDirectoriesOfOtherConfigurationsAreClosed: what runners keep whose
// configuration names no directory is not for the cells of one that does.
func TestStateDirectoriesOfOtherConfigurationsAreClosed(t *testing.T) {
	home := realDir(t)
	if !sandbox.Trusted(home) {
		t.Skipf("UNTESTED(%s can be changed by others)", home)
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", "")
	state := filepath.Join(home, ".local/state/holdfast/sandbox")
	named := sandbox.Config{StateDir: filepath.Join(realDir(t), "named")}
	if err := os.MkdirAll(filepath.Dir(state), 0o700); err != nil {
		t.Fatal(err)
	}
	seen(t, open(t, named), filepath.Join(home, ".local"), false)
	open(t, sandbox.Config{}).Close()
	r := open(t, named)
	for _, d := range []string{home, filepath.Join(home, ".local"), filepath.Dir(state), state, filepath.Join(state, "done")} {
		seen(t, r, d, true)
	}
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	seen(t, open(t, named), filepath.Join(home, ".local"), false)
}

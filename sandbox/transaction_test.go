//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/sandbox"
)

// fill makes files in dir.
func fill(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func content(t testing.TB, p string) string {
	t.Helper()
	b, err := os.ReadFile(p)
	if err != nil {
		return ""
	}
	return string(b)
}

// TestDroppedChanges: a call that may write a workspace whose changes are dropped sees them,
// and nobody else ever does.
func TestDroppedChanges(t *testing.T) {
	r := open(t, sandbox.Config{})
	dir := realDir(t)
	fill(t, dir, map[string]string{"a": "1\n", "old/c": "3\n"})
	s := writable(dir)
	s.Workspace.Drop = true
	s.CallID, s.Argv = "dropped", []string{"/bin/sh", "-c", "echo more >> a && rm -r old && echo 4 > new && cat a new && ls"}
	rec := recorder{deciding: func(sandbox.CommitRecord) error { t.Error("asked to commit"); return nil }}
	res, err := r.Run(t.Context(), s, &rec)
	if err != nil || out(res) != "1\nmore\n4\na\nnew\n" || res.Commit != sandbox.CommitNone || len(res.Changes) > 0 {
		t.Errorf("%v, commit %v %s: %q %s", err, res.Commit, res.Why, out(res), res.Stderr.Bytes())
	}
	if content(t, filepath.Join(dir, "a")) != "1\n" || content(t, filepath.Join(dir, "old/c")) != "3\n" || content(t, filepath.Join(dir, "new")) != "" {
		t.Error("the workspace changed")
	}
	r.WithoutOverlay() // and allowed to write in place: there is nothing to drop then
	if _, err := r.Run(t.Context(), s, &rec); !errors.Is(err, sandbox.ErrRefused) || content(t, filepath.Join(dir, "a")) != "1\n" {
		t.Errorf("without a layer: %v", err)
	}
}

func TestCallIsOneTransaction(t *testing.T) {
	r := open(t, sandbox.Config{})
	dir := realDir(t)
	fill(t, dir, map[string]string{"a": "1\n", "sub/b": "2\n", "old/c": "3\n", "x.sh": "#!/bin/sh\n"})
	var rec recorder
	rec.deciding = func(c sandbox.CommitRecord) error {
		if content(t, filepath.Join(dir, "a")) != "1\n" {
			t.Error("the workspace changed before the record")
		}
		if c.Workspace != dir || c.Commit == "" || len(c.Changes) == 0 {
			t.Errorf("record %+v", c)
		}
		return nil
	}
	s := writable(dir)
	s.CallID, s.Argv = "tx", []string{"/bin/sh", "-c",
		"echo more >> a && mv sub/b sub/n && rm -r old && mkdir -p d/e && echo 4 > d/e/f && ln -s ../a d/l && chmod 700 x.sh; exit 3"}
	res, err := r.Run(t.Context(), s, &rec)
	if err != nil || res.Exit != 3 || res.Commit != sandbox.CommitDone || res.CommitID == "" {
		t.Fatalf("%v: exit %d, commit %v %s %s", err, res.Exit, res.Commit, res.Why, res.Stderr.Bytes())
	}
	for p, want := range map[string]string{"a": "1\nmore\n", "sub/n": "2\n", "sub/b": "", "old/c": "", "d/e/f": "4\n", "d/l": "1\nmore\n"} {
		if got := content(t, filepath.Join(dir, p)); got != want {
			t.Errorf("%s holds %q, want %q", p, got, want)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, "x.sh")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "old")); err == nil {
		t.Error("a removed folder is still there")
	}
	if l, _ := filepath.Glob(filepath.Join(dir, ".holdfast*")); len(l) > 0 {
		t.Errorf("left in the workspace: %v", l)
	}
	if err := r.Undo(t.Context(), res.CommitID); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{"a": "1\n", "sub/b": "2\n", "old/c": "3\n", "d/e/f": "", "sub/n": ""} {
		if got := content(t, filepath.Join(dir, p)); got != want {
			t.Errorf("after undo %s holds %q, want %q", p, got, want)
		}
	}
}

func TestNothingIsKeptOf(t *testing.T) {
	r := open(t, sandbox.Config{})
	no := errors.New("no")
	run := func(t *testing.T, ctx context.Context, s sandbox.Spec, rec *recorder) (sandbox.Result, error) {
		s.CallID, s.Argv = "tx", []string{"/bin/sh", "-c", "echo new > a; echo x > b; " + s.Argv[0]}
		return r.Run(ctx, s, rec)
	}
	for name, c := range map[string]struct {
		script string
		rec    *recorder
		edit   bool
		cancel bool
		want   sandbox.CommitState
	}{
		"AToolPastItsTime":    {"sleep 5", &recorder{}, false, false, sandbox.CommitDropped},
		"ACancelledTool":      {"sleep 5", &recorder{}, false, true, sandbox.CommitDropped},
		"ARefusedRecord":      {"true", &recorder{deciding: func(sandbox.CommitRecord) error { return no }}, false, false, sandbox.CommitDropped},
		"AConflict":           {"true", &recorder{}, true, false, sandbox.CommitConflict},
		"WhatDoesNotFitInIt":  {"head -c 2000000 /dev/zero > big || exit 9; sleep 5", &recorder{}, false, false, sandbox.CommitDone},
		"TheToolsOwnShortEnd": {"kill -9 $$", &recorder{}, false, false, sandbox.CommitDone},
	} {
		t.Run(name, func(t *testing.T) {
			dir := realDir(t)
			fill(t, dir, map[string]string{"a": "old"})
			s := writable(dir)
			s.Argv, s.Limits.Time, s.Limits.Workspace = []string{c.script}, 400*time.Millisecond, 1<<20
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			rec := c.rec
			want := "old"
			if c.edit {
				want = "mine"
				r.Opened(func() { fill(t, dir, map[string]string{"a": "mine"}) })
			}
			if c.cancel {
				r.Opened(func() { time.AfterFunc(100*time.Millisecond, cancel) })
			}
			defer r.Opened(nil)
			res, err := run(t, ctx, s, rec)
			if (err != nil) != (rec.deciding != nil) || res.Commit != c.want {
				t.Errorf("%v: commit %v, %s", err, res.Commit, res.Why)
			}
			if c.want == sandbox.CommitDone {
				want = "new\n"
			}
			if got := content(t, filepath.Join(dir, "a")); got != want {
				t.Errorf("a holds %q, want %q", got, want)
			}
			if got := content(t, filepath.Join(dir, "b")); (got != "") != (c.want == sandbox.CommitDone) {
				t.Errorf("b holds %q", got)
			}
		})
	}
}

func TestHeldChangesAreTold(t *testing.T) {
	r := open(t, sandbox.Config{Protect: []string{"secret*"}})
	dir := realDir(t)
	s := writable(dir)
	res := sh(t, r, s, "mkdir -p .git/hooks && echo x > .git/hooks/pre-commit; echo x > AGENTS.md; echo x > secret.txt; echo x > fine; mkfifo p; chmod 4755 fine 2>/dev/null")
	if res.Commit != sandbox.CommitDone || res.Held() != 5 || !strings.HasPrefix(res.Line(), "workspace held: 5 changes") {
		t.Fatalf("%v %d %q %+v", res.Commit, res.Held(), res.Line(), res.Changes)
	}
	var names []string
	l, _ := os.ReadDir(dir)
	for _, e := range l {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{".git", "fine"}) {
		t.Errorf("left %v", names)
	}
}

// TestWorkspaceHidesTheHost: no path of the host's stands in the mount table, a
// lock in the cell holds up nobody outside, and the up-time is the cell's own.
func TestWorkspaceHidesTheHost(t *testing.T) {
	r := open(t, sandbox.Config{})
	dir := realDir(t)
	fill(t, dir, map[string]string{"f": "x"})
	for _, s := range []sandbox.Spec{writable(dir), {Workspace: &sandbox.Workspace{Dir: dir}}} {
		if got := out(sh(t, r, s, "cat /proc/self/mountinfo; echo; cat f")); strings.Contains(got, filepath.Base(filepath.Dir(dir))) || !strings.HasSuffix(got, "\nx") {
			t.Errorf("write %v: %s", s.Workspace.Write, got)
		}
	}
	f, err := os.Open(filepath.Join(dir, "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := sandbox.Spec{CallID: "lock", Argv: []string{"/bin/sh", "-c", "exec 9< f; flock 9; echo locked; sleep 5"}, Workspace: &sandbox.Workspace{Dir: dir},
		Limits: sandbox.Limits{Time: 500 * time.Millisecond}}
	r.Opened(func() {
		time.AfterFunc(250*time.Millisecond, func() {
			if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
				t.Errorf("a lock in the cell holds up the host: %v", err)
			}
		})
	})
	if res, err := r.Run(t.Context(), s, sandbox.Discard); err != nil || out(res) != "locked\n" {
		t.Errorf("%v %q %s", err, out(res), res.Stderr.Bytes())
	}
	r.Opened(nil)
	if r.Facts().TimeNS {
		var here syscall.Sysinfo_t
		syscall.Sysinfo(&here)
		res := inside(t, r, sandbox.Spec{}, "uptime")
		if up := out(res); here.Uptime > 120 && len(up) > 2 {
			t.Errorf("the cell says %s seconds, the machine %d", up, here.Uptime)
		}
	}
}

// committer is a runtime whose calls change several files each, until it is
// killed. Its arguments are the workspace and the directory of its journals.
func committer(a []string) string {
	r, err := sandbox.New(context.Background(), sandbox.Config{StateDir: a[1]})
	if err != nil {
		return err.Error()
	}
	for {
		s := writable(a[0])
		s.CallID, s.Argv = "count", []string{"/bin/sh", "-c",
			"n=$(($(cat a)+1)); echo $n > a; echo $n > b; mkdir d/$n; echo $n > d/$n/f; rm -r d/$((n-1)); rm l; ln -s $n l"}
		if res, err := r.Run(context.Background(), s, sandbox.Discard); err != nil || res.Commit != sandbox.CommitDone {
			return fmt.Sprint(err, res.Commit, res.Why, string(res.Stderr.Bytes()))
		}
	}
}

// TestRuntimeKilledWhileCommitting kills a runtime again and again; after the
// next start either all of a call's changes are there or none.
func TestRuntimeKilledWhileCommitting(t *testing.T) {
	open(t, sandbox.Config{})
	dir, state := realDir(t), filepath.Join(realDir(t), "state")
	fill(t, dir, map[string]string{"a": "0\n", "b": "0\n", "d/0/f": "0\n"})
	if err := os.Symlink("0", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	settled, last := 0, ""
	for round := range 8 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{victim, "committer", dir, state}
		var said strings.Builder
		cmd.Stdout = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(150+37*round) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		if said.Len() > 0 {
			t.Fatalf("round %d: %s", round, said.String())
		}
		r, err := sandbox.New(t.Context(), sandbox.Config{StateDir: state})
		if err != nil {
			t.Fatal(err)
		}
		settled += len(r.Recovered())
		r.Close()
		n := content(t, filepath.Join(dir, "a"))
		link, _ := os.Readlink(filepath.Join(dir, "l"))
		l, _ := os.ReadDir(filepath.Join(dir, "d"))
		if n == "" || content(t, filepath.Join(dir, "b")) != n || len(l) != 1 || l[0].Name()+"\n" != n || link+"\n" != n ||
			content(t, filepath.Join(dir, "d", l[0].Name(), "f")) != n {
			t.Fatalf("round %d: a is %q, b is %q, l is %q, d holds %v", round, n, content(t, filepath.Join(dir, "b")), link, l)
		}
		last = n
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".holdfast*")); len(left) > 0 {
		t.Errorf("left in the workspace: %v", left)
	}
	t.Logf("killed 8 times, %d commits settled afterwards, %s calls done", settled, strings.TrimSpace(last))
}

// TestGitWorksThroughATransaction: what people do with a repository day by day is
// committed as it is, nothing is held back, and git finds no fault with it.
func TestGitWorksThroughATransaction(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil || !strings.HasPrefix(git, "/usr/") {
		t.Skipf("UNTESTED(git is not among the programs that cells see: %s %v)", git, err)
	}
	r := open(t, sandbox.Config{})
	dir := realDir(t)
	outside := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(git, append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=e@x", "-c", "safe.directory=*"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		b, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v %s", args, err, b)
		}
		return string(b)
	}
	fill(t, dir, map[string]string{"a": "1\n", "sub/b": "2\n"})
	outside("init", "-q")
	outside("add", ".")
	outside("commit", "-qm", "one")
	res := sh(t, r, writable(dir), `set -e
		export GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@x GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@x
		git status >/dev/null; git checkout -qb topic; echo 3 > c; git add c; git commit -qm two
		echo 4 >> a; git stash -q; git stash pop -q; git commit -qam three; git tag v1
		git checkout -q -; echo 5 > d; git add d; git commit -qm four; git merge -q topic -m five
		git rebase -q HEAD~1; git rm -q sub/b; git commit -qm six; git gc -q; git log --oneline | wc -l`)
	if res.Exit != 0 || res.Commit != sandbox.CommitDone || res.Held() != 0 {
		for _, c := range res.Changes {
			if c.Held != "" {
				t.Logf("%s %s: %s", c.Op, c.Path, c.Held)
			}
		}
		t.Fatalf("exit %d, %v %s: %s", res.Exit, res.Commit, res.Why, res.Stderr.Bytes())
	}
	if got := outside("fsck", "--strict") + outside("status", "--porcelain") + outside("log", "-1", "--format=%s"); !strings.HasSuffix(got, "six\n") || strings.Contains(got, "error") || strings.Contains(got, "\n??") {
		t.Errorf("git says %q", got)
	}
}

// TestTwoCallsMakeNoRepositoryTogether: each of two calls makes one half of a git
// repository whose configuration git would obey; whichever is committed last is
// compared with what the first one left, even if both ended before that.
func TestTwoCallsMakeNoRepositoryTogether(t *testing.T) {
	r := open(t, sandbox.Config{})
	dir := realDir(t)
	fill(t, dir, map[string]string{"b/x": "1"})
	call := func(script string) sandbox.Spec {
		s := writable(dir)
		s.CallID, s.Argv = "half", []string{"/bin/sh", "-c", script}
		return s
	}
	var second sandbox.Result
	var serr error
	done := make(chan struct{})
	first := &recorder{deciding: func(sandbox.CommitRecord) error {
		const marker = "half-of-it-71.5"
		running := make(chan struct{})
		go func() {
			defer close(done)
			second, serr = r.Run(t.Context(), call("echo ref: x > b/HEAD; : "+marker), &recorder{attested: func(sandbox.Attestation) error { close(running); return nil }})
		}()
		select {
		case <-running:
		case <-done:
		}
		if left := gone(marker, 5*time.Second); len(left) > 0 { // it has ended, and waits
			t.Errorf("the second call still runs: %v", left)
		}
		return nil
	}}
	res, err := r.Run(t.Context(), call("mkdir b/objects b/refs; printf '[core]\\n\\tfsmonitor = ./evil\\n' > b/config"), first)
	<-done
	if err != nil || serr != nil || res.Commit != sandbox.CommitDone {
		t.Fatalf("%v %v, commit %v %s", err, serr, res.Commit, res.Why)
	}
	if _, err := os.Lstat(filepath.Join(dir, "b/HEAD")); err == nil || second.Held() != 1 {
		t.Errorf("a repository stands: %d held, commit %v", second.Held(), second.Commit)
	}
}

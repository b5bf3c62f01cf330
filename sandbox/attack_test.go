//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
)

// secret is a file of the host, outside of every cell.
func secret(t *testing.T) string {
	t.Helper()
	p := filepath.Join(realDir(t), "secret")
	if err := os.WriteFile(p, []byte("s3cret"), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// realDir is a temporary directory by its real name.
func realDir(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// writable is a Spec that may write dir.
func writable(dir string) sandbox.Spec {
	return sandbox.Spec{Profile: sandbox.Standard, Workspace: &sandbox.Workspace{Dir: dir, Write: true}}
}

// TestAttacks runs one victim per row: inside it must get exactly the given
// answer. Where control is set, the same attempt outside must get that.
func TestAttacks(t *testing.T) {
	r := open(t, sandbox.Config{})
	hidden := secret(t)
	work := realDir(t)
	if err := os.WriteFile(filepath.Join(work, "mine"), []byte("0123456789abcdef"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(hidden, filepath.Join(work, "trap")); err != nil {
		t.Fatal(err)
	}
	readOnly := sandbox.Spec{Workspace: &sandbox.Workspace{Dir: work}}
	var denied []string
	for n := range deniedCalls {
		denied = append(denied, n)
	}
	slices.Sort(denied)
	all := func(s string) string {
		var out []string
		for _, n := range denied {
			out = append(out, n+"="+s)
		}
		return strings.Join(out, " ")
	}
	killInit := "ok" // nothing comes of it
	if r.Facts().Landlock && r.Facts().LandlockABI >= 6 {
		killInit = "EPERM" // out of scope
	}
	rows := []struct {
		id, want, control string
		spec              sandbox.Spec
		args              []string
	}{
		{"FS01 read a file of the host", "ENOENT", "ok", readOnly, []string{"read", hidden}},
		{"FS02 read the password file's neighbours", "ENOENT", "", readOnly, []string{"read", "/etc/shadow"}},
		{"FS03 write /usr/bin", "EROFS", "", readOnly, []string{"create", "/usr/bin/planted"}},
		{"FS03 write /etc", "EROFS", "", readOnly, []string{"create", "/etc/planted"}},
		{"FS03 write /", "EROFS", "", readOnly, []string{"create", "/planted"}},
		{"FS03 write a read-only workspace", "EROFS", "", readOnly, []string{"create", "/work/planted"}},
		{"FS04 leave by dots", "ENOENT", "ok", readOnly, []string{"read", strings.Repeat("../", 40) + hidden[1:]}},
		{"FS04 leave by /proc/self/root", "ENOENT", "ok", readOnly, []string{"read", "/proc/self/root" + hidden}},
		{"FS04 leave by /proc/self/cwd", "ENOENT", "", readOnly, []string{"read", "/proc/self/cwd/../.." + hidden}},
		{"FS05 follow a link to a file of the host", "ENOENT", "", readOnly, []string{"read", "/work/trap"}},
		{"FS12 hard-link across mounts", "EXDEV", "", writable(work), []string{"link", "/usr/bin/env", "/work/env"}},
		{"FS15 make a device", "EPERM", "", writable(work), []string{"mknod", "/work/null"}},
		{"FS16 set-user-id files and file capabilities", "ok EPERM EPERM EPERM EPERM EPERM EPERM EPERM ENOSYS", "",
			writable(work), []string{"special", "/work"}},
		{"FS18 open a system file for writing", "EACCES", "", readOnly, []string{"openwrite", "/usr/bin/env"}},
		{"FS18 map a read-only file shared", "EACCES", "EACCES", readOnly, []string{"shared", "/usr/bin/env"}},
		{"FS18 write through /proc/self/mem", "EROFS", "", readOnly, []string{"procmem", "/work/mine"}},
		{"RS10 stay when memory runs out", "EROFS", "", readOnly, []string{"openwrite", "/proc/self/oom_score_adj"}},
		{"FS25 PR12 leases and notices on files of the host", "EPERM EPERM EPERM", "", readOnly, []string{"lease", "/work/mine"}},
		{"RS01 larger socket buffers", "EPERM EPERM EPERM EPERM", "", readOnly, []string{"buffers"}},
		{"FS19 NW01 NW11 NW12 every socket family", "[EAFNOSUPPORT] stream=ok dgram=EPERM", "", readOnly, []string{"families"}},
		{"FS26 devices", "fd full null random shm stderr stdin stdout urandom zero", "", readOnly, []string{"list", "/dev"}},
		{"FS29 change modes of the system", "EROFS", "", readOnly, []string{"chmod", "/usr/bin/env"}},
		{"FS09 FS10 FS11 KS04 KS05 PR02 PR10 denied calls", all("EPERM"), "", readOnly, append([]string{"calls"}, denied...)},
		{"PR01 see other processes", "2 self thread-self", "", readOnly, []string{"list", "/proc"}},
		{"PR01 kill a process of the host", "ESRCH", "", readOnly, []string{"kill", "4000000"}},
		{"PR02 look into process 1", "ENOENT", "", readOnly, []string{"read", "/proc/1/environ"}},
		{"PR03 kill process 1", killInit, "", readOnly, []string{"kill", "1"}},
		{"PR10 PV03 namespaces by clone", "EPERM EPERM EPERM EPERM EPERM EPERM EPERM ENOSYS", "", readOnly, []string{"clone"}},
		{"PR11 prctl", "EPERM EPERM EPERM EPERM EINVAL", "", readOnly, []string{"prctls"}},
		{"PR13 IL09 NW15 descriptors left open", "", "", readOnly, []string{"fds"}},
		{"PR14 RS10 raise priorities and limits", "EACCES EPERM EPERM EPERM", "", readOnly, []string{"priority"}},
		{"KS06 unknown calls", "ENOSYS ENOSYS", "", readOnly, []string{"unknown"}},
		{"KS07 own supervisor", "EPERM", "", readOnly, []string{"listener"}},
		{"KS10 personality", "EPERM", "", readOnly, []string{"personal"}},
		{"PV02 PV04 gain privileges", "setuid=EINVAL setgid=EINVAL setresuid=EINVAL setgroups=EPERM ambient=EPERM " +
			"keepcaps=EPERM securebits=EPERM nnp=EINVAL capset=EPERM", "", readOnly, []string{"gain"}},
		{"PV07 a cell in a cell", "refused", "", readOnly, []string{"nested"}},
		{"IL01 environment of the runtime", "HOME=/home/agent\nLANG=C.UTF-8\n" +
			"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin\nTERM=dumb\nTMPDIR=/tmp\nUSER=agent",
			"", readOnly, []string{"environ"}},
		{"IL02 kernel symbols", "ENOENT", "", readOnly, []string{"read", "/proc/kallsyms"}},
		{"IL02 kernel settings", "ENOENT", "", readOnly, []string{"list", "/proc/sys"}},
		{"IL03 system tree", "ENOENT", "", readOnly, []string{"list", "/sys"}},
		{"TT01 inject into a terminal", "EPERM EPERM EPERM EPERM ENOTTY EPERM", "", readOnly, []string{"ioctls"}},
		{"TT02 the terminal", "ENOENT", "", readOnly, []string{"read", "/dev/tty"}},
	}
	for _, row := range rows {
		t.Run(strings.ReplaceAll(row.id, "/", "_"), func(t *testing.T) {
			res := inside(t, r, row.spec, row.args...)
			if got := out(res); got != row.want {
				t.Errorf("inside: got %q, want %q (exit %d, stderr %.300q)", got, row.want, res.Exit, res.Stderr.Bytes())
			}
			if row.control != "" {
				if got := outside(t, row.args...); got != row.control {
					t.Errorf("outside: got %q, want %q", got, row.control)
				}
			}
		})
	}
}

// TestAttacksWorkOutside is the control of rows whose paths differ outside.
func TestAttacksWorkOutside(t *testing.T) {
	p := filepath.Join(realDir(t), "mine")
	if err := os.WriteFile(p, []byte("0123456789abcdef"), 0o644); err != nil {
		t.Fatal(err)
	}
	for attempt, want := range map[string]string{"lease": "ok ok ok", "procmem": "ok file=0123456789a"} {
		if got := outside(t, attempt, p); got != want {
			t.Errorf("%s: got %q, want %q", attempt, got, want)
		}
	}
}

// TestShellsLiveWithReadOnlyProc: what ordinary tools do below /proc.
func TestShellsLiveWithReadOnlyProc(t *testing.T) {
	r := open(t, sandbox.Config{})
	res := sh(t, r, sandbox.Spec{}, "echo a > /dev/stdout; echo b > /proc/self/fd/1; echo c >> /dev/fd/1; echo d | cat /dev/stdin; "+
		"echo e > /tmp/f; exec 7<>/tmp/f; echo f > /proc/self/fd/7; cat /tmp/f; sh -c 'exec 5</dev/null; ls /proc/self/fd >/dev/null && echo g'")
	if out(res) != "a\nb\nc\nd\nf\ng\n" || res.Exit != 0 {
		t.Errorf("exit %d: %q %s", res.Exit, out(res), res.Stderr.Bytes())
	}
}

// TestStatusShowsNothingLeft is PV01: what the kernel says of the tool itself.
func TestStatusShowsNothingLeft(t *testing.T) {
	r := open(t, sandbox.Config{})
	status := out(inside(t, r, sandbox.Spec{}, "status"))
	for _, line := range []string{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000",
		"CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, line+"\n") {
			t.Errorf("status lacks %q", line)
		}
	}
	if strings.Contains(status, "Uid:\t0") || strings.Contains(status, "Gid:\t0") {
		t.Error("the tool runs as root")
	}
}

// TestForeignCallsKill is KS02: the 32-bit and x32 interfaces.
func TestForeignCallsKill(t *testing.T) {
	r := open(t, sandbox.Config{})
	for name, code := range foreignCode {
		t.Run(name, func(t *testing.T) {
			img, err := sandbox.NewImage(sandbox.ELF(code))
			if err != nil {
				t.Fatal(err)
			}
			res, err := r.Run(t.Context(), sandbox.Spec{CallID: "foreign", Argv: []string{"x"}, Helper: img}, sandbox.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if res.Signal != 31 { // SIGSYS
				t.Fatalf("ended with exit %d, signal %d", res.Exit, res.Signal)
			}
		})
	}
}

// TestOwnerIsTheWorkspaceOwner is PV05, and for root the shifted workspace:
// root's private files are usable inside and stay root's.
func TestOwnerIsTheWorkspaceOwner(t *testing.T) {
	r := open(t, sandbox.Config{})
	home := filepath.Join(realDir(t), "home")
	work := filepath.Join(home, "clone")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "old"), []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	res := sh(t, r, writable(work), "cat old && echo new > new && echo more >> old && mkdir d && id -u")
	if res.Exit != 0 || !strings.HasPrefix(out(res), "old\n") || strings.Contains(out(res), "\n0\n") {
		t.Fatalf("exit %d: %s%s", res.Exit, out(res), res.Stderr.Bytes())
	}
	for _, f := range []string{"old", "new", "d"} {
		if uid, gid := owner(t, filepath.Join(work, f)); uid != os.Getuid() || gid != os.Getgid() {
			t.Errorf("%s belongs to %d:%d", f, uid, gid)
		}
	}
}

// TestForeignFilesStayForeign: files that belong to someone else are neither
// readable nor changeable because of the shift.
func TestForeignFilesStayForeign(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(needs root to make files of others)")
	}
	r := open(t, sandbox.Config{})
	work := realDir(t)
	p := filepath.Join(work, "theirs")
	if err := os.WriteFile(p, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if res := sh(t, r, writable(work), "cat theirs"); res.Exit == 0 {
		t.Fatal("read a file of another user")
	}
}

// TestOrdinaryWorkspaceUnderRoot: the cell runs as the owner of the workspace.
func TestOrdinaryWorkspaceUnderRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(needs root)")
	}
	r := open(t, sandbox.Config{})
	work := realDir(t)
	if err := os.Chown(work, 1234, 4321); err != nil {
		t.Fatal(err)
	}
	res := sh(t, r, writable(work), "id -u; id -g; echo x > f")
	if res.Exit != 0 || out(res) != "1234\n4321\n" {
		t.Fatalf("exit %d: %s%s", res.Exit, out(res), res.Stderr.Bytes())
	}
	if uid, gid := owner(t, filepath.Join(work, "f")); uid != 1234 || gid != 4321 {
		t.Errorf("file belongs to %d:%d", uid, gid)
	}
}

// TestNoSpecialFileIsLeft is the other half of FS16: what is in the workspace
// afterwards. The control makes one outside.
func TestNoSpecialFileIsLeft(t *testing.T) {
	r := open(t, sandbox.Config{})
	find := func(dir string) (n int) {
		filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if st, err := os.Lstat(p); err == nil && st.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
				n++
			}
			return nil
		})
		return n
	}
	work, control := realDir(t), realDir(t)
	inside(t, r, writable(work), "special", "/work")
	sh(t, r, writable(work), "cp /bin/sh a; chmod u+s a; cp /bin/sh b; chmod g+s b; install -m 4755 /bin/sh c; mkdir -m 2755 d")
	outside(t, "special", control)
	if n := find(work); n != 0 {
		t.Errorf("%d special files are left", n)
	}
	if n := find(control); n == 0 {
		t.Error("control: none were made outside")
	}
}

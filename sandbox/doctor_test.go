//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"golang.org/x/sys/unix"
)

// restricted runs the doctor below a shell that first takes something away, in
// a user namespace of its own.
func restricted(t *testing.T, script string) string {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("UNTESTED(unshare is not installed)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(unshare, "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "/bin/bash", "-c",
		script+`; exec -a victim "$0" doctor`, self)
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("UNTESTED(cannot restrict: %v: %s)", err, b)
	}
	return string(b)
}

func TestDoctorOnThisMachine(t *testing.T) {
	open(t, sandbox.Config{})
	rep := sandbox.Doctor(context.Background(), sandbox.Config{})
	if !rep.OK() {
		t.Fatalf("cells run, but the doctor says %+v", rep.Layers)
	}
	names := map[string]sandbox.State{}
	for _, l := range rep.Layers {
		names[l.Name] = l.State
		if l.Evidence == "" || l.State != sandbox.Ready && l.Lost == "" {
			t.Errorf("layer %+v lacks evidence or loss", l)
		}
	}
	for _, n := range []string{"kernel", "user namespace", "mount view", "proc", "identity", "seccomp", "attestation",
		"workspace transaction", "denial log", "state directory"} {
		if names[n] != sandbox.Ready {
			t.Errorf("%s is %v", n, names[n])
		}
	}
	for _, n := range []string{"landlock"} {
		i := slices.IndexFunc(rep.Layers, func(l sandbox.Layer) bool { return l.Name == n })
		if i < 0 || rep.Layers[i].State != sandbox.Partial || rep.Layers[i].Lost == "" {
			t.Errorf("%s bounds writing only, and the report says %+v", n, rep.Layers)
		}
	}
}

// TestDoctorShiftsWhatItCallsReady: on a file system without idmapped mounts
// the doctor says so, and the refusal of a workspace there names what helps.
func TestDoctorShiftsWhatItCallsReady(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(needs root)")
	}
	r := open(t, sandbox.Config{})
	row := func() sandbox.Layer {
		for _, l := range sandbox.Doctor(t.Context(), sandbox.Config{}).Layers {
			if l.Name == "idmapped mount" {
				return l
			}
		}
		t.Fatal("no row")
		return sandbox.Layer{}
	}
	if l := row(); l.State != sandbox.Ready {
		t.Skipf("UNTESTED(no control: %+v)", l)
	}
	base := realDir(t)
	for _, d := range []string{"l", "u", "w", "m"} {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	at := filepath.Join(base, "m")
	options := "lowerdir=" + base + "/l,upperdir=" + base + "/u,workdir=" + base + "/w"
	if err := unix.Mount("overlay", at, "overlay", 0, options); err != nil {
		t.Skipf("UNTESTED(cannot mount an overlay: %v)", err)
	}
	t.Cleanup(func() { unix.Unmount(at, unix.MNT_DETACH) })
	t.Setenv("TMPDIR", at)
	l := row()
	if l.State != sandbox.Partial || !strings.Contains(l.Fix, "chown") || !strings.Contains(l.Lost, at) {
		t.Errorf("got %+v", l)
	}
	s := writable(at)
	s.CallID, s.Argv = "x", []string{"/bin/true"}
	_, err := r.Run(t.Context(), s, sandbox.Discard)
	e, ok := errors.AsType[*sandbox.Error](err)
	if !ok || !errors.Is(err, sandbox.ErrRefused) || e.Hint != l.Fix {
		t.Fatalf("got %v", err)
	}
	// what the hint says helps
	if err := os.Chown(at, 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if res := sh(t, r, writable(at), "echo x > f && id -u"); out(res) != "1234\n" {
		t.Errorf("after chown: exit %d, %q %s", res.Exit, out(res), res.Stderr.Bytes())
	}
}

func TestDoctorNamesWhatIsMissing(t *testing.T) {
	for name, row := range map[string]struct{ script, layer, want string }{
		"UserNamespacesOff": {"echo 0 > /proc/sys/user/max_user_namespaces", "user namespace", "user.max_user_namespaces = 0"},
		"OnlyOneUser":       {"true", "user namespace", "SETID"},
		"OnlyOneUserHint":   {"true", "user namespace", "hint: run holdfast as an ordinary user"},
		"MemoryFilesOff":    {"echo 2 > /proc/sys/vm/memfd_noexec || exit 77", "program image", "hint: sysctl -w vm.memfd_noexec=1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := restricted(t, row.script)
			for _, part := range []string{"new: open sandbox: ", "missing: " + row.layer + ": ", row.want} {
				if !strings.Contains(got, part) {
					t.Errorf("lacks %q:\n%s", part, got)
				}
			}
			if strings.Contains(got, "doctor says ok") {
				t.Errorf("doctor is content:\n%s", got)
			}
		})
	}
}

func TestDoctorNamesMaskedProc(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("UNTESTED(needs root to cover parts of /proc)")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := realDir(t)
	for d := dir; d != "/" && d != "/tmp"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	probe := filepath.Join(dir, "probe")
	if err := os.WriteFile(probe, b, 0o755); err != nil {
		t.Fatal(err)
	}
	script := `mount -t tmpfs none /proc/sys && exec setpriv --reuid 65534 --regid 65534 --clear-groups /bin/bash -c "exec -a victim $0 doctor"`
	got, err := exec.Command("unshare", "--mount", "--pid", "--fork", "--mount-proc", "/bin/bash", "-c", script, probe).CombinedOutput()
	if err != nil {
		t.Skipf("UNTESTED(cannot cover /proc: %v: %s)", err, got)
	}
	for _, part := range []string{"missing: proc: ", "PROC proc: operation not permitted", "systempaths=unconfined"} {
		if !strings.Contains(string(got), part) {
			t.Errorf("lacks %q:\n%s", part, got)
		}
	}
}

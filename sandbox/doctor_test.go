//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
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
	rep := sandbox.Doctor(context.Background())
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
	for _, n := range []string{"kernel", "user namespace", "mount view", "proc", "identity", "seccomp", "attestation"} {
		if names[n] != sandbox.Ready {
			t.Errorf("%s is %v", n, names[n])
		}
	}
	if names["landlock"] != sandbox.Partial {
		t.Error("a layer that does not exist yet is not reported")
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

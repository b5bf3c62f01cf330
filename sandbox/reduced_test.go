//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

func init() {
	// what a runner can do where /proc is masked, line by line
	attempts["reduced"] = func(a []string) string {
		ctx, dir := context.Background(), a[0]
		_, err := sandbox.New(ctx, sandbox.Config{})
		if e, ok := errors.AsType[*sandbox.Error](err); !ok || !errors.Is(err, sandbox.ErrRefused) || !strings.Contains(e.Hint, "HOLDFAST_ALLOW_REDUCED=1") {
			return fmt.Sprint("without leave: ", err)
		}
		r, err := sandbox.New(ctx, sandbox.Config{AllowReduced: true, Hosts: ladenHosts})
		if err != nil {
			return fmt.Sprint("with leave: ", err)
		}
		defer r.Close()
		lines := []string{fmt.Sprint("no proc ", r.Facts().NoProc)}
		run := func(what string, s sandbox.Spec) {
			var degraded []string
			rec := &recorder{attested: func(a sandbox.Attestation) error {
				for _, d := range a.Degraded {
					degraded = append(degraded, d.Layer)
				}
				return nil
			}}
			s.CallID = "x"
			res, err := r.Run(ctx, s, rec)
			layer := ""
			if e, ok := errors.AsType[*sandbox.RefusedError](err); ok {
				layer = e.Layer
			}
			switch {
			case layer != "":
				lines = append(lines, what+": refused: "+layer)
			case err != nil:
				lines = append(lines, what+": "+err.Error())
			default:
				lines = append(lines, fmt.Sprintf("%s: %d %q %s proc absent %v", what, res.Exit, res.Stdout.Bytes(), res.Commit, slices.Contains(degraded, "proc")))
			}
		}
		sh := func(p sandbox.Profile, write bool, script string) sandbox.Spec {
			return sandbox.Spec{Profile: p, Argv: []string{"/bin/sh", "-c", script}, Workspace: &sandbox.Workspace{Dir: dir, Write: write}}
		}
		run("strict", sh(sandbox.Strict, false, "true"))
		run("standard", sh(sandbox.Standard, false, "true"))
		run("reduced", sh(sandbox.Reduced, false, "cat f; ls -A /proc; echo x > f || echo kept"))
		run("writing", sh(sandbox.Reduced, true, "true"))
		s := sh(sandbox.Reduced, true, "echo new > g; cat g")
		s.Grants = sandbox.Grants{Decision: "d", Write: true}
		run("granted", s)
		s = sh(sandbox.Reduced, false, "getent ahostsv4 api.example | head -n 1 | cut -d ' ' -f 1; cat /run/secrets/token")
		s.Grants = sandbox.Grants{Decision: "d", Hosts: true, Secrets: true}
		s.Network.Allow, s.Secrets = ladenHosts, []sandbox.Secret{{Name: "token", Value: []byte("4711")}}
		run("lent", s)
		lines = append(lines, everyStepPrevents(ctx, r, dir))
		return strings.Join(lines, "\n")
	}
}

// everyStepPrevents lets every operation of a plan fail and says whether a tool ran.
func everyStepPrevents(ctx context.Context, r *sandbox.Runner, dir string) string {
	var codes []stage.Code
	for i := 0; codes == nil || i < len(codes); i++ {
		r.Rewrite(func(p []byte) []byte { codes = ops(p); return fail(p, i) })
		_, err := r.Run(ctx, sandbox.Spec{CallID: "x", Profile: sandbox.Reduced, Argv: []string{"/bin/sh", "-c", "echo x > ran"},
			Workspace: &sandbox.Workspace{Dir: dir, Write: true}, Grants: sandbox.Grants{Decision: "d", Write: true}}, &recorder{})
		if e, ok := errors.AsType[*sandbox.SetupError](err); !ok || e.Index != i {
			return fmt.Sprintf("op %d %v: %v", i, codes[i], err)
		}
	}
	r.Rewrite(nil)
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil || slices.Contains(codes, stage.Proc) || len(codes) < 30 {
		return fmt.Sprintf("of %v operations one failed and the tool ran", codes)
	}
	return "every step prevents"
}

// TestReducedWhereProcIsMasked runs cells as an ordinary user where a container hides parts of
// /proc, so that the kernel gives nobody a new one.
func TestReducedWhereProcIsMasked(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, home := realDir(t), realDir(t)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("kept\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `mount --bind /dev/null /proc/interrupts && exec unshare --user --map-user=1000 --map-group=1000 /bin/bash -c "exec -a victim $0 reduced $1"`
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "/bin/bash", "-c", script, self, dir)
	cmd.Env = append(os.Environ(), "HOME="+home)
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("UNTESTED(cannot cover /proc: %v: %s)", err, got)
	}
	want := `no proc true
strict: refused: proc
standard: refused: proc
reduced: 0 "kept\nkept\n" none proc absent true
writing: compile plan: spec Workspace.Write: this profile needs a grant to write
granted: 0 "new\n" done proc absent true
lent: 0 "198.18.0.1\n4711" none proc absent true
every step prevents
`
	if strings.TrimSpace(string(got)) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "g")); err != nil || string(b) != "new\n" {
		t.Errorf("what was granted to be written: %q, %v", b, err)
	}
}

// TestReducedIsAllowedByAPerson asks for the profile without leave, and as root.
func TestReducedIsAllowedByAPerson(t *testing.T) {
	s := sandbox.Spec{CallID: "x", Profile: sandbox.Reduced, Argv: []string{"/bin/true"}}
	for name, c := range map[string]sandbox.Config{"WithoutLeave": {}, "WithLeave": {AllowReduced: true}} {
		t.Run(name, func(t *testing.T) {
			r := open(t, c)
			f := r.Facts()
			may := c.AllowReduced && f.UID != 0 && f.LandlockABI >= 6
			if f.NoProc {
				t.Error("a machine that has a proc for cells lost it")
			}
			_, err := r.Run(t.Context(), s, &recorder{})
			if may && err != nil || !may && !errors.Is(err, sandbox.ErrRefused) {
				t.Errorf("uid %d: %v", f.UID, err)
			}
		})
	}
	s.Profile++
	if _, err := open(t, sandbox.Config{AllowReduced: true}).Run(t.Context(), s, &recorder{}); !errors.Is(err, sandbox.ErrSpec) {
		t.Errorf("a profile that is not known: %v", err)
	}
}

// TestPlanSaysWhetherItMakesAProc changes that word in plans: the stage takes none that does
// otherwise than it says.
func TestPlanSaysWhetherItMakesAProc(t *testing.T) {
	r := open(t, sandbox.Config{})
	s, ran := trace(t)
	for _, word := range []uint64{1, 2} {
		r.Rewrite(func(p []byte) []byte {
			p = slices.Clone(p)
			binary.LittleEndian.PutUint64(p[32:], word)
			return p
		})
		if _, err := r.Run(t.Context(), s, &recorder{}); err == nil || ran() {
			t.Errorf("%d: %v", word, err)
		}
	}
}

//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
)

// open returns a runner, or skips where cells cannot run.
func open(t testing.TB, c sandbox.Config) *sandbox.Runner {
	t.Helper()
	r, err := sandbox.New(context.Background(), c)
	if err != nil {
		if os.Getenv("REQUIRE_SANDBOX") != "" {
			t.Fatalf("sandbox is required: %v", err)
		}
		t.Skipf("UNTESTED(no sandbox here: %v)", err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// sh runs a shell script in a cell and returns its result.
func sh(t testing.TB, r *sandbox.Runner, s sandbox.Spec, script string) sandbox.Result {
	t.Helper()
	s.CallID = t.Name()
	s.Argv = []string{"/bin/sh", "-c", script}
	res, err := r.Run(context.Background(), s, sandbox.Discard)
	if err != nil {
		t.Fatalf("run %q: %v", script, err)
	}
	return res
}

func out(r sandbox.Result) string { return string(r.Stdout.Bytes()) }

func TestCell(t *testing.T) {
	r := open(t, sandbox.Config{})
	t.Run("RunsAndReports", func(t *testing.T) {
		res := sh(t, r, sandbox.Spec{Stdin: []byte("in\n")}, "cat; id -u; pwd; echo err >&2; exit 7")
		if res.Exit != 7 || !strings.HasPrefix(out(res), "in\n") || string(res.Stderr.Bytes()) != "err\n" {
			t.Fatalf("got %d %q %q", res.Exit, out(res), res.Stderr.Bytes())
		}
	})
	t.Run("WritesWorkspaceOnlyWhenAsked", func(t *testing.T) {
		dir := t.TempDir()
		dir, _ = filepath.EvalSymlinks(dir)
		ro := sandbox.Spec{Workspace: &sandbox.Workspace{Dir: dir}}
		if res := sh(t, r, ro, "echo x > f"); res.Exit == 0 {
			t.Fatal("wrote a read-only workspace")
		}
		rw := sandbox.Spec{Profile: sandbox.Standard, Workspace: &sandbox.Workspace{Dir: dir, Write: true}}
		if res := sh(t, r, rw, "echo x > f && cat f"); res.Exit != 0 {
			t.Fatalf("got %d %s", res.Exit, res.Stderr.Bytes())
		}
		b, err := os.ReadFile(filepath.Join(dir, "f"))
		if err != nil || string(b) != "x\n" {
			t.Fatalf("got %q %v", b, err)
		}
	})
}

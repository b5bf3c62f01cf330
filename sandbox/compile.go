//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// maxText bounds argv and environment together, in bytes.
const maxText = 1 << 20

// Compile makes the plan for s on the machine of f. It is pure: it reads
// nothing but its arguments. A contradiction is a *SpecError inside an *Error;
// nothing is narrowed in silence.
func Compile(s Spec, f Facts) (Plan, error) {
	limits := s.Limits.orElse(DefaultLimits())
	if err := checkSpec(s, limits, f); err != nil {
		return Plan{}, &Error{Op: "compile plan", Hint: hint(err), Err: err}
	}
	b := &builder{args: s.Argv, env: environment(s), ops: make([]op, 0, 128), noProc: f.NoProc}
	b.want.uid, b.want.gid = f.Identity.UID, f.Identity.GID
	b.enter(f)
	if err := b.view(s, f, limits); err != nil {
		return Plan{}, &Error{Op: "compile plan", Err: err}
	}
	b.confine(s, f, limits)
	if len(b.passed) > stage.MaxFDs || len(b.ops) > stage.MaxOps {
		return Plan{}, &Error{Op: "compile plan", Err: &SpecError{"Mounts", "are too many"}}
	}
	p := Plan{passed: b.passed, want: b.want, limits: limits, layer: b.layer, ports: b.ports, pty: s.PTY != nil}
	return p.holding(b.encode()), nil
}

func checkSpec(s Spec, limits Limits, f Facts) error {
	checks := []func() error{
		func() error { return checkCall(s) },
		func() error { return checkEnv(s, f) },
		func() error { return checkWorkspace(s, f) },
		func() error { return checkNetwork(s, f) },
		func() error { return checkSecrets(s) },
		func() error { return checkPTY(s) },
		func() error { return checkReduced(s, f) },
		func() error {
			if s.Profile == Strict && !f.Notify && !s.probe {
				return &RefusedError{denialLayerName, "a record of denied system calls, for Strict", "none on this machine"}
			}
			return nil
		},
		func() error { return limits.check(f.Config.maxLimits()) },
		func() error {
			if f.Identity.UID <= 0 || f.Identity.GID <= 0 {
				return &SpecError{"Identity", "a cell never runs as user or group 0"}
			}
			return nil
		},
	}
	for _, c := range checks {
		if err := c(); err != nil {
			return err
		}
	}
	return nil
}

func checkCall(s Spec) error {
	switch {
	case s.CallID == "":
		return &SpecError{"CallID", "is empty"}
	case s.Profile > Reduced:
		return &SpecError{"Profile", "is unknown"}
	case len(s.Argv) == 0 || s.Argv[0] == "":
		return &SpecError{"Argv", "is empty"}
	case len(s.Argv) > stage.MaxArgs:
		return &SpecError{"Argv", fmt.Sprintf("has more than %d words", stage.MaxArgs)}
	case s.Helper == nil && !strings.HasPrefix(s.Argv[0], "/"):
		return &SpecError{"Argv", "the command is not an absolute path"}
	}
	total := 0
	for i, a := range s.Argv {
		if strings.IndexByte(a, 0) >= 0 {
			return &SpecError{fmt.Sprintf("Argv[%d]", i), "holds a NUL byte"}
		}
		total += len(a) + 1
	}
	if total > maxText {
		return &SpecError{"Argv", fmt.Sprintf("is longer than %d bytes", maxText)}
	}
	return checkDir(s)
}

func checkDir(s Spec) error {
	if s.Dir == "" {
		return nil
	}
	if !clean(s.Dir) {
		return &SpecError{"Dir", "is not a clean absolute path"}
	}
	if within(s.Dir, WorkDir) && s.Workspace == nil {
		return &SpecError{"Dir", "there is no workspace"}
	}
	if !within(s.Dir, WorkDir) && !within(s.Dir, TempDir) && !within(s.Dir, HomeDir) {
		return &SpecError{"Dir", "is outside of the workspace, TMPDIR and HOME"}
	}
	return nil
}

func checkEnv(s Spec, f Facts) error {
	total := 0
	for k, v := range s.Env {
		if !slices.Contains(f.Config.EnvAllow, k) {
			return &SpecError{"Env", fmt.Sprintf("%q is not on the list of the configuration", k)}
		}
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.IndexByte(v, 0) >= 0 {
			return &SpecError{"Env", fmt.Sprintf("%q is malformed", k)}
		}
		total += len(k) + len(v) + 2
	}
	if total > maxText {
		return &SpecError{"Env", fmt.Sprintf("is longer than %d bytes", maxText)}
	}
	return nil
}

func checkWorkspace(s Spec, f Facts) error {
	if s.Grants.Write && s.Grants.Decision == "" {
		return &SpecError{"Grants", "a grant needs its decision"}
	}
	w := s.Workspace
	if w == nil {
		return nil
	}
	if !clean(w.Dir) || w.Dir == "/" {
		return &SpecError{"Workspace.Dir", "is not a clean absolute path below /"}
	}
	src, ok := f.Sources[w.Dir]
	if !ok || !src.Dir {
		return &SpecError{"Workspace.Dir", "is not an approved directory"}
	}
	if w.Write && s.Profile.granted() && !s.Grants.Write {
		return &SpecError{"Workspace.Write", "this profile needs a grant to write"}
	}
	if w.Drop && !w.Write {
		return &SpecError{"Workspace.Drop", "belongs to a workspace that can be written"}
	}
	if w.Write && !layered(*w, f) && (w.Drop || !f.Config.AllowDirectWrite) {
		have := "none on this machine"
		if src.Below {
			have = "something mounted below " + w.Dir
		}
		return &RefusedError{workspaceLayerName, "a layer for the changes of a call", have}
	}
	return nil
}

// environment is fixed but for what the configuration lets through.
func environment(s Spec) []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
		"HOME=" + HomeDir, "TMPDIR=" + TempDir, "LANG=C.UTF-8", "TERM=dumb", "USER=agent",
	}
	if s.PTY != nil {
		env[4] = "TERM=" + terminalType
	}
	for k, v := range s.Env {
		env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, k+"=") })
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	return env
}

// directory is where the tool starts.
func directory(s Spec) string {
	switch {
	case s.Dir != "":
		return s.Dir
	case s.Workspace != nil:
		return WorkDir
	}
	return TempDir
}

// clean reports whether p is absolute, in shortest form, and printable as one
// NUL-terminated string.
func clean(p string) bool {
	return strings.HasPrefix(p, "/") && path.Clean(p) == p && strings.IndexByte(p, 0) < 0
}

// within reports whether p is dir or below it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

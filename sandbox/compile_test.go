//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// machine is a fixed description of a machine: Compile reads no other.
func machine() sandbox.Facts {
	return sandbox.Facts{
		Kernel: "6.12.0", Arch: "amd64", UID: 1000, GID: 1000, Memory: "approximate",
		Overlay:  true,
		Notify:   true,
		Config:   sandbox.Config{EnvAllow: []string{"LANG", "CI"}},
		Identity: sandbox.Identity{UID: 1000, GID: 1000},
		Root:     []sandbox.RootEntry{{Path: "/usr", Dir: true}, {Path: "/bin", Link: "usr/bin"}, {Path: "/etc/ld.so.cache"}},
		Sources: map[string]sandbox.Source{
			"/home/u/p":   {Dev: 1, Ino: 2, UID: 1000, GID: 1000, Dir: true},
			"/opt/go":     {Dev: 1, Ino: 3, Dir: true},
			"/etc/a.conf": {Dev: 1, Ino: 4},
		},
	}
}

func call() sandbox.Spec { return sandbox.Spec{CallID: "c1", Argv: []string{"/bin/true"}} }

func TestCompileIsDeterministic(t *testing.T) {
	s := call()
	s.Env = map[string]string{"CI": "1", "LANG": "C"}
	s.Mounts = []sandbox.Mount{{Source: "/opt/go", Exec: true}, {Source: "/etc/a.conf", Target: "/etc/b.conf"}}
	s.Workspace = &sandbox.Workspace{Dir: "/home/u/p"}
	p, err := sandbox.Compile(s, machine())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		q, err := sandbox.Compile(s, machine())
		if err != nil || q.Digest() != p.Digest() || !bytes.Equal(p.Bytes(), q.Bytes()) {
			t.Fatal("two plans of one call differ")
		}
	}
	if err := stage.Check(p.Bytes()); err != nil {
		t.Fatalf("the stage refuses it: %v", err)
	}
	s.Argv = []string{"/bin/false"}
	if q, _ := sandbox.Compile(s, machine()); q.Digest() == p.Digest() {
		t.Fatal("plans of two calls have one digest")
	}
	for _, want := range []string{"LANG=C\x00", "CI=1\x00", "HOME=/home/agent\x00"} {
		if !bytes.Contains(p.Bytes(), []byte(want)) {
			t.Errorf("plan lacks %q", want)
		}
	}
	if bytes.Contains(p.Bytes(), []byte("LANG=C.UTF-8")) {
		t.Error("a variable stands twice")
	}
}

// TestCompileRefuses has one contradiction a row.
func TestCompileRefuses(t *testing.T) {
	work := &sandbox.Workspace{Dir: "/home/u/p", Write: true}
	rows := map[string]struct {
		field  string
		change func(*sandbox.Spec, *sandbox.Facts)
	}{
		"ZeroSpec":             {"CallID", func(s *sandbox.Spec, _ *sandbox.Facts) { *s = sandbox.Spec{} }},
		"NoCommand":            {"Argv", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Argv = nil }},
		"RelativeCommand":      {"Argv", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Argv = []string{"true"} }},
		"NULInArgument":        {"Argv[1]", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Argv = []string{"/bin/echo", "a\x00b"} }},
		"HugeArgument":         {"Argv", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Argv = append(s.Argv, strings.Repeat("x", 1<<20)) }},
		"TooManyArguments":     {"Argv", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Argv = slices.Repeat([]string{"/x"}, 5000) }},
		"UnknownProfile":       {"Profile", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Profile = 9 }},
		"DirOutside":           {"Dir", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Dir = "/usr" }},
		"DirWithDots":          {"Dir", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Dir = "/tmp/../usr" }},
		"DirWithoutWorkspace":  {"Dir", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Dir = "/work/a" }},
		"VariableNotListed":    {"Env", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Env = map[string]string{"LD_PRELOAD": "x"} }},
		"VariableWithNUL":      {"Env", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Env = map[string]string{"CI": "a\x00"} }},
		"StrictWrites":         {"Workspace.Write", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Workspace = work }},
		"GrantWithoutDecision": {"Grants", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Workspace, s.Grants.Write = work, true }},
		"WorkspaceNotApproved": {"Workspace.Dir", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Workspace = &sandbox.Workspace{Dir: "/home/u"} }},
		"WorkspaceIsRoot":      {"Workspace.Dir", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Workspace = &sandbox.Workspace{Dir: "/"} }},
		"WorkspaceIsFile":      {"Workspace.Dir", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Workspace = &sandbox.Workspace{Dir: "/etc/a.conf"} }},
		"MountNotApproved":     {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Mounts = []sandbox.Mount{{Source: "/srv"}} }},
		"MountOverSystem": {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Mounts = []sandbox.Mount{{Source: "/opt/go", Target: "/usr/lib"}}
		}},
		"MountOverParent": {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Mounts = []sandbox.Mount{{Source: "/opt/go", Target: "/home"}}
		}},
		"MountOverDev": {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Mounts = []sandbox.Mount{{Source: "/opt/go", Target: "/dev/dri"}}
		}},
		"MountOverProc": {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Mounts = []sandbox.Mount{{Source: "/opt/go", Target: "/proc"}}
		}},
		"MountOverWork": {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Mounts = []sandbox.Mount{{Source: "/opt/go", Target: "/work/x"}}
		}},
		"MountOverPasswd": {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Mounts = []sandbox.Mount{{Source: "/etc/a.conf", Target: "/etc/passwd"}}
		}},
		"MountTwice": {"Mounts[1]", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Mounts = []sandbox.Mount{{Source: "/opt/go"}, {Source: "/opt/go"}}
		}},
		"MountOfRoot": {"Mounts[0]", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Mounts = []sandbox.Mount{{Source: "/", Target: "/host"}} }},
		"DropsWhatItCannotWrite": {"Workspace.Drop", func(s *sandbox.Spec, _ *sandbox.Facts) {
			s.Workspace = &sandbox.Workspace{Dir: work.Dir, Drop: true}
		}},
		"TimeAboveBound":        {"Limits.Time", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Limits.Time = 1 << 60 }},
		"NegativeMemory":        {"Limits.Memory", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Limits.Memory = -1 }},
		"ProcessesAboveBound":   {"Limits.Processes", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Limits.Processes = 1 << 20 }},
		"UserZero":              {"Identity", func(_ *sandbox.Spec, f *sandbox.Facts) { f.Identity.UID = 0 }},
		"GroupZero":             {"Identity", func(_ *sandbox.Spec, f *sandbox.Facts) { f.Identity.GID = 0 }},
		"NegativeUser":          {"Identity", func(_ *sandbox.Spec, f *sandbox.Facts) { f.Identity.UID = -1 }},
		"WorkspaceWithDots":     {"Workspace.Dir", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Workspace = &sandbox.Workspace{Dir: "/home/u/../u/p"} }},
		"EmptyFirstWord":        {"Argv", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Argv = []string{""} }},
		"EnvironmentTooLong":    {"Env", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Env = map[string]string{"CI": strings.Repeat("x", 1<<20)} }},
		"OutputBelowLeastBound": {"Limits.Output", func(s *sandbox.Spec, _ *sandbox.Facts) { s.Limits.Output = -5 }},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			s, f := call(), machine()
			row.change(&s, &f)
			p, err := sandbox.Compile(s, f)
			e, ok := errors.AsType[*sandbox.SpecError](err)
			if !ok || e.Field != row.field || !errors.Is(err, sandbox.ErrSpec) {
				t.Fatalf("got %v, want a fault of %s", err, row.field)
			}
			if len(p.Bytes()) != 0 {
				t.Error("a plan came with the error")
			}
		})
	}
	s := call()
	s.Workspace, s.Grants = work, sandbox.Grants{Decision: "d1", Write: true}
	if _, err := sandbox.Compile(s, machine()); err != nil {
		t.Errorf("control: a granted write: %v", err)
	}
}

// TestStrictNeedsTheDenialLog: what an injected tool tried is always recorded.
func TestStrictNeedsTheDenialLog(t *testing.T) {
	f := machine()
	f.Notify = false
	if _, err := sandbox.Compile(call(), f); !errors.Is(err, sandbox.ErrRefused) {
		t.Errorf("strict: got %v", err)
	}
	s := call()
	s.Profile = sandbox.Standard
	if _, err := sandbox.Compile(s, f); err != nil {
		t.Errorf("standard: got %v", err)
	}
}

// TestWritingWithoutALayerIsRefused: unless a person chose so, no call changes
// a workspace itself.
func TestWritingWithoutALayerIsRefused(t *testing.T) {
	s := call()
	s.Profile, s.Workspace = sandbox.Standard, &sandbox.Workspace{Dir: "/home/u/p", Write: true}
	below := machine()
	below.Sources["/home/u/p"] = sandbox.Source{Dev: 1, Ino: 2, Dir: true, Below: true}
	none := machine()
	none.Overlay = false
	for name, f := range map[string]sandbox.Facts{"MountBelow": below, "NoOverlay": none} {
		_, err := sandbox.Compile(s, f)
		e, _ := errors.AsType[*sandbox.Error](err)
		if !errors.Is(err, sandbox.ErrRefused) || e == nil || e.Hint == "" {
			t.Errorf("%s: got %v", name, err)
		}
		f.Config.AllowDirectWrite = true
		if _, err := sandbox.Compile(s, f); err != nil {
			t.Errorf("%s, allowed: %v", name, err)
		}
	}
}

// TestReadOnlyIsInThePlan: where workspaces are mounted as they are, the one
// difference between a read-only and a writable one is the attribute.
func TestReadOnlyIsInThePlan(t *testing.T) {
	s := call()
	s.Profile = sandbox.Standard
	s.Workspace = &sandbox.Workspace{Dir: "/home/u/p"}
	direct := machine()
	direct.Overlay, direct.Config.AllowDirectWrite = false, true
	ro, err := sandbox.Compile(s, direct)
	if err != nil {
		t.Fatal(err)
	}
	s.Workspace = &sandbox.Workspace{Dir: "/home/u/p", Write: true}
	rw, err := sandbox.Compile(s, direct)
	if err != nil {
		t.Fatal(err)
	}
	a, b, differ := ro.Bytes(), rw.Bytes(), 0
	for i := range a {
		if a[i] != b[i] {
			differ++
		}
	}
	if len(a) != len(b) || differ != 1 {
		t.Fatalf("plans differ in %d bytes", differ)
	}
}

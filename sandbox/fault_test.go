//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/internal/bpf"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// recorder is a Recorder that can refuse, or act at a step.
type recorder struct {
	planned  func(sandbox.PlanRecord) error
	attested func(sandbox.Attestation) error
	deciding func(sandbox.CommitRecord) error
	end      error
	steps    []string
	finished bool
	result   sandbox.ResultRecord
}

func (r *recorder) Planned(_ context.Context, p sandbox.PlanRecord) error {
	r.steps = append(r.steps, "planned")
	if r.planned == nil {
		return nil
	}
	return r.planned(p)
}

func (r *recorder) Attested(_ context.Context, a sandbox.Attestation) error {
	r.steps = append(r.steps, "attested")
	if r.attested == nil {
		return nil
	}
	return r.attested(a)
}

func (r *recorder) Deciding(_ context.Context, c sandbox.CommitRecord) error {
	r.steps = append(r.steps, "deciding")
	if r.deciding == nil {
		return nil
	}
	return r.deciding(c)
}

func (r *recorder) Finished(_ context.Context, f sandbox.ResultRecord) error {
	r.steps = append(r.steps, "finished")
	r.finished, r.result = true, f
	return r.end
}

// trace is a call that leaves a file if its tool ever starts.
func trace(t *testing.T) (sandbox.Spec, func() bool) {
	dir := realDir(t)
	s := writable(dir)
	s.CallID, s.Argv = "trace", []string{"/bin/sh", "-c", "echo ran > ran"}
	return s, func() bool {
		_, err := os.Stat(filepath.Join(dir, "ran"))
		return err == nil
	}
}

// ops returns the codes of an encoded plan.
func ops(plan []byte) []stage.Code {
	n := int(binary.LittleEndian.Uint32(plan[12:]))
	list := make([]stage.Code, n)
	for i := range list {
		list[i] = stage.Code(binary.LittleEndian.Uint32(plan[stage.HeaderSize+i*stage.OpSize:]))
	}
	return list
}

// fail returns a copy of the plan in which operation i fails.
func fail(plan []byte, i int) []byte {
	p := slices.Clone(plan)
	at := stage.HeaderSize + i*stage.OpSize + 4
	binary.LittleEndian.PutUint32(p[at:], binary.LittleEndian.Uint32(p[at:])|stage.FlagFail)
	return p
}

// TestEveryStepFailsClosed lets operation i fail, for every i: the tool never
// runs, and the error names the step. Between them the calls have every
// operation there is; one that no plan holds must have a reason.
func TestEveryStepFailsClosed(t *testing.T) {
	met, groups := map[stage.Code]bool{}, false
	plain := open(t, sandbox.Config{Hosts: ladenHosts})
	t.Run("AsConfigured", func(t *testing.T) { everyStepFailsClosed(t, plain, trace, met) })
	t.Run("WithEverything", func(t *testing.T) { everyStepFailsClosed(t, plain, laden, met) })
	t.Run("InControlGroups", func(t *testing.T) {
		r, err := sandbox.New(t.Context(), sandbox.Config{RequireCgroup: true})
		if err != nil {
			t.Skipf("UNTESTED(%v)", err)
		}
		defer r.Close()
		groups = true
		everyStepFailsClosed(t, r, trace, met)
	})
	f := plain.Facts()
	lacking := map[string]bool{ // on this machine, or in all but a cell that is prepared ahead
		"JOIN": !groups, "SETID": f.UID != 0, "PIDMAX": !f.PIDMax, "TIMENS": !f.TimeNS, "LANDLOCK": !f.Landlock,
		"OVERLAY": !f.Overlay, "BARRIER": true, // TestBarrierFailsClosed
		"PTY": true, "TTY": true, // TestTerminalFailsClosed
	}
	for c, name := range stage.Codes() {
		if !met[c] && !lacking[name] {
			t.Errorf("%s was in no plan, so nobody knows what its failure does", name)
		}
	}
}

// ladenHosts are the hosts of laden.
var ladenHosts = []sandbox.HostRule{{Host: "api.example", Port: 443}}

// laden is a call with everything a Spec can ask for.
func laden(t *testing.T) (sandbox.Spec, func() bool) {
	s, ran := trace(t)
	file := filepath.Join(realDir(t), "f")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	im, err := image()
	if err != nil {
		t.Fatal(err)
	}
	s.Mounts = []sandbox.Mount{{Source: realDir(t), Target: "/opt/tree", Exec: true}, {Source: file, Target: "/opt/file"}}
	s.Profile, s.Grants = sandbox.Strict, sandbox.Grants{Decision: "d", Write: true, Hosts: true, Secrets: true}
	s.Secrets = []sandbox.Secret{{Name: "token", Value: []byte("x")}}
	s.Network.Allow = ladenHosts
	s.Dir, s.Stdin = sandbox.WorkDir, []byte("in")
	s.Helper, s.Argv = im, []string{victim, "leave", "ran"}
	return s, ran
}

func init() {
	attempts["leave"] = func(a []string) string { return name(os.WriteFile(a[0], nil, 0o644)) }
}

func everyStepFailsClosed(t *testing.T, r *sandbox.Runner, call func(*testing.T) (sandbox.Spec, func() bool), met map[stage.Code]bool) {
	var codes []stage.Code
	for i := 0; codes == nil || i < len(codes); i++ {
		s, ran := call(t)
		r.Rewrite(func(p []byte) []byte { codes = ops(p); return fail(p, i) })
		rec := &recorder{}
		_, err := r.Run(t.Context(), s, rec)
		met[codes[i]] = true
		e, ok := errors.AsType[*sandbox.SetupError](err)
		if !ok || e.Index != i || e.Op != codes[i].String() || e.Errno != syscall.ECANCELED {
			t.Errorf("op %d %v: got %v", i, codes[i], err)
		}
		if ran() {
			t.Fatalf("op %d %v failed and the tool ran", i, codes[i])
		}
		if !rec.finished || rec.result.Started || rec.result.Err == "" {
			t.Errorf("op %d %v: recorded %v %+v", i, codes[i], rec.steps, rec.result)
		}
	}
	if len(codes) < 40 {
		t.Fatalf("only %d operations", len(codes))
	}
	// control: untouched, it runs
	r.Rewrite(nil)
	s, ran := call(t)
	if _, err := r.Run(t.Context(), s, &recorder{}); err != nil || !ran() {
		t.Fatalf("control: %v, ran %v", err, ran())
	}
}

func TestRecorderRefusalPreventsTheEffect(t *testing.T) {
	r := open(t, sandbox.Config{})
	no := errors.New("no")
	for name, rec := range map[string]*recorder{
		"planned":  {planned: func(sandbox.PlanRecord) error { return no }},
		"attested": {attested: func(sandbox.Attestation) error { return no }},
	} {
		t.Run(name, func(t *testing.T) {
			s, ran := trace(t)
			_, err := r.Run(t.Context(), s, rec)
			if e, ok := errors.AsType[*sandbox.RecordError](err); !ok || e.Step != name || !errors.Is(err, no) {
				t.Errorf("got %v", err)
			}
			if ran() {
				t.Error("the tool ran")
			}
			if rec.finished != (name == "attested") {
				t.Errorf("steps %v", rec.steps)
			}
		})
	}
	t.Run("finished", func(t *testing.T) {
		s, ran := trace(t)
		res, err := r.Run(t.Context(), s, &recorder{end: no})
		if !errors.Is(err, sandbox.ErrRecord) || !ran() || res.Exit != 0 {
			t.Errorf("got %v, ran %v", err, ran())
		}
	})
}

func TestRecordsAreInOrderAndComplete(t *testing.T) {
	r := open(t, sandbox.Config{})
	s, _ := trace(t)
	var plan sandbox.PlanRecord
	var att sandbox.Attestation
	rec := &recorder{planned: func(p sandbox.PlanRecord) error { plan = p; return nil },
		attested: func(a sandbox.Attestation) error { att = a; return nil }}
	res, err := r.Run(t.Context(), s, rec)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(rec.steps, " "); got != "planned attested deciding finished" {
		t.Errorf("steps %q", got)
	}
	if plan.Digest != res.Plan || att.Digest != res.Attested || att.Digest == [32]byte{} || len(plan.Degraded) == 0 {
		t.Error("digests or degraded layers are missing")
	}
	if att.Seccomp != 2 || att.NoNewPrivs != 1 || att.Threads != 1 || att.Init.Seccomp != 2 || len(att.Namespaces) < 7 ||
		len(att.Mounts) < 10 || att.UID == 0 {
		t.Errorf("attestation %+v", att)
	}
	if err := stage.Check(plan.Plan); err != nil {
		t.Errorf("recorded plan: %v", err)
	}
}

// TestSourceSwappedAfterApproval is FS06 and FS07: what was approved is what is
// mounted, or nothing.
func TestSourceSwappedAfterApproval(t *testing.T) {
	r := open(t, sandbox.Config{})
	for name, swap := range map[string]func(dir string) error{
		"ForOtherDirectory": func(dir string) error { return os.Mkdir(dir, 0o755) },
		"ForLink":           func(dir string) error { return os.Symlink("/etc", dir) },
		"ForNothing":        func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(realDir(t), "w")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			s := sandbox.Spec{CallID: "swap", Argv: []string{"/bin/ls"}, Workspace: &sandbox.Workspace{Dir: dir}}
			_, err := r.Run(t.Context(), s, &recorder{planned: func(sandbox.PlanRecord) error {
				if err := os.Rename(dir, dir+".old"); err != nil {
					t.Fatal(err)
				}
				return swap(dir)
			}})
			if err == nil {
				t.Fatal("ran with another source than the approved one")
			}
		})
	}
	t.Run("LinkIsNotApproved", func(t *testing.T) {
		dir := filepath.Join(realDir(t), "l")
		if err := os.Symlink("/usr", dir); err != nil {
			t.Fatal(err)
		}
		_, err := r.Run(t.Context(), sandbox.Spec{CallID: "l", Argv: []string{"/bin/ls"},
			Workspace: &sandbox.Workspace{Dir: dir}}, sandbox.Discard)
		if !errors.Is(err, sandbox.ErrSpec) {
			t.Fatalf("got %v", err)
		}
	})
}

// TestEachLayerMatters removes one layer at a time and shows that something
// notices: the stage, the attestation, or a victim that now succeeds.
func TestEachLayerMatters(t *testing.T) {
	each := func(p []byte, f func(code stage.Code, op []byte)) []byte {
		p = slices.Clone(p)
		for i, c := range ops(p) {
			at := stage.HeaderSize + i*stage.OpSize
			f(c, p[at:at+stage.OpSize])
		}
		return p
	}
	le := binary.LittleEndian
	noop := func(op []byte) { le.PutUint32(op, uint32(stage.Umask)); le.PutUint32(op[8:], 0o022) }
	refused := map[string]struct {
		err    error
		change func(code stage.Code, op []byte)
	}{
		"capabilities": {sandbox.ErrSetup, func(c stage.Code, op []byte) {
			if c == stage.Caps {
				noop(op)
			}
		}},
		"no_new_privs": {sandbox.ErrSetup, func(c stage.Code, op []byte) {
			if c == stage.NNP {
				noop(op)
			}
		}},
		"read-only mounts": {sandbox.ErrAttest, func(c stage.Code, op []byte) {
			if c == stage.Tree {
				le.PutUint64(op[16:], le.Uint64(op[16:])&^1)
			}
		}},
		"network namespace": {sandbox.ErrAttest, func(c stage.Code, op []byte) {
			if c == stage.Unshare {
				le.PutUint64(op[16:], le.Uint64(op[16:])&^0x40000000)
			}
		}},
		"ipc namespace": {sandbox.ErrAttest, func(c stage.Code, op []byte) {
			if c == stage.Unshare {
				le.PutUint64(op[16:], le.Uint64(op[16:])&^0x08000000)
			}
		}},
		"bounding set": {sandbox.ErrSetup, func(c stage.Code, op []byte) {
			if c == stage.Bounds {
				le.PutUint32(op, uint32(stage.PIDMax))
			}
		}},
	}
	for name, m := range refused {
		t.Run(name, func(t *testing.T) {
			r := open(t, sandbox.Config{})
			r.Rewrite(func(p []byte) []byte { return each(p, m.change) })
			s, ran := trace(t)
			_, err := r.Run(t.Context(), s, sandbox.Discard)
			if !errors.Is(err, m.err) || ran() {
				t.Fatalf("got %v, ran %v", err, ran())
			}
		})
	}
	t.Run("system-call filter", func(t *testing.T) {
		r := open(t, sandbox.Config{})
		before := out(inside(t, r, sandbox.Spec{}, "families")) + out(inside(t, r, sandbox.Spec{}, "calls", "unshare", "keyctl"))
		open := bpf.Program{{Op: 0x06, K: uint32(bpf.Allow)}}.Bytes()
		// shorter than the real filter, so that it fits in its place
		r.Rewrite(func(p []byte) []byte {
			p = slices.Clone(p)
			n := int(le.Uint32(p[12:]))
			blob := stage.HeaderSize + n*stage.OpSize
			for i, c := range ops(p) {
				op := p[stage.HeaderSize+i*stage.OpSize:]
				if c == stage.Seccomp {
					off := int(le.Uint64(op[48:]))
					copy(p[blob+off:], open)
					p[blob+off+len(open)] = 0
					le.PutUint64(op[56:], uint64(len(open)))
				}
			}
			return p
		})
		after := out(inside(t, r, sandbox.Spec{}, "families")) + out(inside(t, r, sandbox.Spec{}, "calls", "unshare", "keyctl"))
		if before == after || strings.Contains(after, "keyctl=EPERM") && strings.HasPrefix(after, "[EAFNOSUPPORT]") {
			t.Fatalf("nothing notices a missing filter: %q", after)
		}
	})
}

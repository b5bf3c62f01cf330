package tools_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

var (
	_ loop.Executor  = (*tools.Registry)(nil)
	_ loop.Describer = (*tools.Registry)(nil)
	_ tools.Runner   = (*sandbox.Runner)(nil)
)

// runner stands for the sandbox: it reports a plan and an attestation as the
// sandbox does, and gives a fixed end.
type runner struct {
	specs   []sandbox.Spec
	result  sandbox.Result
	err     error
	plan    func(*sandbox.PlanRecord) // changes what is reported
	started int                       // how often the recorder let a tool start
}

func (r *runner) Run(ctx context.Context, s sandbox.Spec, rec sandbox.Recorder) (sandbox.Result, error) {
	r.specs = append(r.specs, s)
	if r.err != nil {
		return sandbox.Result{}, r.err
	}
	p := sandbox.PlanRecord{CallID: s.CallID, Profile: s.Profile, Decision: s.Grants.Decision,
		Plan: []byte("plan"), Digest: sha256.Sum256([]byte("plan")), Argv: s.Argv}
	if r.plan != nil {
		r.plan(&p)
	}
	if err := rec.Planned(ctx, p); err != nil {
		return sandbox.Result{}, &sandbox.RecordError{Step: "planned", Err: err}
	}
	a := sandbox.Attestation{CallID: s.CallID, Degraded: []sandbox.Degraded{{Layer: "landlock", State: "absent"}}}
	if err := rec.Attested(ctx, a); err != nil {
		return sandbox.Result{}, &sandbox.RecordError{Step: "attested", Err: err}
	}
	r.started++
	return r.result, rec.Finished(ctx, sandbox.ResultRecord{CallID: s.CallID})
}

// journal keeps what it is told and fails at step failAt, counted from 1.
type journal struct {
	starts []agent.CallStart
	readys []agent.CallReady
	failAt int
	n      int
}

var errJournal = errors.New("disk full")

func (j *journal) step() error {
	if j.n++; j.n == j.failAt {
		return errJournal
	}
	return nil
}

func (j *journal) Start(_ context.Context, e agent.CallStart) error {
	if err := j.step(); err != nil {
		return err
	}
	j.starts = append(j.starts, e)
	return nil
}

func (j *journal) Ready(_ context.Context, e agent.CallReady) error {
	if err := j.step(); err != nil {
		return err
	}
	j.readys = append(j.readys, e)
	return nil
}

func registry(t *testing.T, r tools.Runner, dir string) *tools.Registry {
	t.Helper()
	reg, err := tools.New(tools.Config{Runner: r, Workspace: dir})
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func call(tool, args string) agent.ToolCall { return agent.ToolCall{ID: "c1", Tool: tool, Args: args} }

func TestSpecsDeclareTools(t *testing.T) {
	reg := registry(t, &runner{}, t.TempDir())
	var names []string
	for _, s := range reg.Specs() {
		names = append(names, s.Name)
		if s.Effect == agent.EffectUnknown || s.Description == "" || len(s.Roles) == 0 || s.Digest() == [32]byte{} {
			t.Errorf("%s is declared incompletely: %+v", s.Name, s)
		}
		if s.Trusted {
			t.Errorf("%s vouches for its output", s.Name)
		}
	}
	want := "calculator list_files read_file run_command search_text write_file"
	if strings.Join(names, " ") != want || !sort.StringsAreSorted(names) {
		t.Errorf("tools %v, want %s", names, want)
	}
	reg.Specs()[0].Name = "changed"
	if reg.Specs()[0].Name != "calculator" {
		t.Error("a caller can change the registry's tools")
	}
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]tools.Config{
		"NoRunner":         {Workspace: dir},
		"NoWorkspace":      {Runner: &runner{}},
		"MissingWorkspace": {Runner: &runner{}, Workspace: filepath.Join(dir, "none")},
		"UnknownTool":      {Runner: &runner{}, Workspace: dir, Only: []string{"read_file", "launch"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := tools.New(c); err == nil {
				t.Error("no error")
			}
		})
	}
	t.Run("OffersOnlyNamedTools", func(t *testing.T) {
		reg, err := tools.New(tools.Config{Runner: &runner{}, Workspace: dir, Only: []string{"read_file"}})
		if err != nil || len(reg.Specs()) != 1 {
			t.Fatalf("%v, %v", reg, err)
		}
		if err := reg.Check(call("run_command", `{"command":"ls"}`)); !errors.Is(err, tools.ErrUnknownTool) {
			t.Errorf("a tool that is not offered gives %v", err)
		}
	})
}

func TestCheck(t *testing.T) {
	reg := registry(t, &runner{}, t.TempDir())
	for _, c := range []agent.ToolCall{
		call("read_file", `{"path":"a.txt"}`),
		call("list_files", `{"path":""}`),
		call("search_text", `{"query":"x","path":"."}`),
		call("write_file", `{"path":"a","content":""}`),
		call("run_command", `{"command":"ls -l"}`),
		call("calculator", `{"expression":"1+1"}`),
	} {
		if err := reg.Check(c); err != nil {
			t.Errorf("%s %s: %v", c.Tool, c.Args, err)
		}
	}
	for name, c := range map[string]agent.ToolCall{
		"MissingArgument": call("write_file", `{"path":"a"}`),
		"ExtraArgument":   call("read_file", `{"path":"a","mode":"rw"}`),
		"OtherCase":       call("read_file", `{"Path":"a"}`),
		"WrongType":       call("read_file", `{"path":7}`),
		"NestedValue":     call("run_command", `{"command":["ls"]}`),
		"EmptyCommand":    call("run_command", `{"command":""}`),
		"LongPath":        call("read_file", `{"path":"`+strings.Repeat("x", 2000)+`"}`),
		"NUL":             call("run_command", `{"command":"ls\u0000-l"}`),
		"RepeatedMember":  call("read_file", `{"path":"a","path":"b"}`),
		"NoObject":        call("read_file", `["a"]`),
		"TextAfter":       call("read_file", `{"path":"a"} {}`),
		"NoJSON":          call("read_file", `{path:a}`),
		"Null":            call("read_file", `{"path":null}`),
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			err := reg.Check(c)
			if !errors.Is(err, agent.ErrArguments) {
				t.Fatalf("error %v", err)
			}
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
				t.Errorf("error %q is not one short line", err)
			}
		})
	}
	if err := reg.Check(call("rm", `{}`)); !errors.Is(err, tools.ErrUnknownTool) {
		t.Errorf("an unknown tool gives %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	reg, err := tools.New(tools.Config{Runner: &runner{}, Workspace: os.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("read_file", `{"path":"a"}`)
	f.Add("write_file", `{"path":"a","content":"\ud800"}`)
	f.Add("run_command", `{"command":"ls","command":"rm"}`)
	f.Fuzz(func(t *testing.T, tool, args string) {
		c := call(tool, args)
		if reg.Check(c) == nil && c.CheckArgs() != nil {
			t.Fatalf("%q passes although the arguments are not plain", args)
		}
	})
}

func TestExecuteNeedsItsPermit(t *testing.T) {
	ctx := context.Background()
	c := call("read_file", `{"path":"a"}`)
	other := call("read_file", `{"path":"b"}`)
	for name, p := range map[string]agent.Permit{
		"ZeroPermit":  {},
		"OtherCall":   agenttest.Permit(1, other, agent.Grant{}),
		"NoDecision":  agenttest.Permit(0, c, agent.Grant{}),
		"SpentPermit": spent(c),
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			r, j := &runner{}, &journal{}
			_, err := registry(t, r, t.TempDir()).Execute(ctx, p, c, j)
			if err == nil || len(r.specs) != 0 || j.n != 0 {
				t.Errorf("error %v, %d cells, %d records", err, len(r.specs), j.n)
			}
		})
	}
	t.Run("SpendsIt", func(t *testing.T) {
		r, p := &runner{}, agenttest.Permit(1, c, agent.Grant{})
		reg := registry(t, r, t.TempDir())
		if _, err := reg.Execute(ctx, p, c, &journal{}); err != nil {
			t.Fatal(err)
		}
		if _, err := reg.Execute(ctx, p, c, &journal{}); err == nil || len(r.specs) != 1 {
			t.Errorf("a spent permit gives %v and %d cells", err, len(r.specs))
		}
	})
	t.Run("RefusesBadArgumentsStill", func(t *testing.T) {
		r, j, bad := &runner{}, &journal{}, call("read_file", `{"file":"a"}`)
		_, err := registry(t, r, t.TempDir()).Execute(ctx, agenttest.Permit(1, bad, agent.Grant{}), bad, j)
		if !errors.Is(err, agent.ErrArguments) || len(r.specs) != 0 || j.n != 0 {
			t.Errorf("error %v, %d cells, %d records", err, len(r.specs), j.n)
		}
	})
}

func spent(c agent.ToolCall) agent.Permit {
	p := agenttest.Permit(1, c, agent.Grant{})
	if err := p.Spend(c.Digest()); err != nil {
		panic(err)
	}
	return p
}

package tools_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

// execute runs a call under a grant with a fake runner.
func execute(t *testing.T, r *runner, j *journal, c agent.ToolCall, g agent.Grant) (agent.Observation, error) {
	t.Helper()
	return registry(t, r, t.TempDir()).Execute(context.Background(), agenttest.Permit(7, c, g), c, j)
}

func TestCellStaysWithinGrant(t *testing.T) {
	write := call("write_file", `{"path":"a","content":"b"}`)
	read := call("read_file", `{"path":"a"}`)
	command := call("run_command", `{"command":"ls -l"}`)
	for _, c := range []struct {
		name    string
		call    agent.ToolCall
		grant   agent.Grant
		profile sandbox.Profile
		write   bool
	}{
		{"StrictReadOnlyByDefault", write, agent.Grant{}, sandbox.Strict, false},
		{"CommandReadOnlyByDefault", command, agent.Grant{}, sandbox.Strict, false},
		{"WriteWhenGranted", write, agent.Grant{Write: true}, sandbox.Strict, true},
		{"CommandWritesWhenGranted", command, agent.Grant{Profile: agent.Standard, Write: true}, sandbox.Standard, true},
		{"StandardWithoutWrite", command, agent.Grant{Profile: agent.Standard}, sandbox.Standard, false},
		{"ReducedWhenGranted", command, agent.Grant{Profile: agent.Reduced}, sandbox.Reduced, false},
		{"ReadNeverWrites", read, agent.Grant{Profile: agent.Standard, Write: true}, sandbox.Standard, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &runner{}
			if _, err := execute(t, r, &journal{}, c.call, c.grant); err != nil {
				t.Fatal(err)
			}
			s := r.specs[0]
			if s.Profile != c.profile || s.Workspace.Write != c.write || s.Grants.Write != c.write ||
				s.Grants.Decision != "7" || s.CallID != "c1" || len(s.Mounts) != 0 || len(s.Env) != 0 {
				t.Errorf("spec %+v, workspace %+v", s, s.Workspace)
			}
			if !filepath.IsAbs(s.Workspace.Dir) || s.Dir != "/work" {
				t.Errorf("workspace %q, directory %q", s.Workspace.Dir, s.Dir)
			}
		})
	}
	for name, g := range map[string]agent.Grant{
		"UnknownProfile": {Profile: 9},
		"Hosts":          {Profile: agent.Standard, Hosts: []string{"example.org"}},
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			r, j := &runner{}, &journal{}
			_, err := execute(t, r, j, command, g)
			if !errors.Is(err, sandbox.ErrRefused) || len(r.specs) != 0 || j.n != 0 {
				t.Errorf("error %v, %d cells, %d records", err, len(r.specs), j.n)
			}
		})
	}
}

func TestCellRunsTheRightProgram(t *testing.T) {
	r := &runner{}
	if _, err := execute(t, r, &journal{}, call("run_command", `{"command":"a; b 'c'"}`), agent.Grant{}); err != nil {
		t.Fatal(err)
	}
	if s := r.specs[0]; s.Helper != nil || fmt.Sprint(s.Argv) != "[/bin/sh -c a; b 'c']" || len(s.Argv) != 3 || s.Stdin != nil {
		t.Errorf("command spec %+v", s)
	}
	args := `{"query":"x", "path":""}`
	if _, err := execute(t, r, &journal{}, call("search_text", args), agent.Grant{}); err != nil {
		t.Fatal(err)
	}
	if s := r.specs[1]; s.Helper == nil || s.Argv[1] != "search_text" || string(s.Stdin) != args || s.Limits.Time == 0 {
		t.Errorf("helper spec %+v", s)
	}
}

func TestJournalComesFirst(t *testing.T) {
	c := call("run_command", `{"command":"ls"}`)
	t.Run("RecordsPlanAndAttestation", func(t *testing.T) {
		r, j := &runner{}, &journal{}
		if _, err := execute(t, r, j, c, agent.Grant{}); err != nil {
			t.Fatal(err)
		}
		s, y := j.starts[0], j.readys[0]
		if !s.Cell || len(s.PlanDigest) != 64 || !strings.Contains(s.Plan.String(), `"argv":["/bin/sh","-c","ls"]`) {
			t.Errorf("start %+v", s)
		}
		if y.Attestation == nil || len(y.Degraded) != 1 || y.Degraded[0] != "landlock absent" {
			t.Errorf("ready %+v", y)
		}
	})
	for step := 1; step <= 2; step++ {
		t.Run(fmt.Sprintf("FailureAtStep%dStartsNothing", step), func(t *testing.T) {
			r := &runner{}
			_, err := execute(t, r, &journal{failAt: step}, c, agent.Grant{})
			if !errors.Is(err, errJournal) || r.started != 0 {
				t.Errorf("error %v, %d tools started", err, r.started)
			}
		})
	}
	for name, change := range map[string]func(*sandbox.PlanRecord){
		"OtherCall":     func(p *sandbox.PlanRecord) { p.CallID = "c2" },
		"OtherDecision": func(p *sandbox.PlanRecord) { p.Decision = "8" },
	} {
		t.Run("RefusesPlanOf"+name, func(t *testing.T) {
			r, j := &runner{plan: change}, &journal{}
			if _, err := execute(t, r, j, c, agent.Grant{}); err == nil || r.started != 0 || j.n != 0 {
				t.Errorf("error %v, %d tools started, %d records", err, r.started, j.n)
			}
		})
	}
	t.Run("CalculatorRecordsStartToo", func(t *testing.T) {
		c := call("calculator", `{"expression":"6*7"}`)
		j := &journal{}
		o, err := execute(t, &runner{}, j, c, agent.Grant{})
		if err != nil || o.Text != "42" || o.Status != agent.CallOK || len(j.starts) != 1 || j.starts[0].Cell {
			t.Errorf("%+v, %v, %+v", o, err, j)
		}
		if o, err := execute(t, &runner{}, &journal{failAt: 1}, c, agent.Grant{}); !errors.Is(err, errJournal) || o.Text != "" {
			t.Errorf("%+v, %v", o, err)
		}
	})
}

func captured(s string) sandbox.Capture {
	return sandbox.Capture{Head: []byte(s), Total: int64(len(s))}
}

func TestObservationOfCommand(t *testing.T) {
	c := call("run_command", `{"command":"x"}`)
	for _, k := range []struct {
		name   string
		res    sandbox.Result
		text   string
		status agent.CallStatus
		code   string
	}{
		{"Output", sandbox.Result{Stdout: captured("a\nb\n")}, "a\nb", agent.CallOK, ""},
		{"BothStreams", sandbox.Result{Stdout: captured("out"), Stderr: captured("err\n")}, "out\nerr", agent.CallOK, ""},
		{"NoOutput", sandbox.Result{}, "(no output)", agent.CallOK, ""},
		{"ExitStatus", sandbox.Result{Exit: 2, Stderr: captured("no\n")}, "no\nexit status 2", agent.CallError, ""},
		{"SilentExit", sandbox.Result{Exit: 1}, "(no output)\nexit status 1", agent.CallError, ""},
		{"TimeLimit", sandbox.Result{Exit: 137, Signal: 9, Limit: sandbox.LimitTime, Stdout: captured("part")},
			"part\nerror: stopped at the time limit", agent.CallTimeout, "limit_time"},
		{"MemoryLimit", sandbox.Result{Exit: 137, Signal: 9, Limit: sandbox.LimitMemory},
			"(no output)\nerror: stopped at the memory limit", agent.CallKilled, "limit_memory"},
		{"UnknownLimit", sandbox.Result{Exit: 0, Limit: 99}, "(no output)\nerror: stopped", agent.CallKilled, "limit_unknown"},
		{"ControlCharacters", sandbox.Result{Stdout: captured("\x1b]52;c;x\x07\u202e\xff")},
			`\x1b]52;c;x\x07\u202e\xff`, agent.CallOK, ""},
	} {
		t.Run(k.name, func(t *testing.T) {
			o, err := execute(t, &runner{result: k.res}, &journal{}, c, agent.Grant{})
			if err != nil {
				t.Fatal(err)
			}
			if o.Text != k.text || o.Status != k.status || o.Code != k.code || o.Exit != k.res.Exit {
				t.Errorf("text %q, status %s, code %q, exit %d", o.Text, o.Status, o.Code, o.Exit)
			}
			want := agent.Origin{Source: agent.SourceTool, CallID: "c1", Tool: "run_command"}
			if o.Origin != want || o.Call != c || o.Sandbox == nil || !json.Valid(o.Sandbox.Data) {
				t.Errorf("observation %+v", o)
			}
		})
	}
}

func TestObservationOfFileTool(t *testing.T) {
	c := call("read_file", `{"path":"a"}`)
	t.Run("ShowsText", func(t *testing.T) {
		o, err := execute(t, &runner{result: sandbox.Result{Stdout: captured("x\n")}}, &journal{}, c, agent.Grant{})
		if err != nil || o.Text != "x\n" || o.Status != agent.CallOK {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("ShowsErrorText", func(t *testing.T) {
		o, err := execute(t, &runner{result: sandbox.Result{Exit: 1, Stdout: captured("error: no such file")}}, &journal{}, c, agent.Grant{})
		if err != nil || o.Text != "error: no such file" || o.Status != agent.CallError {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("ShowsLimitAlone", func(t *testing.T) {
		res := sandbox.Result{Exit: 137, Limit: sandbox.LimitMemory, Stdout: captured("half")}
		o, err := execute(t, &runner{result: res}, &journal{}, c, agent.Grant{})
		if err != nil || o.Text != "error: stopped at the memory limit" || o.Status != agent.CallKilled {
			t.Errorf("%+v, %v", o, err)
		}
	})
	t.Run("FailsWhenTheHelperBreaks", func(t *testing.T) {
		res := sandbox.Result{Exit: 2, Stderr: captured("panic\n")}
		if o, err := execute(t, &runner{result: res}, &journal{}, c, agent.Grant{}); err == nil || o.Text != "" {
			t.Errorf("%+v, %v", o, err)
		}
	})
}

func TestSandboxErrorsComeBack(t *testing.T) {
	command, read := call("run_command", `{"command":"x"}`), call("read_file", `{"path":"a"}`)
	refusal := &sandbox.Error{Op: "run cell", Err: &sandbox.RefusedError{Layer: "seccomp", Need: "it", Have: "none"}}
	for _, c := range []agent.ToolCall{command, read} {
		if _, err := execute(t, &runner{err: refusal}, &journal{}, c, agent.Grant{}); !errors.Is(err, sandbox.ErrRefused) {
			t.Errorf("%s: %v", c.Tool, err)
		}
	}
	noShell := &sandbox.Error{Op: "run cell", Err: &sandbox.ExecError{Path: "/bin/sh", Errno: 2}}
	o, err := execute(t, &runner{err: noShell}, &journal{}, command, agent.Grant{})
	if err != nil || o.Status != agent.CallError || o.Code != "exec" {
		t.Errorf("a machine without a shell: %+v, %v", o, err)
	}
	if _, err := execute(t, &runner{err: noShell}, &journal{}, read, agent.Grant{}); !errors.Is(err, sandbox.ErrExec) {
		t.Errorf("a helper that cannot be executed: %v", err)
	}
}

func TestShowCutsTheMiddle(t *testing.T) {
	long := strings.Repeat("é", 5000) + strings.Repeat("漢", 5000)
	got := tools.Show(long)
	if !utf8.ValidString(got) || len(got) > tools.MaxText+40 {
		t.Fatalf("%d bytes, valid %v", len(got), utf8.ValidString(got))
	}
	head, rest, ok := strings.Cut(got, "\n[")
	count, tail, _ := strings.Cut(rest, " bytes left out]\n")
	if !ok || count != fmt.Sprint(len(long)-len(head)-len(tail)) ||
		!strings.HasPrefix(long, head) || !strings.HasSuffix(long, tail) {
		t.Errorf("mark says %q bytes of %d, kept %d and %d", count, len(long), len(head), len(tail))
	}
	if s := strings.Repeat("x", tools.MaxText); tools.Show(s) != s {
		t.Error("a text of just the limit was cut")
	}
}

func FuzzShow(f *testing.F) {
	f.Add("plain", 1)
	f.Add("\x1b[2J\xff\u2066", 3000)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n > 0 && n < 4000 && len(s) < 1000 {
			s = strings.Repeat(s, n)
		}
		got := tools.Show(s)
		if !utf8.ValidString(got) || len(got) > tools.MaxText+40 || strings.ContainsAny(got, "\x1b\r\u2066\u202e") {
			t.Fatalf("Show gives %d bytes: %q", len(got), got[:min(len(got), 100)])
		}
	})
}

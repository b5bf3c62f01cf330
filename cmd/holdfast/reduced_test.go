package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety"
)

// masked runs holdfast as an ordinary user where parts of /proc are hidden, so that no cell
// can have a /proc of its own.
func masked(t *testing.T, dir, leave string, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	words := quoteAll(args)
	script := `mount --bind /dev/null /proc/interrupts && echo covered && exec unshare --user --map-user=1000 --map-group=1000 /bin/bash -c "exec -a holdfast $0 $1"`
	cmd := exec.Command("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--mount-proc", "/bin/bash", "-c", script, self, words)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+filepath.Join(dir, "data"), "HOLDFAST_STATE_DIR=", "HOLDFAST_ALLOW_REDUCED="+leave)
	out, _ := cmd.CombinedOutput() // its exit code is told below
	rest, ok := strings.CutPrefix(string(out), "covered\n")
	if !ok {
		t.Skipf("UNTESTED(cannot cover /proc: %s)", out)
	}
	return rest
}

// TestReducedCellsAreAllowedAndSaid runs a command where cells have no /proc: without leave it
// is refused and says how to give it; with leave every place that shows the call says what its
// cell lacks.
func TestReducedCellsAreAllowedAndSaid(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "ws", "a.txt"), "hello\n")
	run := []string{"sandbox", "run", "-C", "ws", "--", "sh", "-c", "cat a.txt; ls -A /proc"}
	if got := masked(t, dir, "", run...); strings.Contains(got, "hello") || !strings.Contains(got, "layer proc") || !strings.Contains(got, "HOLDFAST_ALLOW_REDUCED=1") {
		t.Errorf("without leave:\n%s", got)
	}
	got := masked(t, dir, "1", run...)
	if !strings.Contains(got, "hello\n") || !strings.Contains(got, "warning  cells are reduced") {
		t.Errorf("with leave:\n%s", got)
	}
	got = masked(t, dir, "1", "log", "show")
	for _, part := range []string{"warning  cells are reduced", "reduced profile", "proc absent"} {
		if !strings.Contains(got, part) {
			t.Errorf("the record lacks %q:\n%s", part, got)
		}
	}
	if got = masked(t, dir, "1", "sandbox", "doctor"); !strings.Contains(got, "partial  proc") || !strings.Contains(got, "strict and standard; reduced is allowed") {
		t.Errorf("the doctor says\n%s", got)
	}
}

// TestReducedProfileIsGrantedAndShown has a call judged for such a machine.
func TestReducedProfileIsGrantedAndShown(t *testing.T) {
	gate, err := safety.New(safety.Options{Profile: agent.Reduced})
	if err != nil {
		t.Fatal(err)
	}
	c := agent.ToolCall{ID: "1", Tool: "x", Args: `{"to":"ann"}`}
	spec := agent.ToolSpec{Name: "x", Effect: agent.Outward, Roles: map[string]agent.ArgRole{"to": agent.RoleTarget}}
	v := gate.Rules(agent.Conversation{Tools: []agent.ToolSpec{spec}}, agent.Proposal{Call: c, Spec: spec, Prompt: agent.Benign, Taint: agent.TaintClean})
	if v.Outcome != agent.Ask || v.Grant.Profile != agent.Reduced {
		t.Fatalf("%v %v", v.Outcome, v.Grant)
	}
	if shown := question(agent.Question{Call: &c, Grant: v.Grant, Sinks: v.Sinks, Votes: v.Votes}); !strings.Contains(shown, "beware    its cell is reduced") || !strings.Contains(shown, "reduced profile") {
		t.Errorf("%s", shown)
	}
	if _, err := safety.New(safety.Options{Profile: agent.Reduced + 1}); err == nil {
		t.Error("a profile that is not known")
	}
}

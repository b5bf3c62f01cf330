package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/agenttest"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/tools"
)

// overhearing keeps everything that a model is told.
type overhearing struct {
	planning
	heard *strings.Builder
}

func (o overhearing) Generate(ctx context.Context, r agent.Request) (agent.Turn, error) {
	o.heard.Write(agent.JSON(r.Messages).Data)
	return o.planning.Generate(ctx, r)
}

// TestSecretReachesTheProgramAlone gives a tool a secret that it prints in two ways, and
// writes where another tool reads it: the program has it, and neither the model nor the record
// does.
func TestSecretReachesTheProgramAlone(t *testing.T) {
	const value = "value-of-the-secret-4711"
	own, err := tools.ParseCommands([]byte(`version: 1
tools:
  - name: save_note
    description: Use the secret.
    run: [bash, "-c", 'cd /run/secrets; cat token; echo; base64 token; wc -c <token; ls; cat token >/work/copy.txt']
    effect: write
    secrets: [token]
`))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w, err := openWorkplaceLending(t.Context(), dir, loan{secrets: []tools.Secret{{Name: "token", Value: []byte(value)}}}, own...)
	if err != nil {
		t.Skipf("UNTESTED(no sandbox here: %v)", err)
	}
	defer w.Close()
	gate, err := w.gate(&loadedModel{})
	if err != nil {
		t.Fatal(err)
	}
	var heard strings.Builder
	calls := []agent.ToolCall{{Tool: "save_note", Args: "{}"}, {Tool: "read_file", Args: `{"path":"copy.txt"}`}}
	rec, asks := &agenttest.Memory{}, &granting{secrets: []string{"token"}}
	_, err = loop.Run(t.Context(), loop.Config{Judge: gate, Executor: w.tools, Recorder: rec, Approver: asks,
		Model: overhearing{planning{&obedient{calls}, "save_note"}, &heard}}, loop.Task{Prompt: "Save the note."})
	if err != nil {
		t.Fatal(err)
	}
	ends := ended(rec.Events)
	if len(asks.asked) != 1 || len(ends) != 2 {
		t.Fatalf("%d questions, %d calls", len(asks.asked), len(ends))
	}
	if shown := question(asks.asked[0]); !strings.Contains(shown, `secret    would be given "token"`) {
		t.Errorf("the question does not name the secret:\n%s", shown)
	}
	if out := ends[0].Out.String(); out != "[secret token]\n[secret token]\n24\ntoken" {
		t.Errorf("the program's output is shown as %q", out)
	}
	if out := ends[1].Out.String(); !strings.Contains(out, "[secret token]") {
		t.Errorf("what it left in the workspace is shown as %q", out)
	}
	record, err := json.Marshal(rec.Events)
	if err != nil {
		t.Fatal(err)
	}
	var bodies strings.Builder
	for _, e := range rec.Events {
		if b, ok := e.Body.(*agent.CallStart); ok {
			bodies.WriteString(b.Plan.String())
		}
	}
	for what, text := range map[string]string{"model": heard.String(), "record": string(record) + bodies.String(), "questions": question(asks.asked[0])} {
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
			if strings.Contains(text, form) {
				t.Errorf("the %s holds the secret", what)
			}
		}
	}
	if !strings.Contains(bodies.String(), `"secrets":["token"]`) {
		t.Error("the record does not say which secret was given")
	}
}

// TestSecretFilesOfOthersAreRefused gives files that another user owns, could read or could
// change. Run it as root and as an ordinary user: what each can meet differs.
func TestSecretFilesOfOthersAreRefused(t *testing.T) {
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		if err := errors.Join(os.WriteFile(path, []byte("value-of-the-secret"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if v, err := readSecret(file("own", mode)); err != nil || string(v) != "value-of-the-secret" {
			t.Errorf("mode %#o: %q, %v", mode, v, err)
		}
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602} {
		if _, err := readSecret(file("open", mode)); err == nil || !strings.Contains(err.Error(), "by others") {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
	other := "/etc/passwd"
	if os.Geteuid() == 0 {
		other = file("other", 0o600)
		if err := os.Chown(other, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readSecret(other); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("of another user: %v", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecret(link); err == nil || !strings.Contains(err.Error(), "belongs to user") {
		t.Errorf("by a link of one's own: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSecret(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
}

// granting allows calls that would be given these secrets.
type granting struct {
	secrets []string
	asked   []agent.Question
}

func (g *granting) Ask(_ context.Context, q agent.Question) (agent.Answer, error) {
	g.asked = append(g.asked, q)
	if slices.Equal(q.Grant.Secrets, g.secrets) {
		return agent.Answer{Choice: agent.ChoiceOnce, Via: "script"}, nil
	}
	return agent.Answer{Via: "script"}, nil
}

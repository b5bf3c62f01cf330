package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// TestSettingsKeepWords starts a run in a folder that holds files named as the values of its
// flags are: only what can be a path is kept as one.
func TestSettingsKeepWords(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"logits", "never", "0.7", "rules.yaml", "model.gguf", "example.com:443"} {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	app := newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard))
	var got settings
	for _, c := range app.Commands {
		if c.Name == "run" {
			c.Action = func(c *cli.Context) error { got = settingsOf(c); return nil }
		}
	}
	if err := app.Run([]string{"holdfast", "run", "--review", "logits", "--ask", "never", "--temp", "0.7", "--allow-host", "example.com:443",
		"--policy", "rules.yaml", "-m", "model.gguf", "x"}); err != nil {
		t.Fatal(err)
	}
	want := settings{"review": {"logits"}, "ask": {"never"}, "temp": {"0.7"}, "allow-host": {"example.com:443"},
		"policy": {filepath.Join(dir, "rules.yaml")}, "model": {filepath.Join(dir, "model.gguf")}, "dir": {dir}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("kept are\n%v\nwant\n%v", got, want)
	}
}

// TestListsKeepTheirCommas starts a run with files that have commas in their names, by flags
// that may be repeated, and restores its settings.
func TestListsKeepTheirCommas(t *testing.T) {
	want := settings{"policy": {"/r/a,b.yaml", "/r/ c.yaml"}, "tools": {"/t/x,y.yaml"}, "allow-host": {"a.example:1", "b.example:2"}}
	args := []string{"--policy", "/r/a,b.yaml", "--policy", "/r/ c.yaml", "--tools", "/t/x,y.yaml", "--allow-host", "a.example:1", "--allow-host", "b.example:2"}
	got := settingsFrom(t, "run", args, nil)
	delete(got, "dir")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("kept are\n%v\nwant\n%v", got, want)
	}
	t.Setenv("HOLDFAST_ALLOW_HOST", "other.example:1") // of another day, when the run goes on: no setting of the run
	restored := settingsFrom(t, "resume", []string{"--allow-host", "c.example:3", "abc"}, agent.JSON(want))
	delete(restored, "dir")
	want["allow-host"] = []string{"c.example:3"}
	if !reflect.DeepEqual(restored, want) {
		t.Errorf("restored are\n%v\nwant\n%v", restored, want)
	}
}

// TestListsOfTheEnvironment gives several values in variables.
func TestListsOfTheEnvironment(t *testing.T) {
	t.Setenv("HOLDFAST_POLICY", "/r/a.yaml, /r/b.yaml,")
	t.Setenv("HOLDFAST_TOOLS", "")
	t.Setenv("HOLDFAST_ALLOW_HOST", "a.example:1,b.example:2")
	got := settingsFrom(t, "run", []string{"--allow-host", "c.example:3"}, agent.JSON(settings{"tools": {"/t/x.yaml"}}))
	delete(got, "dir")
	want := settings{"policy": {"/r/a.yaml", "/r/b.yaml"}, "tools": {"/t/x.yaml"}, "allow-host": {"c.example:3"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("in force are\n%v\nwant\n%v", got, want)
	}
}

// TestListFlagsAreOurs finds flags that the library would split at commas.
func TestListFlagsAreOurs(t *testing.T) {
	seen := 0
	var walk func([]*cli.Command)
	walk = func(list []*cli.Command) {
		for _, c := range list {
			for _, f := range c.Flags {
				if s, ok := f.(cli.DocGenerationSliceFlag); ok && s.IsSliceFlag() {
					if _, ours := f.(listFlag); !ours {
						t.Errorf("--%s of %s is %T", f.Names()[0], c.Name, f)
					}
					seen++
				}
			}
			walk(c.Subcommands)
		}
	}
	walk(newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard)).Commands)
	if seen < 10 {
		t.Errorf("%d flags were looked at", seen)
	}
}

// settingsFrom is what a command takes from its flags, once what a run was started with is
// restored, if anything.
func settingsFrom(t *testing.T, command string, args []string, kept *agent.Blob) (got settings) {
	t.Helper()
	app := newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard))
	for _, c := range app.Commands {
		if c.Name == command {
			c.Action = func(c *cli.Context) error {
				err := restore(c, kept)
				got = settingsOf(c)
				return err
			}
		}
	}
	if err := app.Run(append([]string{"holdfast", command}, args...)); err != nil {
		t.Fatal(err)
	}
	return got
}

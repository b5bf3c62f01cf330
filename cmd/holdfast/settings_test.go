package main

import (
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
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

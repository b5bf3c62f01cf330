package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// inConfig runs do as a command, with flags of a command line and a file of settings.
func inConfig(t *testing.T, text, command string, args []string, do func(*cli.Context, *terminal) error) (stderr string, err error) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if err := os.Mkdir(filepath.Join(dir, "holdfast"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "holdfast", "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	term := newTerminal(strings.NewReader(""), io.Discard, &said)
	app := newApp(term)
	for _, c := range app.Commands {
		if c.Name == command {
			c.Action = func(c *cli.Context) error {
				if err := configure(c); err != nil {
					return err
				}
				return blame(c, do(c, term))
			}
		}
	}
	err = app.Run(append([]string{"holdfast", command}, args...))
	return said.String(), err
}

// TestConfigOfRunsThatGoOn changes the file of settings between a run and its next part.
func TestConfigOfRunsThatGoOn(t *testing.T) {
	const now = "model: /m/new.gguf\nseed: 7\nallow-host: [new.example:1]\nask: never\nmax-steps: 5\nledger: /l/l.db\n"
	began := settings{"model": {"/m/old.gguf"}, "dir": {"/"}}
	for variable, value := range map[string]string{"MODEL": "/m/other.gguf", "ASK": "always", "THREADS": "3", "TEMP": "0.7", "SEED": "8",
		"TOOLS": "/t/x.yaml", "ALLOW_PRIVATE": "other.example:1", "DIR": "/usr", "GUARD": "/m/g.gguf"} {
		t.Setenv("HOLDFAST_"+variable, value)
	}
	for _, command := range []string{"resume", "fork"} {
		_, err := inConfig(t, now, command, []string{"--temp", "0.5", "abc"}, func(c *cli.Context, _ *terminal) error {
			if err := restore(c, agent.JSON(began)); err != nil {
				return err
			}
			want := settings{"model": {"/m/old.gguf"}, "dir": {"/"}, "temp": {"0.5"}}
			if got := settingsOf(c); !reflect.DeepEqual(got, want) {
				t.Errorf("%s has %v, want %v", command, got, want)
			}
			if c.IsSet("seed") || c.String("ledger") != "/l/l.db" || c.Int("max-steps") != 5 {
				t.Errorf("%s has seed %d, ledger %s, %d steps", command, c.Uint64("seed"), c.String("ledger"), c.Int("max-steps"))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, variable := range []string{"MODEL", "ASK", "THREADS", "TEMP", "SEED", "TOOLS", "ALLOW_PRIVATE", "DIR", "GUARD"} {
		os.Unsetenv("HOLDFAST_" + variable)
	}
	_, err := inConfig(t, now, "run", []string{"--allow-host", "mine.example:2", "x"}, func(c *cli.Context, _ *terminal) error {
		got := settingsOf(c)
		delete(got, "dir")
		want := settings{"model": {"/m/new.gguf"}, "ask": {"never"}, "allow-host": {"mine.example:2"}}
		if !reflect.DeepEqual(got, want) || c.Uint64("seed") != 7 {
			t.Errorf("run has %v and seed %d, want %v", got, c.Uint64("seed"), want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestConfigIsNoCommandLine holds what is refused on a command line, where it has no use, in
// a file that speaks to every command.
func TestConfigIsNoCommandLine(t *testing.T) {
	for _, at := range []struct{ text, command, note string }{
		{"anchor: /a/notes\n", "run", "anchor, set in "},
		{"guard: /m/guard.gguf\n", "rollout", "guard, set in "},
		{"guard: /m/guard.gguf\n", "run", ""},
		{"# nothing\n", "rollout", ""},
	} {
		stderr, err := inConfig(t, at.text, at.command, []string{"x"}, func(c *cli.Context, term *terminal) error {
			if at.command == "rollout" {
				noGuard(c, term, "it has no use")
			}
			return checkSigning(c, term)
		})
		if err != nil || at.note == "" && stderr != "" || !strings.Contains(stderr, at.note) || at.note != "" && !strings.Contains(stderr, "config.yaml:1, is not used: ") {
			t.Errorf("%q: %v, %q", at.text, err, stderr)
		}
	}
}

// TestSystemConfigComesFirst reads two files, of which the second goes before the first.
func TestSystemConfigComesFirst(t *testing.T) {
	dir := t.TempDir()
	system, user := filepath.Join(dir, "system.yaml"), filepath.Join(dir, "user.yaml")
	for file, text := range map[string]string{system: "ask: never\npolicy: [/p/a, /p/b]\n", user: "policy: /p/c\nsign-key: ~/k\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("HOME", "/h")
	app := newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard))
	got, err := readConfig(app, system, user, filepath.Join(dir, "none.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]configured{"ask": {[]string{"never"}, system, 1}, "policy": {[]string{"/p/c"}, user, 1}, "sign-key": {[]string{"/h/k"}, user, 2}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := readConfig(app, dir); err == nil {
		t.Error("a folder was read as settings")
	}
}

// TestEverySettingIsRead gives every setting a value by a file and asks a command that has it.
func TestEverySettingIsRead(t *testing.T) {
	app := newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard))
	value := func(f cli.Flag) string {
		switch f.(type) {
		case *cli.BoolFlag:
			return "true"
		case *cli.DurationFlag:
			return "31s"
		case *cli.IntFlag, *cli.Uint64Flag, *cli.Float64Flag:
			return "31"
		}
		return map[string]string{"ask": "always", "review": "masked", "allow-host": "a.example:31", "allow-private": "a.example:31"}[f.Names()[0]]
	}
	seen := 0
	for name, f := range settable(commandOf(t, app, "run").Flags) {
		v := value(f)
		if v == "" {
			v = "/f/31"
		}
		_, err := inConfig(t, name+": "+v+"\n", "run", []string{"x"}, func(c *cli.Context, _ *terminal) error {
			got := fmt.Sprint(c.Value(name))
			if list, ok := c.Value(name).(cli.StringSlice); ok {
				got = strings.Join(list.Value(), " ")
			}
			if strings.Trim(got, "[]") != v {
				t.Errorf("%s is %s, want %s", name, got, v)
			}
			if given(c, name) {
				t.Errorf("%s counts as given on the command line", name)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		seen++
	}
	if seen < 15 {
		t.Errorf("%d settings were tried", seen)
	}
}

func commandOf(t *testing.T, app *cli.App, name string) *cli.Command {
	t.Helper()
	for _, c := range app.Commands {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no command %s", name)
	return nil
}

// TestOfflineAlwaysCounts begins a run without it and goes on when a file says it.
func TestOfflineAlwaysCounts(t *testing.T) {
	for text, want := range map[string]bool{"offline: true\n": true, "offline: false\n": false} {
		_, err := inConfig(t, text, "resume", []string{"abc"}, func(c *cli.Context, _ *terminal) error {
			if err := restore(c, agent.JSON(settings{"model": {"ollama://x"}})); err != nil {
				return err
			}
			if c.Bool("offline") != want {
				t.Errorf("after %q offline is %t", text, !want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	t.Setenv("HOLDFAST_OFFLINE", "false")
	_, err := inConfig(t, "offline: false\n", "resume", []string{"abc"}, func(c *cli.Context, _ *terminal) error {
		if err := restore(c, agent.JSON(settings{"offline": {"true"}})); err != nil || !c.Bool("offline") {
			t.Errorf("a file took back that a run is offline (%v)", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestConfigOfOthers reads files that somebody else owns, or can replace.
func TestConfigOfOthers(t *testing.T) {
	app := newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard))
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte("\ufeffask: never\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readConfig(app, file); err != nil || got["ask"].values[0] != "never" {
		t.Errorf("a file with the marks of another system: %v, %v", got, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(app, file); err == nil {
		t.Error("a file in a folder that everybody can write was read")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Skip("only root can give a file to another user")
	}
	if err := os.Chown(file, 12345, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := readConfig(app, file); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
		t.Errorf("a file of another user: %v", err)
	}
}

package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/ledger"
)

// offered is what can stand in the place of the last word.
func offered(t *testing.T, words ...string) []string {
	t.Helper()
	var out bytes.Buffer
	if err := newApp(newTerminal(strings.NewReader(""), &out, io.Discard)).Run(append([]string{"holdfast", completeWords}, words...)); err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(out.String()) {
		word, _, _ := strings.Cut(line, "\t")
		list = append(list, word)
	}
	return list
}

func TestOffers(t *testing.T) {
	t.Setenv("HOLDFAST_LEDGER", filepath.Join(t.TempDir(), "none", "l.db"))
	for line, want := range map[string]string{
		"lo":                             "log",
		"log s":                          "show sign",
		"log sign --sign":                "--sign-key",
		"run --mod":                      "--model",
		"run --model x --mod":            "",
		"run --policy x --poli":          "--policy",
		"run --policy ":                  "", // a file
		"run -m ollama : //x : 7b --mo":  "",
		"run -m ollama : //x : 7b --dir": "--dir",
		"run --ledger = x --max-s":       "--max-steps",
		"run --ledger = x":               "",
		"run --max-s":                    "--max-steps",
		"run what is the --max-s":        "", // flags go before the text
		"run -q -C x --max-s":            "--max-steps",
		"completion ":                    "bash zsh fish",
		"completion bash ":               "",
		"approvals answer abc s":         "stop",
		"sandbox run -- ls --ti":         "",
		"nothing ":                       "",
		"log show ":                      "", // there is no ledger
		"--v":                            "--version",
		"help":                           "",
		"__":                             "",
		"log show --html a.html --led":   "--ledger",
	} {
		if got := strings.Join(offered(t, strings.Split(line, " ")...), " "); got != want {
			t.Errorf("%q offers %q, want %q", line, got, want)
		}
	}
	if got := offered(t, ""); len(got) < 15 || got[0] != "run" {
		t.Errorf("an empty line offers %v", got)
	}
	if got := offered(t); got != nil {
		t.Errorf("no line offers %v", got)
	}
	if got := strings.Join(offered(t, "run", "--"), " "); !strings.Contains(got, "--temp") || !strings.Contains(got, "--help") || strings.Contains(got, "`") {
		t.Errorf("two dashes offer %s", got)
	}
	if _, err := os.Stat(filepath.Dir(os.Getenv("HOLDFAST_LEDGER"))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a ledger was begun: %v", err)
	}
}

// TestOffersRuns asks for runs in every place that takes one.
func TestOffersRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l", "ledger.db")
	recorded(t, path)
	recorded(t, path)
	l, err := ledger.Open(t.Context(), path, ledger.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	runs, err := l.Runs(t.Context())
	if err != nil || len(runs) != 2 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	both := runs[1].ID + " " + runs[0].ID
	for line, want := range map[string]string{
		"log show ":              both,
		"log show " + runs[0].ID: runs[0].ID,
		"log show x":             "",
		"log show abc ":          "",
		"resume ":                both,
		"replay ":                both,
		"replay abc ":            both,
		"fork ":                  both,
		"policy explain ":        both,
		"run ":                   "",
		"log verify ":            "",
	} {
		name, rest, _ := strings.Cut(line, " ")
		words := append([]string{name}, strings.Split(rest, " ")...)
		t.Setenv("HOLDFAST_LEDGER", path)
		if got := strings.Join(offered(t, words...), " "); got != want {
			t.Errorf("%q offers %q, want %q", line, got, want)
		}
	}
	t.Setenv("HOLDFAST_LEDGER", "/nowhere/l.db")
	if got := strings.Join(offered(t, "log", "show", "--ledger", path, ""), " "); got != both {
		t.Errorf("with --ledger it offers %q, want %q", got, both)
	}
	if err := os.WriteFile(path+".txt", []byte("no ledger"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := offered(t, "log", "show", "--ledger", path+".txt", ""); got != nil {
		t.Errorf("with a file that is no ledger it offers %v", got)
	}
}

// TestOfferedRunsAreOneLine has words in a ledger that would act on a terminal, or begin
// another offer: the file may be another's.
func TestOfferedRunsAreOneLine(t *testing.T) {
	got := aboutRun(ledger.Summary{Status: "done\x1b[2J\nx", Prompt: "say\n\x1b]0;x\a\tit"})
	if strings.ContainsAny(got, "\n\t\a\x1b") || !strings.Contains(got, "done") || !strings.Contains(got, "say") {
		t.Errorf("%q", got)
	}
}

// TestCompletionScripts has each shell that is there read its script without running it.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			var out bytes.Buffer
			if got := run([]string{"holdfast", "completion", shell}, strings.NewReader(""), &out, io.Discard); got != exitDone {
				t.Fatalf("exit code %d", got)
			}
			if !strings.Contains(out.String(), "holdfast "+completeWords+" ") {
				t.Errorf("the script does not ask:\n%s", out.String())
			}
			bin, err := exec.LookPath(shell)
			if err != nil {
				t.Skipf("UNTESTED(no %s is here to read its script: %v)", shell, err)
			}
			file := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			if said, err := exec.Command(bin, "-n", file).CombinedOutput(); err != nil || len(said) > 0 {
				t.Errorf("%v\n%s", err, said)
			}
		})
	}
}

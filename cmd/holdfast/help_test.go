package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// word is one word of a shell line: quoted, or without spaces.
var word = regexp.MustCompile(`"(?:\\.|[^"])*"|'[^']*'|[^\s"']+`)

// TestHelpExamples parses every example that a help text gives: its command, its flags and
// their order must be such that the program takes it.
func TestHelpExamples(t *testing.T) {
	seen := 0
	var walk func([]*cli.Command)
	walk = func(list []*cli.Command) {
		for _, c := range list {
			for _, line := range strings.Split(c.Description, "\n") {
				_, example, ok := strings.Cut(line, "holdfast ")
				if !ok || !strings.HasPrefix(line, "  ") {
					continue
				}
				seen++
				t.Run(c.Name+" "+example, func(t *testing.T) { takes(t, c.Name, example) })
			}
			walk(c.Subcommands)
		}
	}
	walk(newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard)).Commands)
	if seen < 60 {
		t.Errorf("%d examples were found: the help texts or this test changed their form", seen)
	}
}

// TestDocumentExamples does the same with the commands that the documents show.
func TestDocumentExamples(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range append(files, "../../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		code := false // between fences
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.HasPrefix(line, "```") {
				code = !code
			}
			before, example, ok := strings.Cut(line, "holdfast ")
			if !ok || !code && !strings.HasPrefix(line, "    ") || strings.Trim(before, " ") != "" && !strings.HasSuffix(before, "bin/") && !strings.HasSuffix(before, "| ") {
				continue
			}
			example, _, _ = strings.Cut(example, "  # ")
			seen++
			t.Run(filepath.Base(file)+" "+example, func(t *testing.T) { takes(t, "", example) })
		}
	}
	if seen < 30 {
		t.Errorf("%d examples were found: the documents or this test changed their form", seen)
	}
}

// takes parses one example of a command, or of any for "", with actions that only look at
// what they were given.
func takes(t *testing.T, command, example string) {
	app := newApp(newTerminal(strings.NewReader(""), io.Discard, io.Discard))
	reached := ""
	var disarm func([]*cli.Command)
	disarm = func(list []*cli.Command) {
		for _, c := range list {
			if len(c.Subcommands) == 0 {
				c.Action = func(c *cli.Context) error {
					reached = c.Command.Name
					return wellFormed(c)
				}
			}
			disarm(c.Subcommands)
		}
	}
	disarm(app.Commands)
	args := []string{"holdfast"}
	example, _, _ = strings.Cut(example, " | ") // what reads its output is another program
	for _, w := range word.FindAllString(example, -1) {
		args = append(args, strings.Trim(w, `"')`)) // the last of <(...) is the shell's
	}
	if err := app.Run(args); err != nil {
		t.Error(err)
	}
	if command == "" && reached != "" {
		return
	}
	if reached != command {
		t.Errorf("it runs %q, the help is of %q", reached, command)
	}
}

func TestUnknownCommandIsNamed(t *testing.T) {
	known := []string{"ls", "show", "verify", "replay"}
	for word, want := range map[string]string{"shwo": "show", "show": "show", "verfy": "verify", "replya": "replay", "l": "", "x": "", "frobnicate": "", "": "", "logs": "ls"} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestHelpIsFolded(t *testing.T) {
	const text = "   --ask WHEN  WHEN to ask a person: never, on-risk, always\n" +
		"     holdfast run --ask never \"a long example of a task\"\n   Text that goes on and on and on and on.\n  130  interrupted\n"
	want := "   --ask WHEN  WHEN to ask a\n               person: never,\n               on-risk, always\n" +
		"     holdfast run --ask never\n         \"a long example of a\n         task\"\n" +
		"   Text that goes on and on\n   and on and on.\n  130  interrupted\n"
	var out strings.Builder
	f := helpTo(newTerminal(strings.NewReader(""), &out, io.Discard)).(*folder)
	f.width, f.indent = 30, func(line string) int { return secondColumn(line, 15) }
	if _, err := io.WriteString(f, text); err != nil || out.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, out.String(), want)
	}
}

func TestDescriptionFlows(t *testing.T) {
	in := "One\ntwo.\n\nThe modes:\n  a  first\n  b  second\nThree\nfour.\n\n"
	if got, want := flowing(in), "One two.\n\nThe modes:\n  a  first\n  b  second\nThree four."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

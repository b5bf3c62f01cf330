package main

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

func TestJSONEventWritesBlobsOut(t *testing.T) {
	e := agent.Event{Seq: 3, Body: &agent.GenEnd{
		Text: agent.Text("hi \"there\""),
		IDs:  &agent.Blob{Media: "x-i32le", Data: []byte{1, 0, 0, 0, 255, 255, 255, 255}},
		Raw:  &agent.Blob{Media: "x-f32le", Data: []byte{0, 0, 0x80, 0xbf, 0, 0, 0x80, 0xff}},
	}}
	line, err := jsonEvent("r1", e)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Run, Kind string
		Body      struct {
			Text string
			IDs  []int32
			Raw  []*float64
		}
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if got.Kind != "gen.end" || got.Body.Text != "hi \"there\"" || got.Body.IDs[1] != -1 || *got.Body.Raw[0] != -1 || got.Body.Raw[1] != nil {
		t.Errorf("line is %s", line)
	}
	if e.Body.(*agent.GenEnd).Text.Digest != ([32]byte{}) {
		t.Error("the event itself was changed")
	}
}

func TestInertShowsWhatActs(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[2Jx":           `\x1b[2Jx`,
		"a\u202eb":           `a\u202eb`,
		"a\rb":               `a\x0db`,
		"zero\u200bwidth":    `zero\u200bwidth`,
		"join\u200der":       `join\u200der`,
		"two\nlines\tkept é": "two\nlines\tkept é",
	} {
		if got := inert(in); got != want {
			t.Errorf("inert(%q) = %q, want %q", in, got, want)
		}
	}
	if got := inertLine(strings.Repeat("a", 10), 4); got != "aaaa… (6 characters more)" {
		t.Errorf("a long line is shown as %q", got)
	}
}

// TestQuestionShowsExactlyWhatRuns gives the approval prompt hostile arguments.
func TestQuestionShowsExactlyWhatRuns(t *testing.T) {
	command := "echo ok # " // of 10,000 characters, no line of which is another's
	for i := 0; len(command) < 10_000; i++ {
		command += strconv.Itoa(i)
	}
	args := `{"command":"` + command + `"}`
	q := question(agent.Question{
		Call:   &agent.ToolCall{Tool: "run_command", Args: args},
		Effect: agent.Write, Label: agent.Sensitive, Reason: "fine\x1b[1A\x1b[2K really",
		Sinks: []agent.Sink{{Arg: "/command", Value: "rm -rf\u202e /", Origin: agent.Origin{Source: agent.SourceTool, Tool: "read_file"}}},
	})
	if whole := regexp.MustCompile(`"\n +"`).ReplaceAllString(q, ""); !strings.Contains(whole, `"`+command+`"`) {
		t.Error("the arguments are not shown in full")
	}
	for _, bad := range []string{"\x1b", "\u202e", "\r"} {
		if strings.Contains(q, bad) {
			t.Errorf("%q reaches the terminal", bad)
		}
	}
	for _, want := range []string{`response of "read_file"`, "changes files of the workspace", "sensitive"} {
		if !strings.Contains(q, want) {
			t.Errorf("the question lacks %q:\n%s", want, q)
		}
	}
}

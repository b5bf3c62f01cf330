package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/holdfast-run/holdfast/tools"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// segment is a stretch of a document that is tokenised on its own.
type segment struct {
	Text    string `json:"t"`
	Special int    `json:"s"` // 1: control tokens are recognised
	Learn   int    `json:"y"` // 1: the model is trained to produce it
}

// branch continues the first At segments of a document's main line. Purpose is label,
// plan, review, screen or repair; Want what the answer must be: a label, or the tools.
type branch struct {
	At       int       `json:"at"`
	Segments []segment `json:"segs"`
	Purpose  string    `json:"purpose"`
	Want     string    `json:"want"`
}

// call is a call of the main line.
type call struct {
	Tool string `json:"tool"`
	Args string `json:"args"`
}

// meta is what an evaluation needs to know of a document.
type meta struct {
	Label    string   `json:"label"`
	Plan     []string `json:"plan"`
	Calls    []call   `json:"calls"`
	Answer   string   `json:"answer"`
	Injected bool     `json:"injected"`
	Private  bool     `json:"private"`
	Denied   bool     `json:"denied"`
	Turns    int      `json:"turns"`
	Brief    bool     `json:"brief"` // the main line ends with the request
}

// document is one line of the data set.
type document struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	Split string    `json:"split"`
	Main  []segment `json:"main"`
	Forks []branch  `json:"forks"`
	Meta  meta      `json:"meta"`
}

// The control texts of the template.
const (
	opens  = "<|im_start|>"
	closes = "<|im_end|>"
)

// toolNames are the built-in tools, sorted, as the template lists them.
var toolNames = []string{
	toolbox.CalculatorTool, toolbox.ListFiles, toolbox.ReadFile, tools.RunCommand, toolbox.SearchText, toolbox.WriteFile,
}

// thread is a conversation under way: its segments, and the template text that
// follows the last of them.
type thread struct {
	segs []segment
	tail string
}

// template appends text of the template, joining it to template text before it.
func (t *thread) template(text string) {
	if n := len(t.segs); n > 0 && t.segs[n-1].Special == 1 && t.segs[n-1].Learn == 0 {
		t.segs[n-1].Text += text
		return
	}
	t.segs = append(t.segs, segment{text, 1, 0})
}

// say appends a message of the system, the user or a tool.
func (t *thread) say(role, content string) {
	t.template(t.tail + opens + role + "\n")
	t.segs = append(t.segs, segment{content, 0, 0})
	t.tail = closes + "\n"
	if role == "system" {
		t.tail = "\nTools: " + strings.Join(toolNames, " ") + t.tail
	}
}

// reply appends a message of the assistant.
func (t *thread) reply(text string, learn bool) {
	t.template(t.tail + opens + "assistant\n")
	s := segment{text + closes, 1, 0}
	if learn {
		s.Learn = 1
	}
	t.segs = append(t.segs, s)
	t.tail = "\n"
}

// continued appends a message of the assistant whose beginning is given, not produced.
func (t *thread) continued(given, text string) {
	t.template(t.tail + opens + "assistant\n")
	t.segs = append(t.segs, segment{given, 1, 0}, segment{text + closes, 1, 1})
	t.tail = "\n"
}

// fork starts a thread that continues this one.
func (t *thread) fork() *thread { return &thread{tail: t.tail} }

// speak renders a turn of the assistant: a thought and a call.
func speak(thought, tool, args string) string {
	return thought + "\n<tool_call>\n" + `{"name": "` + tool + `", "arguments": ` + args + "}\n</tool_call>"
}

// object renders a call's arguments, given as names and values, as the template does:
// members in their order, ", " and ": " between them, letters as they are.
func object(pairs ...string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoted(pairs[i]) + ": " + quoted(pairs[i+1]))
	}
	b.WriteByte('}')
	return b.String()
}

// quoted renders a JSON string.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("internal error: encode string: " + err.Error())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

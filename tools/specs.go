package tools

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// RunCommand is the name of the tool that runs a shell command.
const RunCommand = "run_command"

// builtin returns the declarations of the built-in tools, sorted by name. The
// texts are part of what models are trained on: changing one changes its digest.
func builtin() []agent.ToolSpec {
	return []agent.ToolSpec{
		{
			Name:        toolbox.CalculatorTool,
			Description: "Evaluate arithmetic with + - * / % ^ and parentheses.",
			Schema:      object(text("expression", 1, 1000, "such as (2+3)*4")),
			Effect:      agent.Pure,
			Roles:       map[string]agent.ArgRole{"expression": agent.RoleSelector},
			Idempotent:  true,
		},
		{
			Name:        toolbox.ListFiles,
			Description: "List the entries of a folder, one a line; folders end in /.",
			Schema:      object(text("path", 0, 1024, "a folder, . for the whole workspace")),
			Effect:      agent.Read,
			Roles:       map[string]agent.ArgRole{"path": agent.RolePath},
			Idempotent:  true,
		},
		{
			Name:        toolbox.ReadFile,
			Description: "Read a text file.",
			Schema:      object(text("path", 1, 1024, "the file")),
			Effect:      agent.Read,
			Roles:       map[string]agent.ArgRole{"path": agent.RolePath},
			Idempotent:  true,
		},
		{
			Name:        RunCommand,
			Description: "Run a shell command in the workspace, without network, and return its output.",
			Schema:      object(text("command", 1, 4096, "for /bin/sh")),
			Effect:      agent.Write,
			Roles:       map[string]agent.ArgRole{"command": agent.RoleCommand},
		},
		{
			Name:        toolbox.SearchText,
			Description: "Find the lines that contain a text, in a file or in all files below a folder.",
			Schema: object(
				text("query", 1, 256, "the text, upper or lower case alike"),
				text("path", 0, 1024, "a file or folder, . for the whole workspace")),
			Effect:     agent.Read,
			Roles:      map[string]agent.ArgRole{"path": agent.RolePath, "query": agent.RoleSelector},
			Idempotent: true,
		},
		{
			Name:        toolbox.WriteFile,
			Description: "Write a text file, replacing what it held.",
			Schema: object(
				text("path", 1, 1024, "the file"),
				text("content", 0, 262144, "the whole new text")),
			Effect:     agent.Write,
			Roles:      map[string]agent.ArgRole{"path": agent.RolePath, "content": agent.RoleContent},
			Idempotent: true,
		},
	}
}

// property is one argument of a tool: a text of min to max characters.
type property struct {
	name, about string
	min, max    int
}

func text(name string, min, max int, about string) property {
	return property{name, about, min, max}
}

// object returns the JSON Schema of an object that has exactly these members. They
// keep their order: a constrained model writes arguments in the order of the schema,
// which is the order it was trained on.
func object(props ...property) json.RawMessage {
	type member struct {
		Type  string `json:"type"`
		About string `json:"description"`
		Min   int    `json:"minLength,omitempty"`
		Max   int    `json:"maxLength"`
	}
	members := bytes.NewBufferString("{")
	var required []string
	for i, p := range props {
		if i > 0 {
			members.WriteByte(',')
		}
		fmt.Fprintf(members, "%q:%s", p.name, encode(member{"string", p.about, p.min, p.max}))
		required = append(required, p.name)
	}
	members.WriteByte('}')
	return encode(struct {
		Type     string          `json:"type"`
		Members  json.RawMessage `json:"properties"`
		Required []string        `json:"required"`
		More     bool            `json:"additionalProperties"`
	}{"object", members.Bytes(), required, false})
}

func encode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("internal error: encode schema: " + err.Error())
	}
	return b
}

package tools

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
)

// Command is a tool that an operator made of a program: a declaration as the model and the
// judge get it, and how its arguments become those of the program. It runs in a cell like
// any shell command, without a shell: without network but for the hosts that its own decision
// grants, without the right to write unless that grants it, and without the workspace where
// its effect is agent.Pure.
// ParseCommands makes them; the zero Command is none.
type Command struct {
	Spec     agent.ToolSpec
	Argv     []string      // the program's absolute path, or ./ and a path in the workspace, and its arguments with {name} for values
	Stdin    string        // likewise, "" for none
	Time     time.Duration // of one call, 0 for the sandbox's default
	Undoable bool          // the tool itself can take back what it writes; says nothing of files
	Adds     bool          // it changes no file but those that its path arguments name
	Hosts    []string      // that its calls reach, as sandbox.ParseHostRule reads them
	Secrets  []string      // names of those that its calls are given, as files in sandbox.SecretDir
}

// Digest identifies all that the operator declared: what the model is shown and what is
// run. H("holdfast/command/1", declaration, argv, stdin, time, undoable), that it
// adds where it does, and the hosts and the names of secrets where there are any.
func (c Command) Digest() [32]byte {
	d := c.Spec.Digest()
	argv, err := json.Marshal(c.Argv)
	if err != nil || d == [32]byte{} { // matches no pinned digest
		return [32]byte{}
	}
	parts := [][]byte{d[:], argv, []byte(c.Stdin), fmt.Append(nil, int64(c.Time)), fmt.Append(nil, c.Undoable)}
	if c.Adds {
		parts = append(parts, []byte("adds"))
	}
	if len(c.Hosts)+len(c.Secrets) > 0 {
		parts = append(parts, []byte(strings.Join(c.Hosts, "\n")))
	}
	if len(c.Secrets) > 0 {
		parts = append(parts, []byte(strings.Join(c.Secrets, "\n")))
	}
	return agent.Hash("holdfast/command/1", parts...)
}

// slot is a place for a value: {name}. {{name}} stands for the text {name}.
var slot = regexp.MustCompile(`\{\{[a-z][a-z0-9_]*\}\}|\{[a-z][a-z0-9_]*\}`)

// slots are the names of the values that a template takes.
func slots(template string) []string {
	var out []string
	for _, m := range slot.FindAllString(template, -1) {
		if !strings.HasPrefix(m, "{{") {
			out = append(out, m[1:len(m)-1])
		}
	}
	return out
}

// fill puts values into a template. ok is false where one of them was not given.
func fill(template string, values map[string]string) (text string, ok bool) {
	ok = true
	text = slot.ReplaceAllStringFunc(template, func(m string) string {
		if strings.HasPrefix(m, "{{") {
			return m[1 : len(m)-1]
		}
		v, given := values[m[1:len(m)-1]]
		ok = ok && given
		return v
	})
	return text, ok
}

// argv is the program's arguments for a call. An argument whose value was not given is
// left out whole. A value at the beginning of an argument may not begin with a dash, as
// the program would take it for an option, unless -- stands before it.
func (c Command) argv(values map[string]string) ([]string, error) {
	var out []string
	for i, template := range c.Argv {
		text, ok := fill(template, values)
		if !ok {
			continue
		}
		if begins := slot.FindStringIndex(template); i > 0 && begins != nil && begins[0] == 0 && len(slots(template)) > 0 &&
			strings.HasPrefix(text, "-") && !ended(c.Argv[:i]) {
			return nil, fmt.Errorf("%w: %s begins with a dash", agent.ErrArguments, slots(template)[0])
		}
		out = append(out, text)
	}
	return out, nil
}

// programArgs reads a call's arguments as texts for a program: a text as it is, a number
// or truth value as it is written.
func programArgs(args string) (map[string]string, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(args), &raw); err != nil {
		return nil, fmt.Errorf("%w: %v", agent.ErrArguments, err)
	}
	out := map[string]string{}
	for name, v := range raw {
		out[name] = string(v)
		if v[0] == '"' {
			var s string
			if err := json.Unmarshal(v, &s); err != nil {
				return nil, fmt.Errorf("%w: %v", agent.ErrArguments, err)
			}
			out[name] = s
		}
	}
	return out, nil
}

// fillCell says what runs in the cell of a call.
func (c Command) fillCell(s *sandbox.Spec, values map[string]string) error {
	argv, err := c.argv(values)
	if err != nil {
		return err
	}
	if rest, ok := strings.CutPrefix(argv[0], "./"); ok {
		argv[0] = sandbox.WorkDir + "/" + rest
	}
	s.Argv = argv
	if in, ok := fill(c.Stdin, values); ok {
		s.Stdin = []byte(in)
	}
	if c.Time > 0 {
		s.Limits.Time = c.Time
	}
	return nil
}

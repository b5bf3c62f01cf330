// Package tools declares the built-in tools, checks the arguments of calls, and
// carries out permitted calls: file tools and shell commands in a sandbox cell,
// arithmetic in place. Its Registry implements loop.Executor.
//
// It never decides whether a call may run, never gives a cell more than the
// permit's grant, and starts no process of its own. A Registry is safe for
// concurrent use.
package tools

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// Runner runs one command in one cell; *sandbox.Runner is one.
type Runner interface {
	Run(context.Context, sandbox.Spec, sandbox.Recorder) (sandbox.Result, error)
}

// ErrUnknownTool means that a call names no tool of the registry.
var ErrUnknownTool = errors.New("no such tool")

// Config says what a Registry works on.
type Config struct {
	Runner    Runner
	Workspace string         // directory that calls work on; made absolute, links resolved
	Limits    sandbox.Limits // of a shell command; zero fields take the sandbox's defaults
	Only      []string       // names of the built-in tools to offer; empty offers all
	Commands  []Command      // tools of the operator's own, offered besides
	Secrets   []Secret       // that those of them that declare one may be given
}

// Registry holds the tools of a run.
type Registry struct {
	config Config
	tools  map[string]tool
	specs  []agent.ToolSpec
	mask   mask
}

// tool is one declared tool with its compiled schema.
type tool struct {
	spec    agent.ToolSpec
	schema  *jsonschema.Schema
	program *Command // of an operator's own tool, else nil
}

// New returns a registry of the built-in tools and those of the operator.
func New(c Config) (*Registry, error) {
	if c.Runner == nil {
		return nil, errors.New("open tools: no runner")
	}
	if c.Workspace == "" {
		return nil, errors.New("open tools: no workspace")
	}
	dir, err := filepath.Abs(c.Workspace)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open tools: find workspace: %w", err)
	}
	c.Workspace = dir
	c.Only = slices.Clone(c.Only)
	r := &Registry{config: c, tools: map[string]tool{}}
	for _, s := range builtin() {
		if len(c.Only) > 0 && !slices.Contains(c.Only, s.Name) {
			continue
		}
		if err := r.add(s, nil); err != nil {
			return nil, err
		}
	}
	for _, name := range c.Only {
		if _, ok := r.tools[name]; !ok {
			return nil, fmt.Errorf("open tools: %w: %s", ErrUnknownTool, name)
		}
	}
	if r.mask, err = newMask(c.Secrets); err != nil {
		return nil, fmt.Errorf("open tools: %w", err)
	}
	for _, k := range c.Commands {
		if err := r.lacks(k); err != nil {
			return nil, fmt.Errorf("open tools: %w", err)
		}
		if len(k.Argv) == 0 {
			return nil, fmt.Errorf("open tools: %s runs nothing", clip(k.Spec.Name, 64))
		}
		if (k.Spec.Trusted || len(k.Secrets) > 0) && slices.ContainsFunc(k.Argv, func(a string) bool { return liesIn(a, dir) }) {
			return nil, fmt.Errorf("open tools: %s is trusted or given secrets, and its program lies in the workspace, where whoever writes there can change it", clip(k.Spec.Name, 64))
		}
		if err := r.add(k.Spec, &k); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(r.specs, func(a, b agent.ToolSpec) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}

// liesIn reports whether an absolute path leads into a folder, by whatever links.
func liesIn(name, dir string) bool {
	if !filepath.IsAbs(name) {
		return false
	}
	for _, p := range []string{filepath.Clean(name), resolved(name)} {
		if rel, err := filepath.Rel(dir, p); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// resolved is a path with its links resolved, as it stands where it cannot be.
func resolved(name string) string {
	if p, err := filepath.EvalSymlinks(name); err == nil {
		return p
	}
	return name
}

// add declares one tool.
func (r *Registry) add(s agent.ToolSpec, program *Command) error {
	if _, twice := r.tools[s.Name]; twice {
		return fmt.Errorf("open tools: two tools are called %s", clip(s.Name, 64))
	}
	schema, err := compile(s)
	if err != nil {
		return fmt.Errorf("open tools: compile schema of %s: %w", clip(s.Name, 64), err)
	}
	r.tools[s.Name] = tool{s, schema, program}
	r.specs = append(r.specs, s)
	return nil
}

// Runs is the program that a call of an operator's own tool starts, with its arguments,
// and its input. It is nothing for other calls and for one that does not pass Check.
func (r *Registry) Runs(c agent.ToolCall) (argv []string, input string) {
	t, args, err := r.check(c)
	if err != nil || t.program == nil {
		return nil, ""
	}
	var s sandbox.Spec
	if t.program.fillCell(&s, args) != nil {
		return nil, ""
	}
	return s.Argv, string(s.Stdin)
}

// Undoable reports whether a tool can take back what it writes, as its operator declared.
func (r *Registry) Undoable(s agent.ToolSpec) bool {
	t, ok := r.tools[s.Name]
	return ok && t.program != nil && t.program.Undoable && t.spec.Digest() == s.Digest()
}

// Reaches says which hosts all calls of a tool reach, as its operator declared, and whether
// single calls of it may be granted others: shell commands.
func (r *Registry) Reaches(s agent.ToolSpec) (hosts []string, open bool) {
	t, ok := r.tools[s.Name]
	if !ok || t.spec.Digest() != s.Digest() {
		return nil, false
	}
	return t.reaches()
}

// Secrets are the names of those that all calls of a tool are given, as its operator
// declared.
func (r *Registry) Secrets(s agent.ToolSpec) []string {
	t, ok := r.tools[s.Name]
	if !ok || t.program == nil || t.spec.Digest() != s.Digest() {
		return nil
	}
	return t.program.Secrets
}

func (t tool) reaches() (hosts []string, open bool) {
	if t.program != nil {
		return t.program.Hosts, false
	}
	return nil, t.spec.Name == RunCommand
}

// Drifted reports whether a tool is declared otherwise than this registry has it.
func (r *Registry) Drifted(s agent.ToolSpec) bool {
	t, ok := r.tools[s.Name]
	d := s.Digest()
	return !ok || d == [32]byte{} || t.spec.Digest() != d
}

// Adds reports whether a tool changes no file but those that its calls name: a built-in one,
// or one of which its operator declared so.
func (r *Registry) Adds(s agent.ToolSpec) bool {
	t, ok := r.tools[s.Name]
	return ok && (t.program == nil || t.program.Adds) && t.spec.Digest() == s.Digest()
}

// compile compiles the schema of a tool. It loads nothing: a reference to
// another document is an error.
func compile(s agent.ToolSpec) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(s.Schema)))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	url := "tool:" + s.Name
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	return c.Compile(url)
}

// Specs returns the tools, sorted by name; always the same. The caller may keep
// and change the slice, but not what its elements refer to.
func (r *Registry) Specs() []agent.ToolSpec { return slices.Clone(r.specs) }

// Check reports whether the call names a tool and its arguments are one plain JSON
// object that fits the tool's schema. Errors wrap ErrUnknownTool or
// agent.ErrArguments; they may quote the call.
func (r *Registry) Check(c agent.ToolCall) error {
	_, _, err := r.check(c)
	return err
}

// check returns the tool that a call names and the call's arguments.
func (r *Registry) check(c agent.ToolCall) (tool, map[string]string, error) {
	t, ok := r.tools[c.Tool]
	if !ok {
		return tool{}, nil, fmt.Errorf("%w: %q", ErrUnknownTool, clip(c.Tool, 64))
	}
	if err := c.CheckArgs(); err != nil {
		return tool{}, nil, err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(c.Args))
	if err == nil {
		err = t.schema.Validate(doc)
	}
	if err != nil {
		return tool{}, nil, fmt.Errorf("%w: %s", agent.ErrArguments, oneLine(err))
	}
	args, err := programArgs(c.Args)
	if err != nil {
		return tool{}, nil, err
	}
	if t.program != nil {
		if _, err := t.program.argv(args); err != nil {
			return tool{}, nil, err
		}
	}
	for name, v := range args {
		if strings.ContainsRune(v, 0) { // cannot be passed to a program or a file name
			return tool{}, nil, fmt.Errorf("%w: %s holds a NUL", agent.ErrArguments, name)
		}
	}
	return t, args, nil
}

// oneLine renders the deepest cause of a validation error, bounded and inert.
func oneLine(err error) string {
	var v *jsonschema.ValidationError
	if errors.As(err, &v) {
		for len(v.Causes) > 0 {
			v = v.Causes[0]
		}
		s := v.Error()
		err = errors.New(s[strings.LastIndexByte(s, '\n')+1:])
	}
	return clip(toolbox.Inert(err.Error(), ""), 300)
}

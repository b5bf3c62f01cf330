package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/sandbox"
)

// Bounds of a file of tools.
const (
	maxCommandFile = 256 << 10 // bytes
	maxCommands    = 64
	maxArguments   = 32 // of one tool
	maxDescription = 1000
)

// commandFile is the form of a file of tools.
type commandFile struct {
	Version int            `yaml:"version"`
	Tools   []commandEntry `yaml:"tools"`
}

type commandEntry struct {
	Name        string          `yaml:"name"`
	Description string          `yaml:"description"`
	Run         []string        `yaml:"run"`
	Stdin       string          `yaml:"stdin"`
	Effect      string          `yaml:"effect"`
	Args        []argumentEntry `yaml:"args"`
	Trusted     bool            `yaml:"trusted"`
	Idempotent  bool            `yaml:"idempotent"`
	Undoable    bool            `yaml:"undoable"`
	Adds        bool            `yaml:"adds"`
	Annotations *Annotations    `yaml:"annotations"` // of the server whose tool this is, in its words
	Time        string          `yaml:"time"`
	Hosts       []string        `yaml:"hosts"`
	Secrets     []string        `yaml:"secrets"`
}

type argumentEntry struct {
	Name     string   `yaml:"name"`
	About    string   `yaml:"about"`
	Type     string   `yaml:"type"` // string, integer, number, boolean; string if it says nothing
	Role     string   `yaml:"role"` // none is the worst: it directs the effect
	Enum     []string `yaml:"enum"`
	Max      int      `yaml:"max"` // characters of a string, 1000 if it says nothing
	Optional bool     `yaml:"optional"`
}

// ParseCommands reads a file of tools: version 1, and a list named tools. What it does not
// know is an error, and so is what would make a tool do other things than it says; each
// names its tool.
func ParseCommands(text []byte) ([]Command, error) {
	var doc commandFile
	if err := plainYAML(text, &doc); err != nil {
		return nil, fmt.Errorf("read tools: %w", err)
	}
	if doc.Version != 1 {
		return nil, fmt.Errorf("read tools: version %d is not known; write version: 1", doc.Version)
	}
	if len(doc.Tools) == 0 || len(doc.Tools) > maxCommands {
		return nil, fmt.Errorf("read tools: %d tools, at least 1 and at most %d", len(doc.Tools), maxCommands)
	}
	taken := map[string]bool{}
	for _, s := range builtin() {
		taken[s.Name] = true
	}
	var out []Command
	var errs []error
	for _, e := range doc.Tools {
		c, err := e.command()
		if taken[e.Name] {
			err = errors.Join(err, errors.New("there is a tool of that name already"))
		}
		taken[e.Name] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("read tools: tool %q: %w", clip(e.Name, 64), err))
			continue
		}
		out = append(out, c)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// plainYAML decodes one document in which everything means what it shows.
func plainYAML(text []byte, v any) (err error) {
	defer func() { // the reader is not ours, and the text may be anyone's
		if p := recover(); p != nil {
			err = fmt.Errorf("not YAML that can be read: %v", p)
		}
	}()
	if len(text) > maxCommandFile {
		return fmt.Errorf("%d bytes, at most %d", len(text), maxCommandFile)
	}
	if !utf8.Valid(text) { // two texts would have one digest
		return errors.New("not UTF-8")
	}
	if depth := strings.Count(string(text), "[") + strings.Count(string(text), "{"); depth > 4000 {
		return errors.New("too many brackets")
	}
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		return firstLine(err)
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return errors.New("not exactly one document")
	}
	if n := ast.Filter(ast.AnchorType, f.Docs[0].Body); len(n) > 0 {
		return errors.New("anchors are not allowed")
	}
	if n := append(ast.Filter(ast.AliasType, f.Docs[0].Body), ast.Filter(ast.TagType, f.Docs[0].Body)...); len(n) > 0 {
		return errors.New("aliases and tags are not allowed")
	}
	if err := yaml.NodeToValue(f.Docs[0].Body, v, yaml.Strict()); err != nil {
		return firstLine(err)
	}
	return nil
}

func firstLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(clip(line, 300))
}

var plainWord = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// commandEffects are those that a program in a cell can have: without hosts what it changes
// is the workspace.
var commandEffects = map[string]agent.Effect{
	"pure": agent.Pure, "read": agent.Read, "sensitive_read": agent.SensitiveRead, "write": agent.Write,
	"outward": agent.Outward, "irreversible": agent.Irreversible,
}

// maxHosts bounds the hosts that one tool declares.
const maxHosts = 16

// reach checks the hosts that an entry declares, and what goes with them.
func (e commandEntry) reach(effect agent.Effect) error {
	if len(e.Hosts) == 0 {
		if effect.Rank() >= agent.Outward.Rank() {
			return fmt.Errorf("effect %s needs hosts: without them a program in a cell can have no other effect than pure, read, sensitive_read and write", e.Effect)
		}
		return nil
	}
	var errs []error
	if len(e.Hosts) > maxHosts {
		errs = append(errs, fmt.Errorf("%d hosts, at most %d", len(e.Hosts), maxHosts))
	}
	for i, h := range e.Hosts {
		if _, err := sandbox.ParseHostRule(h); err != nil || slices.Contains(e.Hosts[:i], h) {
			errs = append(errs, fmt.Errorf("hosts: %q is not host:port, such as api.example.com:443, or stands twice", clip(h, 64)))
		}
	}
	if effect.Rank() < agent.Write.Rank() {
		errs = append(errs, fmt.Errorf("effect %s: what reaches hosts sends something there; declare outward, or irreversible, or write if it changes the workspace as well", e.Effect))
	}
	if e.Trusted {
		errs = append(errs, errors.New("trusted: what comes from a host is not yours"))
	}
	return errors.Join(errs...)
}

// maxSecrets bounds the secrets that one tool declares.
const maxSecrets = 16

// private checks the secrets that an entry declares: whoever is given one has read what is
// private.
func (e commandEntry) private(effect agent.Effect) error {
	var errs []error
	for i, n := range e.Secrets {
		if !secretName.MatchString(n) || slices.Contains(e.Secrets[:i], n) {
			errs = append(errs, fmt.Errorf("secrets: %q is not small letters, digits and . _ -, or stands twice", clip(n, 64)))
		}
	}
	if len(e.Secrets) > maxSecrets {
		errs = append(errs, fmt.Errorf("%d secrets, at most %d", len(e.Secrets), maxSecrets))
	}
	if len(e.Secrets) > 0 && effect.Rank() < agent.SensitiveRead.Rank() {
		errs = append(errs, fmt.Errorf("effect %s: with a secret it is sensitive_read at least", e.Effect))
	}
	if len(e.Secrets) > 0 && e.Trusted {
		errs = append(errs, errors.New("trusted: a tool with secrets cannot be"))
	}
	if len(e.Secrets) > 0 && len(e.Run) > 0 && ownProgram(e.Run) {
		errs = append(errs, errors.New("secrets: the program lies in the workspace, where whoever writes there can change it"))
	}
	return errors.Join(errs...)
}

// effect is what an entry declares. A server's annotations count only where the entry says
// so.
func (e commandEntry) effect() (agent.Effect, bool) {
	if e.Effect == "annotations" && e.Annotations != nil {
		effect := e.Annotations.Effect()
		return effect, effect != agent.EffectUnknown
	}
	effect, known := commandEffects[e.Effect]
	return effect, known
}

// command checks one entry.
func (e commandEntry) command() (Command, error) {
	effect, known := e.effect()
	c := Command{Argv: slices.Clone(e.Run), Stdin: e.Stdin, Undoable: e.Undoable, Adds: e.Adds, Hosts: slices.Clone(e.Hosts), Secrets: slices.Clone(e.Secrets), Spec: agent.ToolSpec{
		Name: e.Name, Description: strings.TrimSpace(e.Description), Effect: effect, Trusted: e.Trusted, Idempotent: e.Idempotent,
		Roles: map[string]agent.ArgRole{}}}
	var errs []error
	bad := func(is bool, format string, a ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, a...))
		}
	}
	bad(!plainWord.MatchString(e.Name), "its name is not small letters, digits and _")
	bad(c.Spec.Description == "" || len(e.Description) > maxDescription, "description: one to %d characters that tell the model what it is for", maxDescription)
	bad(!known && e.Annotations != nil, "annotations are what a server claims: write an effect of your own, or effect: annotations to make them your word where they say something")
	bad(!known && e.Annotations == nil, "effect %q is not one of pure, read, sensitive_read, write, and with hosts outward, irreversible", clip(e.Effect, 40))
	bad(effect == agent.Pure && len(e.Run) > 0 && strings.HasPrefix(e.Run[0], "./"), "effect pure: its cell has no workspace, where its program would be")
	bad(e.Trusted && len(e.Run) > 0 && ownProgram(e.Run), "trusted: the program lies in the workspace, where whoever writes there can change it")
	bad(e.Undoable && effect != agent.Write, "undoable belongs to effect write")
	bad(e.Adds && (effect != agent.Write || !slices.ContainsFunc(e.Args, func(a argumentEntry) bool { return a.Role == string(agent.RolePath) })),
		"adds belongs to effect write with an argument of role path")
	bad(len(e.Args) > maxArguments, "%d arguments, at most %d", len(e.Args), maxArguments)
	if e.Time != "" {
		var err error
		c.Time, err = time.ParseDuration(e.Time)
		bad(err != nil || c.Time < time.Second || c.Time > time.Hour, "time %q is not between 1s and 1h", clip(e.Time, 40))
	}
	if known {
		errs = append(errs, e.reach(effect), e.private(effect))
	}
	errs = append(errs, c.schema(e.Args), c.program(e.Args))
	return c, errors.Join(errs...)
}

// schema makes the schema and the roles of the arguments.
func (c *Command) schema(args []argumentEntry) error {
	var members []string
	required := []string{}
	seen := map[string]bool{}
	var errs []error
	for _, a := range args {
		if !plainWord.MatchString(a.Name) || seen[a.Name] {
			errs = append(errs, fmt.Errorf("argument %q is no plain name, or stands twice", clip(a.Name, 64)))
			continue
		}
		seen[a.Name] = true
		m, err := a.member()
		if err != nil {
			errs = append(errs, fmt.Errorf("argument %s: %w", a.Name, err))
			continue
		}
		members = append(members, fmt.Sprintf("%q:%s", a.Name, m))
		if !a.Optional {
			required = append(required, a.Name)
		}
		if a.Role != "" {
			c.Spec.Roles[a.Name] = agent.ArgRole(a.Role)
		}
	}
	c.Spec.Schema = encode(struct {
		Type     string          `json:"type"`
		Members  json.RawMessage `json:"properties"`
		Required []string        `json:"required"`
		More     bool            `json:"additionalProperties"`
	}{"object", json.RawMessage("{" + strings.Join(members, ",") + "}"), required, false})
	return errors.Join(errs...)
}

// knownRoles are those that an argument may be given.
var knownRoles = map[agent.ArgRole]bool{
	agent.RoleTarget: true, agent.RoleContent: true, agent.RoleSelector: true,
	agent.RoleCommand: true, agent.RolePath: true, agent.RoleCredential: true,
}

// member is the schema of one argument.
func (a argumentEntry) member() (json.RawMessage, error) {
	if a.Role != "" && !knownRoles[agent.ArgRole(a.Role)] {
		return nil, fmt.Errorf("role %q is not one of target, content, selector, command, path, credential", clip(a.Role, 40))
	}
	if a.Type == "" {
		a.Type = "string"
	}
	if !slices.Contains([]string{"string", "integer", "number", "boolean"}, a.Type) {
		return nil, fmt.Errorf("type %q is not one of string, integer, number, boolean", clip(a.Type, 40))
	}
	if a.Type != "string" && (len(a.Enum) > 0 || a.Max != 0) {
		return nil, errors.New("enum and max belong to type string")
	}
	if a.Max < 0 || a.Max > math.MaxInt16 {
		return nil, fmt.Errorf("max %d is not between 1 and %d", a.Max, math.MaxInt16)
	}
	m := struct {
		Type  string   `json:"type"`
		About string   `json:"description,omitempty"`
		Enum  []string `json:"enum,omitempty"`
		Max   int      `json:"maxLength,omitempty"`
	}{a.Type, strings.TrimSpace(a.About), a.Enum, a.Max}
	if a.Type == "string" && a.Max == 0 && len(a.Enum) == 0 {
		m.Max = 1000
	}
	return encode(m), nil
}

// program checks how the arguments reach the program.
func (c *Command) program(args []argumentEntry) error {
	if len(c.Argv) == 0 {
		return errors.New("run names no program")
	}
	var errs []error
	role, named := map[string]string{}, map[string]bool{}
	for _, a := range args {
		role[a.Name] = a.Role
		named[a.Name] = a.Role == string(agent.RolePath) || a.Type != "" && a.Type != "string" || len(a.Enum) > 0
	}
	used := map[string]bool{}
	for i, template := range append(slices.Clone(c.Argv), c.Stdin) {
		errs = append(errs, c.shifts(i, args))
		if strings.ContainsRune(template, 0) {
			errs = append(errs, errors.New("run and stdin hold no NUL"))
		}
		for _, name := range slots(template) {
			used[name] = true
			switch _, known := role[name]; {
			case !known:
				errs = append(errs, fmt.Errorf("{%s} names no argument; write {{%s}} for the text itself", name, name))
			case i == 0:
				errs = append(errs, errors.New("the program itself cannot come from an argument"))
			case c.code(i) && (role[name] != string(agent.RoleCommand) || template != "{"+name+"}"):
				errs = append(errs, fmt.Errorf("{%s} would be part of a program text: give it as an argument of its own, or the whole text as one argument of role command", name))
			case !named[name] && c.namesFile(i):
				errs = append(errs, fmt.Errorf("{%s} could name a file for curl to send: give it behind --data-raw or --form-string, or with role path", name))
			}
		}
	}
	for _, a := range args {
		if !used[a.Name] {
			errs = append(errs, fmt.Errorf("argument %s is used nowhere in run or stdin", clip(a.Name, 64)))
		}
	}
	var err error
	c.Argv[0], err = findProgram(c.Argv[0])
	return errors.Join(append(errs, err)...)
}

// programFolders are where programs are looked for, as a cell shows them.
var programFolders = []string{"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"}

// findProgram is the absolute path of a program, or ./ and its path in the workspace.
func findProgram(name string) (string, error) {
	switch {
	case strings.HasPrefix(name, "./") && path.Clean(name) != "." && !strings.Contains(name, ".."):
		return "./" + path.Clean(name), nil
	case path.IsAbs(name):
		return path.Clean(name), nil
	case name == "" || strings.Contains(name, "/"):
		return "", fmt.Errorf("program %q: give a name, an absolute path, or ./ and a path in the workspace", clip(name, 64))
	}
	for _, dir := range programFolders {
		if info, err := os.Stat(path.Join(dir, name)); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("there is no program %q in %s", clip(name, 64), strings.Join(programFolders, ", "))
}

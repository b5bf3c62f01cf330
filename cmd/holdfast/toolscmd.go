package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/safety/policy"
	"github.com/holdfast-run/holdfast/tools"
)

func toolsFlag() cli.Flag {
	return newListFlag("tools", "tools of your own, declared in `FILE`; see holdfast tools --help", "HOLDFAST_TOOLS")
}

const toolsHelp = `A file of tools declares programs that the model may call, each in a cell of its own, without a shell:

  version: 1
  tools:
    - name: word_count
      description: Count the words of a text file.
      run: [wc, -w, "--", "{path}"]
      effect: read
      args:
        - {name: path, role: path, about: the file}

run is the program and its arguments, {name} a value of the call, {{name}} the text itself; stdin is what the
program reads. effect is pure, read, sensitive_read or write; the cell cannot write unless the call's own decision
grants it, and sees no file of yours if the effect is pure. It has no network, unless the tool names hosts, such as
hosts: [api.example.com:443], that you allow with --allow-host and the call's decision grants; its effect is then
outward, irreversible or write. A tool that names secrets: [api_token] finds each, which you give with
--secret api_token=FILE, as the file /run/secrets/api_token, if the call's decision grants it. A role is target, content, selector, command, path or credential; an
argument without one counts as directing the effect. An argument has a type (string, integer, number,
boolean), and may have max, enum and optional. A tool may be trusted (its output is taken as yours),
idempotent, undoable (it can itself take back what it writes) or adds (it changes no file but those its path
arguments name), and may have a time. The annotations of a server whose tool it calls are claims: they count where
effect is annotations.

The first use of a file pins what it declares. What changed since, or was added, is refused until you accept
it with holdfast tools trust.

`

func toolsCommand(t *terminal) *cli.Command {
	flags := func(more ...cli.Flag) []cli.Flag { return append([]cli.Flag{toolsFlag()}, more...) }
	return &cli.Command{
		Name:        "tools",
		Usage:       "list the tools, and accept those of your own",
		Description: toolsHelp,
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the tools with what they are declared to do",
				Description:        "Example:\n  holdfast tools ls --tools tools.yaml",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
				Flags:              flags(&cli.BoolFlag{Name: "json", Usage: "as JSON lines, with the whole declarations"}),
				Action:             func(c *cli.Context) error { return toolsList(c, t) },
			},
			{
				Name: "show", Usage: "show one tool", ArgsUsage: "NAME",
				Description:        "Example:\n  holdfast tools show --tools tools.yaml word_count",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
				Flags:              flags(),
				Action:             func(c *cli.Context) error { return toolsShow(c, t) },
			},
			{
				Name: "call", Usage: "call one tool, judged by you and recorded", ArgsUsage: "NAME [ARGUMENTS]",
				Description: "ARGUMENTS is one JSON object. The call runs in a cell as it would for a model, with the right to write\n" +
					"the workspace only if --write gives it, and with the hosts and secrets that its tool declares and --allow-host and\n" +
					"--secret give.\n\n" +
					"Examples:\n  holdfast tools call list_files '{\"path\":\".\"}'\n" +
					"  holdfast tools call --tools tools.yaml word_count '{\"path\":\"notes.txt\"}'\n\n" +
					"The exit code is the tool's own, or one of those below.",
				CustomHelpTemplate: helpWithExits(exitUsage, exitSandbox, exitLedger, exitDigest, exitInterrupted),
				Flags:              flags(dirFlag(), ledgerFlag(), &cli.BoolFlag{Name: "write", Usage: "let the call change the workspace"}, allowHostFlag(), allowPrivateFlag(), secretFlag()),
				Action:             func(c *cli.Context) error { return toolsCall(c, t) },
			},
			{
				Name: "trust", Usage: "accept the tools of a file as they are now", ArgsUsage: "FILE",
				Description:        "Each tool is printed with what it runs.\n\nExample:\n  holdfast tools trust tools.yaml",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
				Action:             func(c *cli.Context) error { return toolsTrust(c, t) },
			},
		},
	}
}

// toolPins is where the declarations that a user accepted are kept, out of reach of cells.
func toolPins() string { return filepath.Join(dataDir(), "tools.json") }

// toolFile is a file of tools that was read.
type toolFile struct {
	path string // absolute, links resolved: its name among the pins
	list []tools.Command
}

// maxToolFile bounds a file of tools in bytes.
const maxToolFile = 256 << 10

// readToolFiles reads the files that --tools names.
func readToolFiles(names []string) ([]toolFile, error) {
	var out []toolFile
	for _, name := range names {
		f, err := readToolFile(name)
		if err != nil {
			return nil, &failure{exitUsage, err, "see holdfast tools --help"}
		}
		out = append(out, f)
	}
	return out, nil
}

func readToolFile(name string) (toolFile, error) {
	path, err := filepath.Abs(name)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return toolFile{}, fmt.Errorf("read tools: %w", err)
	}
	text, err := readRegular(maxToolFile, func() (*os.File, error) { return os.Open(path) })
	if err != nil {
		return toolFile{}, fmt.Errorf("read tools: %w", err)
	}
	list, err := tools.ParseCommands([]byte(text))
	if err != nil {
		return toolFile{}, fmt.Errorf("%s: %w", name, err)
	}
	return toolFile{path, list}, nil
}

// pinTools checks tools against what the user accepted. Those of a file that is used for
// the first time are accepted now, if the user named it. One that changed since, or was
// added, is refused.
func pinTools(t *terminal, files []toolFile, named bool) ([]tools.Command, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pins, err := tools.OpenPins(toolPins())
	if err != nil {
		return nil, &failure{exitDigest, err, "restore it, or remove it to accept every tool anew"}
	}
	var all []tools.Command
	for _, f := range files {
		var fresh []tools.Command
		for _, k := range f.list {
			switch pins.CheckCommand(f.path, k) {
			case tools.DriftSame:
			case tools.DriftNew:
				if pins.Knows(f.path) { // or a changed tool would only need another name
					return nil, &failure{exitDigest, fmt.Errorf("open tools: %s was added to %s after its tools were accepted", k.Spec.Name, f.path),
						"read it, then accept it with holdfast tools trust " + f.path}
				}
				if !named {
					return nil, &failure{exitDigest, fmt.Errorf("open tools: %s of %s was never accepted here, and the record of a run that names it may be anyone's", k.Spec.Name, f.path),
						"read it, then accept it with holdfast tools trust " + f.path}
				}
				fresh = append(fresh, k)
			default:
				return nil, &failure{exitDigest, fmt.Errorf("open tools: %s of %s is declared otherwise than was accepted", k.Spec.Name, f.path),
					"read it, then accept it with holdfast tools trust " + f.path}
			}
		}
		if len(fresh) > 0 {
			if err := pins.AcceptCommands(f.path, fresh...); err != nil {
				return nil, err
			}
			t.printf("%s\n", t.style(styleDim, fmt.Sprintf("tools    %s of %s accepted: %s", count(len(fresh), "tool"), inertLine(f.path, 200), inertLine(namesOf(fresh), 200))))
			for _, k := range fresh {
				t.printf("%s\n", t.style(styleDim, "           "+gistOf(k)))
			}
		}
		all = append(all, f.list...)
	}
	return all, nil
}

// gistOf is one line on what a tool does: its effect, what it runs, and what it is trusted with.
func gistOf(k tools.Command) string {
	argv, _ := json.Marshal(k.Argv) // strings always encode
	s := fmt.Sprintf("%s: %s, runs %s", k.Spec.Name, k.Spec.Effect, inertLine(string(argv), 300))
	if k.Spec.Trusted {
		s += "; its output is taken as yours"
	}
	if k.Undoable {
		s += "; it says it can take back what it writes"
	}
	if k.Adds {
		s += "; it says it writes only what it is told to"
	}
	if len(k.Secrets) > 0 {
		s += "; it is given the secrets " + inertLine(strings.Join(k.Secrets, ", "), 200)
	}
	if len(k.Hosts) > 0 {
		s += "; it reaches " + inertLine(strings.Join(k.Hosts, ", "), 200)
	}
	return s
}

func namesOf(list []tools.Command) string {
	var names []string
	for _, k := range list {
		names = append(names, k.Spec.Name)
	}
	return strings.Join(names, ", ")
}

// ownTools are the tools of the files that the flags of a command name.
func ownTools(c *cli.Context, t *terminal) ([]tools.Command, error) {
	files, err := readToolFiles(c.StringSlice("tools"))
	if err != nil {
		return nil, err
	}
	return pinTools(t, files, c.Context.Value(unnamedTools{}) == nil)
}

// declaredTools are all tools that a run with these flags would offer, none accepted yet.
func declaredTools(c *cli.Context) ([]agent.ToolSpec, map[string]tools.Command, error) {
	files, err := readToolFiles(c.StringSlice("tools"))
	if err != nil {
		return nil, nil, err
	}
	specs, own := tools.Builtin(), map[string]tools.Command{}
	for _, f := range files {
		for _, k := range f.list {
			own[k.Spec.Name] = k
			specs = append(specs, k.Spec)
		}
	}
	return specs, own, nil
}

func toolsList(c *cli.Context, t *terminal) error {
	specs, own, err := declaredTools(c)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		enc := json.NewEncoder(t.out)
		for _, s := range specs {
			if err := enc.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, s := range specs {
		from := "built in"
		if k, ok := own[s.Name]; ok {
			from = inertLine(strings.Join(k.Argv, " "), 60)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, s.Effect, from, inertLine(s.Description, 80))
	}
	return w.Flush()
}

func toolsShow(c *cli.Context, t *terminal) error {
	if c.NArg() != 1 {
		return usage(errors.New("name one tool"))
	}
	specs, own, err := declaredTools(c)
	if err != nil {
		return err
	}
	for _, s := range specs {
		if s.Name != c.Args().First() {
			continue
		}
		k, ok := own[s.Name]
		if !ok {
			k = tools.Command{Spec: s}
		}
		fmt.Fprint(t.out, describeTool(k))
		return nil
	}
	return &failure{exitUsage, fmt.Errorf("there is no tool %q", inertLine(c.Args().First(), 64)), "see holdfast tools ls; --tools FILE adds those of FILE"}
}

// describeTool says what a tool is declared to be and, if it is the user's, what it runs.
func describeTool(k tools.Command) string {
	var b strings.Builder
	s := k.Spec
	fmt.Fprintf(&b, "%s\n  about    %s\n  effect   %s\n", s.Name, inertLine(s.Description, 400), s.Effect)
	if len(k.Argv) > 0 {
		argv, _ := json.Marshal(k.Argv) // strings always encode
		fmt.Fprintf(&b, "  runs     %s\n", inert(string(argv)))
	}
	if k.Stdin != "" {
		fmt.Fprintf(&b, "  input    %s\n", inertLine(k.Stdin, 400))
	}
	if len(k.Hosts) > 0 {
		fmt.Fprintf(&b, "  reaches  %s\n", inertLine(strings.Join(k.Hosts, ", "), 400))
	}
	if len(k.Secrets) > 0 {
		fmt.Fprintf(&b, "  given    the secrets %s\n", inertLine(strings.Join(k.Secrets, ", "), 400))
	}
	for _, flag := range []struct {
		on   bool
		word string
	}{{s.Trusted, "trusted: its output is taken as yours"}, {s.Idempotent, "idempotent"}, {k.Undoable, "undoable: it can take back what it writes"},
		{k.Adds, "adds: it changes no file but those its path arguments name"}} {
		if flag.on {
			fmt.Fprintf(&b, "  says     %s\n", flag.word)
		}
	}
	fmt.Fprintf(&b, "  schema   %s\n", inert(string(s.Schema)))
	roles, _ := json.Marshal(s.Roles)
	fmt.Fprintf(&b, "  roles    %s\n", inert(string(roles)))
	return b.String()
}

// toolsCall carries out one call of the operator's.
func toolsCall(c *cli.Context, t *terminal) error {
	name, args := c.Args().Get(0), c.Args().Get(1)
	if name == "" || c.Args().Len() > 2 {
		return usage(errors.New("name one tool, and its arguments as one JSON object"))
	}
	own, err := ownTools(c, t)
	if err != nil {
		return err
	}
	hosts, err := hostsOf(c)
	if err != nil {
		return err
	}
	at, err := openSite(c, hosts, own...)
	if err != nil {
		return err
	}
	defer at.Close()
	call := agent.ToolCall{Tool: name, Args: cmp.Or(args, "{}")}
	if err := at.tools.Check(call); err != nil {
		return usage(err)
	}
	g := agent.Grant{Write: c.Bool("write")}
	if mine := slices.ContainsFunc(own, func(k tools.Command) bool { return k.Spec.Name == name }); !mine && given(c, "allow-host") {
		return usage(fmt.Errorf("%s is no tool of a file: no host can be granted to it", name))
	}
	for _, k := range own {
		if k.Spec.Name == name {
			g.Secrets = k.Secrets
			for _, h := range k.Hosts {
				g.Hosts = append(g.Hosts, policy.HostAsAllowed(h, texts(hosts)))
			}
		}
	}
	return operate(c, t, at, name+" "+call.Args, &operatorModel{call: call}, g)
}

// toolsTrust accepts every tool of a file, whatever was accepted before.
func toolsTrust(c *cli.Context, t *terminal) error {
	if c.Args().Len() != 1 {
		return usage(errors.New("name one file of tools"))
	}
	files, err := readToolFiles(c.Args().Slice())
	if err != nil {
		return err
	}
	pins, err := tools.OpenPins(toolPins())
	if err != nil {
		return &failure{exitDigest, err, "restore it, or remove it to accept every tool anew"}
	}
	f := files[0]
	for _, k := range f.list {
		fmt.Fprintf(t.out, "%s  was      %s\n", describeTool(k), pins.CheckCommand(f.path, k))
	}
	if err := pins.AcceptCommands(f.path, f.list...); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "accepted %s of %s\n", count(len(f.list), "tool"), inertLine(f.path, 200))
	return nil
}

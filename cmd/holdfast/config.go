package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/urfave/cli/v2"
)

// Settings that hold for every command stand in files: the machine's, and the user's, which
// goes first. A setting is a flag that a HOLDFAST_* variable can stand for, by its name. The
// command line and variables go before files.

// systemConfig is where the machine's owner keeps settings.
const systemConfig = "/etc/holdfast/config.yaml"

// maxConfig bounds a file of settings in bytes.
const maxConfig = 256 << 10

// configFiles are the files of settings that count, the last one first. None of them need be
// there.
func configFiles() []string {
	files := []string{systemConfig}
	if dir := configDir(); dir != "" {
		files = append(files, filepath.Join(dir, "config.yaml"))
	}
	return files
}

// configured is what a file says of a setting.
type configured struct {
	values []string // one, or those of a flag that may be repeated
	file   string
	line   int
}

// String says where a setting stands.
func (s configured) String() string { return fmt.Sprintf("%s:%d", s.file, s.line) }

// settable are the flags of a command that can stand in a file, by name.
func settable(flags []cli.Flag) map[string]cli.Flag {
	out := map[string]cli.Flag{}
	for _, f := range flags {
		d, ok := f.(cli.DocGenerationFlag)
		if name := f.Names()[0]; ok && len(d.GetEnvVars()) > 0 && name != "dir" { // where to work is said when it is begun
			out[name] = f
		}
	}
	return out
}

// allSettable are the settable flags of all commands. Of a flag that several have, the first
// command's stands for all.
func allSettable(list []*cli.Command) map[string]cli.Flag {
	out := map[string]cli.Flag{}
	for _, c := range list {
		for _, more := range []map[string]cli.Flag{settable(c.Flags), allSettable(c.Subcommands)} {
			for name, f := range more {
				if out[name] == nil {
					out[name] = f
				}
			}
		}
	}
	return out
}

// readConfig reads files of settings; what a later one says replaces what an earlier one
// does. A file that is there and cannot be read, and a setting that no command knows or can
// take, are errors: it may be what keeps a run from the network.
func readConfig(app *cli.App, files ...string) (map[string]configured, error) {
	known := allSettable(app.Commands)
	out := map[string]configured{}
	var errs []error
	for _, file := range files {
		if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
			continue
		}
		text, err := readRegular(maxConfig, func() (*os.File, error) { return os.Open(file) })
		if err != nil {
			errs = append(errs, fmt.Errorf("read settings: %w", err))
			continue
		}
		said, err := parseConfig(file, text)
		for _, name := range slices.Sorted(maps.Keys(said)) {
			err = errors.Join(err, checkSetting(known, name, said[name]))
		}
		errs = append(errs, err)
		maps.Copy(out, said)
	}
	return out, errors.Join(errs...)
}

// parseConfig reads a file of settings: names, each with a value or a list of values.
func parseConfig(file, text string) (map[string]configured, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%s: not UTF-8", file)
	}
	f, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("%s: %s", file, why)
	}
	if len(f.Docs) == 0 || len(f.Docs) == 1 && f.Docs[0].Body == nil {
		return nil, nil
	}
	var pairs []*ast.MappingValueNode
	switch body := f.Docs[0].Body.(type) {
	case *ast.MappingNode:
		pairs = body.Values
	case *ast.CommentGroupNode:
	default:
		err = fmt.Errorf("%s: not names with values, such as ask: never", file)
	}
	if len(f.Docs) > 1 {
		err = fmt.Errorf("%s: more than one document", file)
	}
	out := map[string]configured{}
	for _, p := range pairs {
		at := configured{file: file, line: p.Key.GetToken().Position.Line}
		name, ok := scalar(p.Key)
		if !ok || name == "" {
			err = errors.Join(err, fmt.Errorf("%s: not the name of a setting", at))
			continue
		}
		if at.values, ok = valuesOf(p.Value); !ok {
			err = errors.Join(err, fmt.Errorf("%s: %s takes a value, or a list of values", at, name))
			continue
		}
		out[name] = at
	}
	return out, err
}

// valuesOf takes what a setting is given.
func valuesOf(n ast.Node) (values []string, ok bool) {
	list, many := n.(*ast.SequenceNode)
	if !many {
		v, ok := scalar(n)
		return []string{v}, ok
	}
	for _, e := range list.Values {
		v, ok := scalar(e)
		if !ok {
			return nil, false
		}
		values = append(values, v)
	}
	return values, len(values) > 0
}

// scalar is a value as it is written. A file beginning with ~/ is one of the user's home.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return atHome(n.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func atHome(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return name
}

// checkSetting refuses what no flag is or takes.
func checkSetting(known map[string]cli.Flag, name string, s configured) error {
	f, ok := known[name]
	if !ok {
		err := fmt.Errorf("%s: no setting %q", s, inertLine(name, 60))
		if n := nearest(name, slices.Sorted(maps.Keys(known))); n != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, n)
		}
		return err
	}
	if _, list := f.(listFlag); !list && len(s.values) > 1 {
		return fmt.Errorf("%s: %s takes one value", s, name)
	}
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	if err := f.Apply(set); err != nil {
		return nil // of a variable, which goes first; whoever parses the command line tells
	}
	for _, v := range s.values {
		if err := set.Set(name, v); err != nil {
			return fmt.Errorf("%s: %s takes %s: %q is none", s, name, valueOf(f), inertLine(v, 60))
		}
		if err := checkWord(name, v); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// checkWord refuses a value that its flag takes and no command does.
func checkWord(name, value string) error {
	switch name {
	case "ask":
		return checkAsk(value)
	case "review":
		return checkReview(value)
	case "allow-host", "allow-private":
		_, err := hostRule(name, value)
		return err
	case "ctx", "threads", "max-steps", "max-tokens", "max-time", "temp":
		if strings.HasPrefix(value, "-") {
			return fmt.Errorf("%s cannot be negative", name)
		}
	}
	return nil
}

// Keys, among what the library keeps for the program: the settings that files hold, and those
// of them that are in force for the command.
const (
	inFile  = "settings"
	inForce = "settings in force"
)

// fromFile tells what a file says of a setting, and whether the command has it from there.
func fromFile(c *cli.Context, name string) (s configured, used bool) {
	held, _ := c.App.Metadata[inFile].(map[string]configured)
	force, _ := c.App.Metadata[inForce].(map[string]configured)
	_, used = force[name]
	return held[name], used
}

// configure sets the flags of a command that neither its command line nor a variable sets to
// what files say. A run that goes on takes its settings from its record, not from a file
// that may say something else by now.
func configure(c *cli.Context) error {
	takes := settable(c.Command.Flags)
	if len(takes) == 0 {
		return nil
	}
	held, err := readConfig(c.App, configFiles()...)
	if err != nil {
		return &failure{exitUsage, faults(err)[0], "mend it; holdfast config check tells every fault"}
	}
	used := map[string]configured{}
	for name, s := range held {
		if takes[name] == nil || c.IsSet(name) || continues(c.Command) && (keptWithRun(name) || name == "seed") {
			continue
		}
		for _, v := range s.values {
			if err := c.Set(name, v); err != nil {
				return usage(fmt.Errorf("%s: %w", s, err))
			}
		}
		used[name] = s
	}
	c.App.Metadata[inFile] = held
	c.App.Metadata[inForce] = used
	return nil
}

// continues reports whether a command goes on with a run of the record.
func continues(c *cli.Command) bool { return c.Name == "resume" || c.Name == "fork" }

// blame adds to what went wrong the file of settings that a flag in it has its value from.
func blame(c *cli.Context, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	used, _ := c.App.Metadata[inForce].(map[string]configured)
	for _, name := range slices.Sorted(maps.Keys(used)) {
		s := used[name]
		told := func(v string) bool { return strings.ContainsAny(v, "/.:") && strings.Contains(err.Error(), v) }
		if !strings.Contains(err.Error(), "--"+name) && !slices.ContainsFunc(s.values, told) {
			continue
		}
		where := fmt.Sprintf("%s is set in %s", name, s)
		if f.hint != "" && f.hint != usageHint {
			where = f.hint + "; " + where
		}
		return &failure{f.code, err, where}
	}
	return err
}

// unasked names what sets a flag without the command line: its variable, or a file; "" if
// neither does.
func unasked(c *cli.Context, name, variable string) string {
	if os.Getenv(variable) != "" {
		return variable
	}
	if s, _ := fromFile(c, name); s.file != "" {
		return fmt.Sprintf("%s, set in %s,", name, s)
	}
	return ""
}

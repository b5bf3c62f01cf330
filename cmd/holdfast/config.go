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
	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/inference/remote"
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
	if user := inConfigDir("config.yaml"); user != "" {
		files = append(files, user)
	}
	return files
}

// configured is what a file says of a setting.
type configured struct {
	values []string // one, or those of a flag that may be repeated; none: nothing is set
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
	out := map[string]configured{}
	var errs []error
	for _, file := range files {
		if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
			continue
		}
		text, err := readRegular(maxConfig, func() (*os.File, error) { return openOwn(file) })
		if err != nil {
			errs = append(errs, fmt.Errorf("read settings: %w", err))
			continue
		}
		said, err := parseConfig(file, text)
		errs = append(errs, err, checkSettings(app, said))
		maps.Copy(out, said)
	}
	maps.DeleteFunc(out, func(_ string, s configured) bool { return len(s.values) == 0 })
	return out, errors.Join(errs...)
}

// openOwn opens a file that only root or the user can have written: the machine's only root.
func openOwn(file string) (*os.File, error) {
	if info, err := os.Stat(filepath.Dir(file)); err != nil {
		return nil, err
	} else if info.Mode().Perm()&0o002 != 0 {
		return nil, fmt.Errorf("%s can be written by everybody", filepath.Dir(file))
	}
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for whoever writes it
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil && st.Uid != 0 && (file == systemConfig || int(st.Uid) != os.Geteuid()) {
		err = fmt.Errorf("%s belongs to user %d", file, st.Uid)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// parseConfig reads a file of settings: names, each with a value or a list of values.
func parseConfig(file, text string) (map[string]configured, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%s: not UTF-8", file)
	}
	text = strings.TrimPrefix(text, "\ufeff")
	if onlyComments(text) {
		return nil, nil
	}
	f, err := parser.ParseBytes([]byte(text), 0)
	if err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("%s: %s", file, why)
	}
	if len(f.Docs) != 1 {
		return nil, fmt.Errorf("%s: not exactly one document", file)
	}
	body, ok := f.Docs[0].Body.(*ast.MappingNode)
	if !ok {
		return nil, fmt.Errorf("%s: not names with values, such as ask: never", file)
	}
	out := map[string]configured{}
	for _, p := range body.Values {
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

// onlyComments reports whether a file says nothing.
func onlyComments(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return false
		}
	}
	return true
}

// valuesOf takes what a setting is given. An empty list is no value: it takes back what the
// machine's file says.
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
	return values, true
}

// scalar is a value as it is written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// checkSettings refuses what no flag is and what no command takes, and puts the home
// directory in the place of ~.
func checkSettings(app *cli.App, said map[string]configured) error {
	known := allSettable(app.Commands)
	set := flag.NewFlagSet("settings", flag.ContinueOnError)
	names := slices.SortedFunc(maps.Keys(said), func(a, b string) int { return said[a].line - said[b].line })
	var errs []error
	for _, name := range names {
		s := said[name]
		err := checkSetting(known, set, name, s)
		if err != nil {
			err = fmt.Errorf("%s: %w", s, err)
			delete(said, name)
		}
		errs = append(errs, err)
	}
	// What remains can be asked for as on a command line.
	c := cli.NewContext(app, set, nil)
	_, limits := limitsOf(c)
	_, hosts := hostsOf(c)
	for _, err := range []error{checkAsk(c.String("ask")), checkReview(c.String("review")), limits, checkEngine(c), hosts} {
		for _, name := range names {
			if s, ok := said[name]; ok && err != nil && mentions(err.Error(), "--"+name) {
				errs = append(errs, fmt.Errorf("%s: %w", s, err))
			}
		}
	}
	return errors.Join(errs...)
}

// checkSetting takes one setting into a set of flags.
func checkSetting(known map[string]cli.Flag, set *flag.FlagSet, name string, s configured) error {
	f, ok := known[name]
	if !ok {
		err := fmt.Errorf("no setting %q", inertLine(name, 60))
		if n := nearest(name, slices.Sorted(maps.Keys(known))); n != "" {
			err = fmt.Errorf("%w; did you mean %s?", err, n)
		}
		return err
	}
	_, list := f.(listFlag)
	if !list && len(s.values) > 1 {
		return fmt.Errorf("%s takes one value", name)
	}
	if err := f.Apply(set); err != nil {
		return nil // of a variable, which goes first; whoever parses the command line tells
	}
	for i, v := range s.values {
		if slices.Contains(placeFlags, name) {
			v = atHome(v)
			if s.values[i] = v; !anywhere(name, v) {
				return fmt.Errorf("%s: %q would be another in every folder; begin it with / or ~/", name, inertLine(v, 60))
			}
		}
		if err := set.Set(name, v); err != nil {
			return badValue(&cli.Command{Flags: []cli.Flag{f}}, fmt.Errorf("invalid value %q for flag -%s: %w", v, name, err))
		}
	}
	return nil
}

// placeFlags are those whose values may say where something is.
var placeFlags = append([]string{"ledger", "sign-key", "anchor"}, pathFlags...)

func atHome(name string) string {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return name
}

// anywhere reports whether a value names the same in every folder: in a workspace, what is
// named may be what tools have put there.
func anywhere(name, value string) bool {
	switch name {
	case "model", "guard":
		word, _, _ := strings.Cut(value, "@sha256:")
		if remote.Named(value) || strings.HasPrefix(value, "ollama:") || !strings.ContainsRune(word, '/') && !strings.HasSuffix(word, ".gguf") {
			return true // on a server, of Ollama, or of the store
		}
	case "anchor":
		if value = strings.TrimPrefix(value, "unix:"); value == "syslog" || strings.HasPrefix(value, "syslog:/") {
			return true
		}
	}
	return filepath.IsAbs(value)
}

// configFailure is the first fault of files of settings.
func configFailure(err error) error {
	return &failure{exitUsage, faults(err)[0], "mend it; holdfast config check tells every fault"}
}

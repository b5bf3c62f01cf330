package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"

	"github.com/urfave/cli/v2"
)

// What a command takes from files of settings, and what it says of them.

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
// what files say.
func configure(c *cli.Context) error {
	takes := settable(c.Command.Flags)
	if len(takes) == 0 {
		return nil
	}
	held, err := readConfig(c.App, configFiles()...)
	if err != nil {
		return configFailure(err)
	}
	used := map[string]configured{}
	for name, s := range held {
		f := takes[name]
		if f == nil {
			continue
		}
		if b, ok := f.(*cli.BoolFlag); ok && !spoken(f) {
			b.HasBeenSet = false // the library takes an empty variable for a no
		}
		if c.IsSet(name) {
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

// spoken reports whether the environment says something of a flag. An empty variable is a
// word only for a flag that takes words.
func spoken(f cli.Flag) bool {
	variable, _ := variableOf(f)
	return variable != ""
}

// variableOf is the variable that speaks for a flag, with what it says; "" if none does.
func variableOf(f cli.Flag) (variable string, values []string) {
	for _, variable := range f.(cli.DocGenerationFlag).GetEnvVars() {
		text, there := os.LookupEnv(variable)
		switch f.(type) {
		case listFlag:
			if values := listed(text); len(values) > 0 {
				return variable, values
			}
		case *cli.StringFlag:
			if there {
				return variable, []string{text}
			}
		default:
			if text != "" {
				return variable, []string{text}
			}
		}
	}
	return "", nil
}

// blame adds to what went wrong the file of settings that a flag in it has its value from.
func blame(c *cli.Context, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	used, _ := c.App.Metadata[inForce].(map[string]configured)
	takes := settable(c.Command.Flags)
	for _, name := range slices.Sorted(maps.Keys(used)) {
		s := used[name]
		told := func(v string) bool { return slices.Contains(placeFlags, name) && v != "" && mentions(err.Error(), v) }
		if !mentions(err.Error(), "--"+name) && !slices.ContainsFunc(s.values, told) {
			continue
		}
		if _, text := takes[name].(*cli.StringFlag); text && c.String(name) != s.values[0] {
			continue // the command has put something else in its place
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

// mentions reports whether a text has a word whole.
func mentions(text, word string) bool {
	return regexp.MustCompile(`(^|[^\w./-])` + regexp.QuoteMeta(word) + `($|[^\w./-]|[.:]( |$))`).MatchString(text)
}

package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// What a command would pass over in silence it refuses: whoever writes a word on the command
// line believes that it counts.

// wellFormed refuses flags behind the first argument, and more arguments than the help of a
// command names. A command whose arguments are another program's takes them as they are.
func wellFormed(c *cli.Context) error {
	takes := c.Command.ArgsUsage
	if strings.HasPrefix(takes, "--") {
		return nil
	}
	return cmp.Or(flagsFirst(c), surplus(c, takes))
}

// flagsFirst refuses flags after the first argument, which would be taken as text.
func flagsFirst(c *cli.Context) error {
	for _, a := range c.Args().Tail() {
		if len(a) > 1 && a[0] == '-' {
			return usage(fmt.Errorf("%s comes after the text; flags go before it", inertLine(a, 60)))
		}
	}
	return nil
}

// surplus refuses the first argument that has no place in what a command takes: one for each
// word, any number where one of them ends in dots.
func surplus(c *cli.Context, takes string) error {
	most := len(strings.Fields(takes))
	if c.NArg() <= most || strings.Contains(takes, "...") {
		return nil
	}
	extra := inertLine(c.Args().Get(most), 60)
	if most == 0 {
		return usage(fmt.Errorf("%q is not understood: the command takes no arguments", extra))
	}
	return usage(fmt.Errorf("%q is one argument too many: the command takes %s", extra, takes))
}

// valueFault is how the library tells that a flag cannot take its value.
var valueFault = regexp.MustCompile(`^invalid value "(.*)" for flag -([a-z-]+): `)

// badValue says of a value that its flag cannot take what it takes.
func badValue(c *cli.Command, err error) error {
	m := valueFault.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	for _, f := range c.Flags {
		if !slices.Contains(f.Names(), m[2]) {
			continue
		}
		value, uerr := strconv.Unquote(`"` + m[1] + `"`)
		if uerr != nil {
			value = m[1]
		}
		value = inertLine(value, 60)
		if strings.HasSuffix(err.Error(), strconv.ErrRange.Error()) {
			return fmt.Errorf("--%s takes no number as large as %q", m[2], value)
		}
		return fmt.Errorf("--%s takes %s: %q is none", m[2], valueOf(f), value)
	}
	return err
}

// valueOf says what a flag takes whose value can be wrong.
func valueOf(f cli.Flag) string {
	switch f.(type) {
	case *cli.BoolFlag:
		return "true or false"
	case *cli.DurationFlag:
		return "a time with its unit, such as 30s"
	case *cli.IntFlag, *cli.Int64Flag:
		return "a whole number"
	case *cli.UintFlag, *cli.Uint64Flag:
		return "a whole number from 0 on"
	}
	return "a number"
}

// given reports whether the command line itself names a flag, or with another value than a
// variable of the environment does. Such a variable speaks to every command, also to those
// that have no use for it, and so does a file of settings.
func given(c *cli.Context, name string) bool {
	if _, file := fromFile(c, name); file || !c.IsSet(name) {
		return false
	}
	for _, f := range c.Command.Flags {
		d, ok := f.(cli.DocGenerationFlag)
		if ok && slices.Contains(f.Names(), name) {
			return !slices.ContainsFunc(d.GetEnvVars(), func(v string) bool { return says(c, f, os.Getenv(v)) })
		}
	}
	return true
}

// says reports whether a variable of the environment is what a flag has its value from, as
// far as that can be told.
func says(c *cli.Context, f cli.Flag, variable string) bool {
	name := f.Names()[0]
	switch f.(type) {
	case *cli.StringFlag:
		return variable != "" && c.String(name) == variable
	case listFlag:
		return variable != "" && slices.Equal(c.StringSlice(name), listed(variable))
	}
	return variable != ""
}

// goesWith refuses flags of the command line that count only beside another one, which is
// not there.
func goesWith(c *cli.Context, other string, flags ...string) error {
	for _, name := range flags {
		if given(c, name) {
			return usage(fmt.Errorf("--%s counts only with --%s", name, other))
		}
	}
	return nil
}

// goesWithout refuses flags of the command line that do not count beside another one, which
// is there.
func goesWithout(c *cli.Context, other string, flags ...string) error {
	for _, name := range flags {
		if given(c, name) {
			return usage(fmt.Errorf("--%s does not go with --%s", name, other))
		}
	}
	return nil
}

// flagNames are the names of flags, the long ones.
func flagNames(list []cli.Flag) []string {
	var out []string
	for _, f := range list {
		out = append(out, f.Names()[0])
	}
	return out
}

package main

import (
	"flag"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
)

// listFlag is a flag that may be repeated. It takes one value each time, whatever stands in
// it: a path may hold a comma. A variable of the environment is there only once, so that it
// holds several values with commas between them.
type listFlag struct{ *cli.StringSliceFlag }

// newListFlag declares a flag that may be repeated, and the variables that stand for it.
func newListFlag(name, usage string, variables ...string) cli.Flag {
	return listFlag{&cli.StringSliceFlag{Name: name, Usage: usage, EnvVars: variables, KeepSpace: true}}
}

// String implements cli.Flag.
func (f listFlag) String() string { return cli.FlagStringer(f) }

// Apply implements cli.Flag. What the command line says stands in the place of what a
// variable does, not beside it.
func (f listFlag) Apply(set *flag.FlagSet) error {
	plain := *f.StringSliceFlag
	plain.EnvVars = nil
	for _, name := range f.EnvVars {
		if values := listed(os.Getenv(name)); len(values) > 0 {
			plain.Value, f.HasBeenSet = cli.NewStringSlice(values...), true
			break
		}
	}
	return plain.Apply(set)
}

// listed are the values in a variable of the environment; an empty one holds none.
func listed(text string) (out []string) {
	for v := range strings.SplitSeq(text, ",") {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// listHint says in the help of a flag that may be repeated what its variable holds.
const listHint = ", several with commas between"

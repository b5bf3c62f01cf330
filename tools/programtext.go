package tools

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// interpreters read one of their arguments as a program text, or as the name of a program.
var interpreters = regexp.MustCompile(`^(ba|da|z|k|mk|a|c|tc|fi|ya|pw|tcl|wi)?sh$` +
	`|^(python|pypy|perl|ruby|node|nodejs|deno|bun|php|lua|luajit|Rscript)[0-9.]*$|^(awk|gawk|mawk|sed|jq|env|xargs|eval)$`)

// programFirst are interpreters whose first argument that is no option is a program text,
// or a program, and whose options may take the argument behind them.
var programFirst = []string{"awk", "gawk", "mawk", "sed", "jq", "env", "xargs", "eval"}

// running are options whose value is run, or says what is, whatever program they belong to.
var running = regexp.MustCompile(`^-(c|e|ex|exec|execdir|ok|okdir)$` +
	`|^--?[a-z-]*(exec|command|cmd|eval|script|program|shell|pager|editor|hook|rsh|action|plugin|config)`)

// harmless are programs whose options -c and -e take plain values, and to which a plus sign
// is one of a number.
var harmless = []string{"grep", "egrep", "fgrep", "head", "tail", "wc", "cut", "sort", "uniq", "stat"}

// code reports whether argument i of the program, or behind the last its input, may be
// read as a program text. Programs that start another, such as timeout, are looked through.
func (c *Command) code(i int) bool {
	if c.runs(i) {
		return true
	}
	for j, word := range c.Argv[:min(i, len(c.Argv))] {
		name := path.Base(word)
		if !interpreters.MatchString(name) {
			continue
		}
		if readsText(name, c.Argv[j+1:], i-j-1) {
			return true
		}
		if name != "env" && name != "xargs" { // the words behind are data of this one
			return false
		}
	}
	return false
}

// runs reports whether argument i is the value of an option that runs it, or a command
// behind a plus sign.
func (c *Command) runs(i int) bool {
	if i == 0 || i >= len(c.Argv) {
		return false
	}
	lead, _, _ := strings.Cut(c.Argv[i], "{")
	if lead == "" {
		lead = c.Argv[i-1]
	}
	name, _, _ := strings.Cut(lead, "=")
	if name == "-c" || name == "-e" || strings.HasPrefix(c.Argv[i], "+") {
		return !slices.ContainsFunc(c.Argv[:i], func(word string) bool { return slices.Contains(harmless, path.Base(word)) })
	}
	return running.MatchString(name)
}

func option(a string) bool { return strings.HasPrefix(a, "-") }

// takesText knows options such as -c and -e, whose value is a program text.
func takesText(a string) bool { return option(a) && strings.ContainsAny(a, "cBeEmMpRr") }

// takesFile knows the option by which an interpreter that has its program first reads it
// from a file.
func takesFile(name, a string) bool { return slices.Contains(programFirst, name) && a == "-f" }

// readsText reports whether an interpreter may read its argument i, or behind the last its
// input, as a program text: what belongs to an option such as -c or -e, be it a part of the
// option or the next argument that is none, the first argument that is no option, and the
// input where no other text is given.
func readsText(name string, args []string, i int) bool {
	if i == len(args) {
		return !slices.ContainsFunc(args, func(a string) bool { return !option(a) }) ||
			slices.ContainsFunc(args, func(a string) bool {
				return a == "-" || a == "/dev/stdin" || strings.HasSuffix(name, "sh") && option(a) && !strings.HasPrefix(a, "--") && strings.Contains(a, "s")
			})
	}
	if lead, _, _ := strings.Cut(args[i], "{"); takesText(lead) {
		return true
	}
	for k := i - 1; k >= 0 && option(args[k]); k-- {
		if takesText(args[k]) || takesFile(name, args[k]) {
			return true
		}
	}
	return !operandBefore(name, args, i)
}

// operandBefore reports whether an interpreter has its program before argument i: an
// argument that is neither an option nor, of those whose options take values, behind one.
func operandBefore(name string, args []string, i int) bool {
	for k, a := range args[:i] {
		switch {
		case option(a), name == "env" && strings.Contains(a, "="):
		case k > 0 && takesFile(name, args[k-1]):
			return true
		case slices.Contains(programFirst, name) && k > 0 && takesNext(args[k-1]):
		default:
			return true
		}
	}
	return false
}

// takesNext reports whether a word may be an option whose value is the next one.
func takesNext(a string) bool {
	return option(a) && a != "--" && (len(a) == 2 || strings.HasPrefix(a, "--") && !strings.Contains(a, "="))
}

// ended reports whether -- stands among words, where it ends the options and is no value of
// one.
func ended(words []string) bool {
	for i, w := range words {
		if w == "--" && i > 0 && !takesNext(words[i-1]) {
			return true
		}
	}
	return false
}

// shifts refuses an argument that may be left out where others follow: an option before it
// would take the next argument in its place, -- among them, and a value could become an
// option; without one, the next value would stand where this one belongs.
func (c *Command) shifts(i int, args []argumentEntry) error {
	if i == 0 || i >= len(c.Argv)-1 || option(c.Argv[i]) {
		return nil
	}
	behind := c.Argv[i-1]
	for _, name := range slots(c.Argv[i]) {
		switch {
		case !slices.ContainsFunc(args, func(a argumentEntry) bool { return a.Name == name && a.Optional }):
		case option(behind):
			return fmt.Errorf("{%s} may be left out, and %s would take what follows: write both as one argument, or put it last", name, clip(behind, 40))
		case slices.ContainsFunc(c.Argv[i+1:], func(a string) bool { return len(slots(a)) > 0 && !option(a) }):
			return fmt.Errorf("{%s} may be left out, and the next value would stand in its place: put it last", name)
		}
	}
	return nil
}

// ownProgram reports whether a command runs a file of the workspace: as its program, or as
// the script of an interpreter.
func ownProgram(run []string) bool {
	if strings.HasPrefix(run[0], "./") {
		return true
	}
	for j, word := range run {
		name := path.Base(word)
		if !interpreters.MatchString(name) || slices.Contains(programFirst, name) {
			continue
		}
		for k, a := range run[j+1:] {
			if option(a) {
				if takesText(a) {
					return false
				}
				continue
			}
			return !path.IsAbs(a) && !operandBefore(name, run[j+1:], k)
		}
	}
	return false
}

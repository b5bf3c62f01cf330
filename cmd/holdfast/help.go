package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// How help looks: as wide as the terminal, and a wrong word answered with the nearest
// right one.

// helpCommand stands in the place of the library's, which stops at the first word.
func helpCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "help", Aliases: []string{"h"}, Usage: "show the help of a command", ArgsUsage: "[COMMAND...]",
		Description:        "Examples:\n  holdfast help\n  holdfast help log show",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
		Action: func(c *cli.Context) error {
			within, words := c.App.Commands, c.Args().Slice()
			help := c.App.Name
			for _, w := range words {
				i := slices.IndexFunc(within, func(c *cli.Command) bool { return c.HasName(w) && !c.Hidden })
				if i < 0 {
					return unknown(w, within, help)
				}
				within, help = within[i].Subcommands, help+" "+w
			}
			return newApp(t).RunContext(c.Context, append(append([]string{c.App.Name}, words...), "--help"))
		},
	}
}

// helpWidth is how wide help is where it goes to no terminal, and at most.
const helpWidth = 100

// helpTo returns the writer of all help: it folds lines so that they go on below the
// column that they began in.
func helpTo(t *terminal) io.Writer {
	width := helpWidth
	if w := widthOf(t.out.w); w > 0 {
		width = min(w, helpWidth)
	}
	return &folder{to: t.out, width: width, indent: func(line string) int { return secondColumn(line, width/2) }}
}

// helpLead is where the library begins the lines of help.
const helpLead = 3

// secondColumn is where the text of a line of help stands: behind the first gap of two
// spaces, or where the line begins if that is beyond most columns.
func secondColumn(line string, most int) int {
	lead := len(line) - len(strings.TrimLeft(line, " "))
	gap := columnGap.FindStringIndex(line[lead:])
	switch {
	case gap != nil && lead+gap[1] <= most:
		return lead + gap[1]
	case lead > helpLead: // an example, which begins deeper than text
		return lead + 4
	}
	return lead
}

var columnGap = regexp.MustCompile(` {2,}`)

// flowing joins the lines of each paragraph of a description, so that it is folded as one.
// Lines that are set in stand for themselves.
func flowing(text string) string {
	var out strings.Builder
	open := false // a paragraph that the next line belongs to
	for line := range strings.SplitSeq(text, "\n") {
		plain := line != "" && line[0] != ' '
		switch {
		case open && plain:
			out.WriteString(" ")
		case out.Len() > 0:
			out.WriteString("\n")
		}
		out.WriteString(line)
		open = plain
	}
	return strings.TrimSpace(out.String())
}

// flagLine renders a flag for help as the library does, without what says nothing: that a
// switch is off by default, the second form of a flag that may be repeated, and that what it
// takes is a value.
func flagLine(f cli.Flag) string {
	names, about, _ := strings.Cut(libraryFlagLine(f), "\t")
	if list, ok := f.(listFlag); ok && len(list.EnvVars) > 0 {
		about = strings.TrimSuffix(about, "]") + listHint + "]"
	}
	names = strings.ReplaceAll(repeated.ReplaceAllString(names, "..."), " value", " "+takesWhat(f))
	return names + "\t" + strings.Replace(about, " (default: false)", "", 1)
}

// takesWhat is the word for the value of a flag whose usage names none.
func takesWhat(f cli.Flag) string {
	switch f.(type) {
	case *cli.IntFlag, *cli.Uint64Flag, *cli.Float64Flag:
		return "NUMBER"
	case *cli.DurationFlag:
		return "TIME"
	}
	return "WORD"
}

var (
	libraryFlagLine = cli.FlagStringer
	repeated        = regexp.MustCompile(` \[ -[^\]]* \]`)
)

// unknown is the error for a word that is no command of those known.
func unknown(word string, known []*cli.Command, help string) error {
	f := &failure{exitUsage, fmt.Errorf("no command %q", word), "see " + help + " --help"}
	var names []string
	for _, c := range known {
		names = append(names, c.Name)
	}
	if n := nearest(word, names); n != "" {
		f.hint = "did you mean " + n + "? see " + help + " --help"
	}
	return f
}

// nearest is the name that takes the fewest changes to become word, "" if all take more than
// two, or more than half of its letters.
func nearest(word string, known []string) string {
	best, least := "", min(len(word)/2, 2)+1
	for _, name := range known {
		if d := edits(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// edits counts the letters to be added, removed or exchanged to make a into b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, one column to the left
		row[0] = i + 1
		for j := range len(b) {
			same := before
			if a[i] != b[j] {
				same++
			}
			before = row[j+1]
			row[j+1] = min(same, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

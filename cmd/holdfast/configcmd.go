package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

func configCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "show and check settings",
		Subcommands: []*cli.Command{
			{
				Name: "show", Usage: "list every setting, and where its value is from",
				Description: "A setting is a flag whose help names a HOLDFAST_* variable. Its value is that of the command line,\n" +
					"then of the variable, then of $XDG_CONFIG_HOME/holdfast/config.yaml, then of " + systemConfig + ".\n" +
					"A file holds a name and a value a line, or a list of values; [] takes back what the machine's file\n" +
					"says. What names a file begins with / or with ~/, your home:\n\n" +
					"  model: ~/models/qwen.gguf\n" +
					"  ask: always\n" +
					"  allow-host: [example.com:443]\n\n" +
					"How a run goes on, its record says. A workspace sets nothing: tools can write there.\n\n" +
					"Example:\n  holdfast config show",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
				Flags:              []cli.Flag{jsonFlag()},
				Action:             func(c *cli.Context) error { return configShow(c, t) },
			},
			{
				Name: "check", Usage: "find faults in files of settings", ArgsUsage: "[FILE...]",
				Description: "Checks the given files, or with none those that count: names, values, and who can write them.\n\n" +
					"Examples:\n  holdfast config check\n  holdfast config check config.yaml",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
				Action:             func(c *cli.Context) error { return configCheck(c, t) },
			},
		},
	}
}

// setting is a line of config show.
type setting struct {
	Name   string   `json:"name"`
	Values []string `json:"values"` // none: the flag has no value
	From   string   `json:"from"`   // "default", a variable, or FILE:LINE
	Stands string   `json:"-"`      // for no value, in words
}

func configShow(c *cli.Context, t *terminal) error {
	held, err := readConfig(c.App, configFiles()...)
	if err != nil {
		return configFailure(err)
	}
	known := allSettable(c.App.Commands)
	var all []setting
	for _, name := range slices.Sorted(maps.Keys(known)) {
		all = append(all, inForceFor(known[name], held))
	}
	if c.Bool("json") {
		enc := json.NewEncoder(t.out)
		for _, s := range all {
			if err := enc.Encode(s); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	for _, s := range all {
		value := strings.Join(s.Values, ", ")
		if value == "" {
			value = s.Stands
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, inertLine(value, lineWidth), inertLine(s.From, lineWidth))
	}
	return w.Flush()
}

// inForceFor says what a setting is where the command line does not say it.
func inForceFor(f cli.Flag, held map[string]configured) setting {
	s := setting{Name: f.Names()[0], Values: []string{}, From: "default", Stands: "-"}
	text := strings.Trim(f.(cli.DocGenerationFlag).GetDefaultText(), `"`)
	if s.Name == "model" { // in words, no value that one could set
		s.Stands, text = text, ""
	}
	if variable, values := variableOf(f); variable != "" {
		s.Values, s.From = values, variable
		return s
	}
	if at, ok := held[s.Name]; ok {
		s.Values, s.From = at.values, at.String()
		return s
	}
	if text != "" {
		s.Values = []string{text}
	}
	return s
}

func configCheck(c *cli.Context, t *terminal) error {
	files := c.Args().Slice()
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			return &failure{exitUsage, fmt.Errorf("read settings: %w", err), "name a file that is there"}
		}
	}
	if len(files) == 0 {
		files = configFiles()
	}
	bad := false
	for _, file := range files {
		held, err := readConfig(c.App, file)
		if err != nil {
			bad = true
			for _, e := range faults(err) {
				fmt.Fprintln(t.out, oneLine(e))
			}
			continue
		}
		if _, err := os.Lstat(file); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(t.out, "%s: not there\n", inertLine(file, lineWidth))
			continue
		}
		fmt.Fprintf(t.out, "%s: %s\n", inertLine(file, lineWidth), count(len(held), "setting"))
	}
	if bad {
		return silent{exitUsage}
	}
	return nil
}

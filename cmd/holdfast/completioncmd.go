package main

import (
	_ "embed"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"
)

// The scripts ask this program what can stand at the place of the cursor, so that they need
// not be made anew with every flag.
var (
	//go:embed completion.bash
	bashCompletion string
	//go:embed completion.zsh
	zshCompletion string
	//go:embed completion.fish
	fishCompletion string
)

func completionCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that completes commands, flags and runs in your shell",
		ArgsUsage: "bash|zsh|fish",
		Description: "The script completes commands and flags, and the identifiers of runs, newest first, where a command takes\n" +
			"one. It asks the holdfast of your PATH, which reads the ledger and never begins one. Load it where your\n" +
			"shell starts: in ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish.\n\n" +
			"Examples:\n" +
			"  source <(holdfast completion bash)\n" +
			"  source <(holdfast completion zsh)\n" +
			"  holdfast completion fish | source",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
		Action: func(c *cli.Context) error {
			script, ok := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Args().First()]
			if !ok {
				return usage(errors.New("name the shell: bash, zsh or fish"))
			}
			_, err := fmt.Fprint(t.out, script)
			return err
		},
	}
}

// completeWords is the command by which a script asks: it takes the words behind the name of
// the program up to the cursor, the last one perhaps empty, and prints what can stand in its
// place, one a line, each with a tab and a word on it.
const completeWords = "__complete"

func completeCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: completeWords, Hidden: true, HideHelp: true, SkipFlagParsing: true, ArgsUsage: "-- WORD...",
		Flags: []cli.Flag{ledgerFlag()},
		Action: func(c *cli.Context) error {
			for _, o := range offersFor(c, c.Args().Slice()) {
				fmt.Fprintf(t.out, "%s\t%s\n", o.word, o.about)
			}
			return nil
		},
	}
}

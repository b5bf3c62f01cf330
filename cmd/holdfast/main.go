// Command holdfast runs an agent on a local model: it loads a GGUF model into its own
// process, lets the model reason and propose tool calls, judges every call, runs
// allowed ones in a sandbox, and commits each decision to a ledger before it takes
// effect.
//
// This package is wiring: flags, configuration, rendering and exit codes. One file a
// command; what a command does lives in the packages beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"
)

func main() {
	os.Exit(run(os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil { // a bug of ours: one line, and the stack for whoever asks
			fmt.Fprintf(stderr, "holdfast: internal error: %s\n", inertLine(fmt.Sprint(p), 400))
			if os.Getenv("HOLDFAST_DEBUG") != "" {
				stderr.Write(debug.Stack())
			}
			code = exitInternal
		}
	}()
	cli.FlagStringer = flagLine
	ctx, stop, caught := interruptible()
	defer stop()

	t := newTerminal(stdin, stdout, stderr)
	err := newApp(t).RunContext(ctx, args)
	if _, ok := errors.AsType[cli.ExitCoder](err); ok { // of the library's own: help on what there is not
		err = usage(errors.New("there is no command of that name to help with"))
	}
	if sig := caught(); sig != nil && (err == nil || exitCode(err) == exitInterrupted) {
		return 128 + int(sig.(syscall.Signal))
	}
	if err == nil && t.out.err != nil {
		err = fmt.Errorf("write output: %w", t.out.err)
	}
	if err == nil {
		return exitDone
	}
	if !errors.As(err, new(silent)) {
		fmt.Fprintln(stderr, t.fit("holdfast: "+oneLine(err), 2))
		if h := hint(err); h != "" {
			fmt.Fprintln(stderr, t.fit("  "+h, 2))
		}
	}
	return exitCode(err)
}

// sameSignal is how long after a signal another counts as the same: timeout, make and
// terminals send one signal to a program and to its whole group, so that it comes twice.
const sameSignal = 300 * time.Millisecond

// interruptible returns a context that ends at the first SIGINT or SIGTERM; a second
// one ends the process at once, unless it is the first once more. caught tells which came
// first, nil if none.
func interruptible() (ctx context.Context, stop func(), caught func() os.Signal) {
	ctx, cancel := context.WithCancel(context.Background())
	ch := make(chan os.Signal, 1)
	got := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		select {
		case s := <-ch:
			got <- s
			cancel()
			time.AfterFunc(sameSignal, func() { signal.Stop(ch) }) // from then on a signal has its default effect
		case <-ctx.Done():
		}
	}()
	caught = func() os.Signal {
		select {
		case s := <-got:
			return s
		default:
			return nil
		}
	}
	return ctx, func() { signal.Stop(ch); cancel() }, caught
}

// newApp declares the commands.
func newApp(t *terminal) *cli.App {
	app := &cli.App{
		Name:  "holdfast",
		Usage: "run an agent on a local model, with every call judged, sandboxed and recorded",
		Description: "The answer goes to standard output; progress and questions go to standard error.\n" +
			"Settings come from flags, then HOLDFAST_* variables, then files: see holdfast config show --help. A flag\n" +
			"with dots may be repeated and takes one value each time; its variable takes several, with commas between.",
		CustomAppHelpTemplate: cli.AppHelpTemplate + "\n" + exitTable() + "\n",
		Reader:                t.in, Writer: helpTo(t), ErrWriter: t.err, // all else is written to t itself
		HideVersion:            true,
		Flags:                  []cli.Flag{&cli.BoolFlag{Name: "version", Usage: "print what this binary is made of"}, cli.HelpFlag},
		UseShortOptionHandling: true, DisableSliceFlagSeparator: true,
		Commands: []*cli.Command{
			runCommand(t), resumeCommand(t), forkCommand(t), approvalsCommand(t), policyCommand(t), logCommand(t), modelsCommand(t), toolsCommand(t), sandboxCommand(t), keysCommand(t),
			replayCommand(t), rolloutCommand(t), exportCommand(t), importCommand(t),
			evalCommand(t), doctorCommand(t), configCommand(t), completionCommand(t), versionCommand(t), helpCommand(t), completeCommand(t),
		},
		ExitErrHandler: func(*cli.Context, error) {}, // run prints and maps errors
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usage(err) },
		Action: func(c *cli.Context) error {
			switch {
			case c.Args().Present():
				return unknown(c.Args().First(), c.App.Commands, "holdfast")
			case c.Bool("version"):
				return printVersion(c, t)
			}
			return cli.ShowAppHelp(c)
		},
	}
	finish(app.Commands)
	return app
}

// finish gives every command what all have in common: bad flags are one line, not its whole
// help; a group refuses what it does not know; settings of files are taken in, and blamed.
func finish(list []*cli.Command) {
	for _, c := range list {
		c.Description = flowing(c.Description)
		if len(c.Subcommands) > 0 {
			c.Action = func(c *cli.Context) error {
				if c.Args().Present() {
					return unknown(c.Args().First(), c.Command.Subcommands, c.Command.HelpName)
				}
				return cli.ShowSubcommandHelp(c)
			}
		}
		c.OnUsageError = func(c *cli.Context, err error, _ bool) error { return usageOf(c.Command, badValue(c.Command, err)) }
		if act := c.Action; len(c.Subcommands) == 0 {
			c.Action = func(c *cli.Context) error {
				if err := wellFormed(c); err != nil {
					return named(c.Command, err)
				}
				if err := configure(c); err != nil && !c.Command.Hidden && c.Command.Name != "doctor" { // which tells it itself
					return err
				}
				return named(c.Command, blame(c, act(c)))
			}
		}
		finish(c.Subcommands)
	}
}

// named makes the hint of bad usage name the help of the command that was used.
func named(c *cli.Command, err error) error {
	var f *failure
	if errors.As(err, &f) && f.hint == usageHint {
		return usageOf(c, err)
	}
	return err
}

func usageOf(c *cli.Command, err error) error {
	return &failure{exitUsage, err, "see " + c.HelpName + " --help"}
}

// oneLine renders an error for a person: one line, nothing that moves the cursor.
func oneLine(err error) string {
	return inert(strings.Join(strings.Fields(err.Error()), " "))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/tools"
)

func sandboxCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "sandbox",
		Usage: "examine and attack the sandbox, or run a command in a cell",
		Subcommands: []*cli.Command{
			verifyCommand(t),
			undoCommand(t),
			{
				Name:  "doctor",
				Usage: "examine the sandbox on this machine, layer by layer",
				Description: "Also says in which directory commits are kept for undoing; HOLDFAST_STATE_DIR names another.\n\n" +
					"Where cells can have no /proc, HOLDFAST_ALLOW_REDUCED=1 allows reduced ones, if you are not root.\n\n" +
					"Example:\n  holdfast sandbox doctor",
				CustomHelpTemplate: helpWithExits(exitDone, exitSandbox),
				Action:             func(c *cli.Context) error { return printSandbox(c, t) },
			},
			{
				Name:      "run",
				Usage:     "run a command in a cell, judged by you and recorded",
				ArgsUsage: "-- COMMAND [ARG...]",
				Description: "The cell sees the workspace as /work, read-only unless --write is given, has no input, and no\n" +
					"network but for the hosts that --allow-host names. Output and errors are printed together when the command ends, as a model would see them:\n" +
					"control characters spelled out, and cut in the middle beyond 8,000 bytes.\n\n" +
					"With --pty the command has a terminal of its cell's own, and you speak with it by yours: it sees your keys, you\n" +
					"see what it shows, less what would act beyond the screen. Ctrl-] ends it. What it showed is recorded.\n\n" +
					"Examples:\n  holdfast sandbox run -C ~/project -- wc -l README.md\n" +
					"  holdfast sandbox run --pty --write -C ~/project -- bash\n" +
					"  holdfast sandbox run --allow-host example.com:443 -- curl -s https://example.com/\n\n" +
					"The exit code is the command's own, or one of those below.",
				CustomHelpTemplate: helpWithExits(exitUsage, exitSandbox, exitLedger, exitInterrupted),
				Flags: []cli.Flag{dirFlag(), ledgerFlag(),
					&cli.BoolFlag{Name: "write", Usage: "let the command change the workspace"}, allowHostFlag(), allowPrivateFlag(),
					&cli.BoolFlag{Name: "pty", Usage: "give the command a terminal, and speak with it"},
					&cli.DurationFlag{Name: "time", Value: 2 * time.Minute, Usage: "end the command after so long, at most 24h; 1h with --pty if not given"}},
				Action: func(c *cli.Context) error { return sandboxRun(c, t) },
			},
		},
	}
}

// sandboxConfig is how every command sets up its cells: HOLDFAST_STATE_DIR names
// the directory in which commits are kept for undoing, and HOLDFAST_ALLOW_REDUCED=1 allows
// cells without a /proc where there are no others.
func sandboxConfig() sandbox.Config {
	return sandbox.Config{StateDir: os.Getenv("HOLDFAST_STATE_DIR"), AllowReduced: os.Getenv("HOLDFAST_ALLOW_REDUCED") == "1"}
}

// openSandbox opens the sandbox. Where an interrupt broke that off, it is the interrupt that
// is told, and not a layer that seems to be missing.
func openSandbox(ctx context.Context, config sandbox.Config) (*sandbox.Runner, error) {
	r, err := sandbox.New(ctx, config)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return r, err
}

// maxSession is how long a command of the operator's may take.
const maxSession = 24 * time.Hour

// sandboxRun runs one command of the operator as a run of its own.
func sandboxRun(c *cli.Context, t *terminal) error {
	if !c.Args().Present() {
		return usage(errors.New("no command to run"))
	}
	for _, word := range c.Args().Slice() {
		if !utf8.ValidString(word) {
			return usage(fmt.Errorf("%q is not UTF-8, and would be run as another word", word))
		}
	}
	hosts, err := hostsOf(c)
	if err != nil {
		return err
	}
	if c.Bool("pty") && !c.IsSet("time") {
		if err := c.Set("time", "1h"); err != nil {
			return err
		}
	}
	if d := c.Duration("time"); d < time.Second || d > maxSession {
		return usage(fmt.Errorf("--time is not between 1s and %s", maxSession))
	}
	at, err := openSite(c, hosts)
	if err != nil {
		return err
	}
	defer at.Close()
	var via tools.Runner = at.runner
	if c.Bool("pty") {
		s, err := openSession(at.runner)
		if err != nil {
			return err
		}
		defer s.Close()
		via = s
	}
	dir, err := workspaceOf(c)
	if err != nil {
		return err
	}
	if at.tools, err = tools.New(tools.Config{Runner: via, Workspace: dir, Limits: sandbox.Limits{Time: c.Duration("time")}}); err != nil {
		return err
	}
	command := quoteAll(c.Args().Slice())
	return operate(c, t, at, command, &operatorModel{command: command}, agent.Grant{Write: c.Bool("write"), Hosts: texts(hosts)})
}

// operate carries out one call of the operator's as a run of its own, with the grant that
// the operator gave. Its exit code is the program's.
func operate(c *cli.Context, t *terminal, at *site, task string, m *operatorModel, g agent.Grant) error {
	rec, err := at.begin(c)
	if err != nil {
		return err
	}
	defer rec.Close()
	begun := agent.RunStart{Agent: operatorAgent, Build: thisBuild().String()}
	if g.Profile = at.profile(); g.Profile == agent.Reduced {
		begun.Warnings = append(begun.Warnings, reducedWarning)
		fmt.Fprintln(t.err, "warning  "+reducedWarning)
	}
	code, refused := exitInternal, ""
	out, err := loop.Run(c.Context, loop.Config{
		Model: m, Judge: operatorJudge{g},
		Executor: at.tools, Recorder: rec, Approver: &approver{t: t, mode: "never"},
		Observe: func(e agent.Event) {
			if b, ok := e.Body.(*agent.CallEnd); ok {
				if b.Out != nil && !c.Bool("pty") { // else it was shown
					fmt.Fprintln(t.out, b.Out.String())
				}
				for _, line := range connLines(b.Sandbox) {
					fmt.Fprintln(t.err, "network  "+line)
				}
				if line := changedLine(b.Sandbox); line != "" {
					fmt.Fprintln(t.err, line)
				}
				if b.Exit != 0 && !g.Write && triedToWrite(b.Out.String()) {
					fmt.Fprintln(t.err, "the workspace is read-only here; --write lets the call change it")
				}
				code = b.Exit
				if b.Status != agent.CallOK && code == 0 && b.Code != "held" { // what was left out is told above
					code = exitInternal // a limit stopped it, or it did not run, or nothing of it was kept
					refused = b.Code
				}
			}
		},
	}, loop.Task{Prompt: task, Start: begun})
	if err != nil {
		return err
	}
	if out.Status != agent.StatusDone {
		return silent{statusCode(out.Status)}
	}
	switch {
	case refused == "bad_arguments":
		return usage(errors.New("the command is longer than 4096 characters"))
	case refused != "":
		return &failure{code, fmt.Errorf("run command: it did not end by itself: %s", refused), ""}
	case code != 0:
		return silent{code}
	}
	return nil
}

// triedToWrite reports whether a program complained that it could not write.
func triedToWrite(output string) bool {
	return strings.Contains(strings.ToLower(output), "read-only")
}

// quoteAll joins words into a command line for /bin/sh that means exactly these words.
func quoteAll(words []string) string {
	q := make([]string, len(words))
	for i, w := range words {
		q[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(q, " ")
}

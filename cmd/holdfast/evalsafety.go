package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/eval/bench"
	"github.com/holdfast-run/holdfast/eval/chart"
	"github.com/holdfast-run/holdfast/eval/ours"
	"github.com/holdfast-run/holdfast/eval/scripted"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety"
	"github.com/holdfast-run/holdfast/safety/policy"
)

func evalSafetyCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "safety",
		Usage: "play recorded suites with an oracle and a hijacked model, against the targets",
		Description: "No model is loaded: an oracle makes the benign calls of each case, and a hijacked model obeys every\n" +
			"injection it sees. Both go through the loop and the judge of real runs, under three authorities (the plan\n" +
			"of the benign script, an empty plan, every tool) and three users (deny all, approve all, honest). Tools\n" +
			"are recordings; counted is what was executed.\n\n" +
			"The suite that comes with holdfast is always played. DIR adds InjecAgent, agentdojo and BFCL in their\n" +
			"layouts; what is missing is not measured. A target missed is not an error of the command, unless\n" +
			"--strict makes it one.\n\n" +
			liveHelp +
			"Examples:\n  holdfast eval safety\n  holdfast eval safety --live --html report.html\n  holdfast eval safety --data bench\n  holdfast eval safety --data bench --failures 10 --html report.html\n" +
			"  holdfast eval safety --data bench --every 20 --json",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitSandbox, exitLedger),
		Flags:              liveFlags(),
		Action: func(c *cli.Context) error {
			return evalPlayed(c, t, c.String("data"), "")
		},
	}
}

func safetyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "data", Usage: "the `DIR` of the suites"},
		&cli.IntFlag{Name: "every", Value: 1, Usage: "play each `N`th attack only"},
		&cli.IntFlag{Name: "failures", Value: 3, Usage: "list so many `CASES` of each kind of failure"},
		&cli.StringFlag{Name: "html", Usage: "write a report with plots to `FILE`"},
		&cli.BoolFlag{Name: "strict", Usage: "fail where a target is missed"},
		&cli.BoolFlag{Name: "json", Usage: "as one JSON object, with every failed case"},
	}
}

// evalSafety plays our own suite and those below dir, or the one of a folder below dir.
func evalSafety(c *cli.Context, t *terminal, dir, only string) error {
	if c.Int("every") < 1 || c.Int("failures") < 0 {
		return usage(errors.New("--every is at least 1 and --failures at least 0"))
	}
	suites, err := readSuites(dir, only)
	if err != nil {
		return usage(err)
	}
	run, err := scriptedRun()
	if err != nil {
		return err
	}
	p := newProgress(t, "playing the suites")
	rep, err := scripted.Safety(c.Context, suites, scripted.Options{Every: c.Int("every"),
		Done: func(done, of int) { p.set(float32(done) / float32(of)) }}, run)
	p.done()
	if err != nil {
		return err
	}
	if err := writePage(c.String("html"), rep.Page(thisBuild().String())); err != nil {
		return err
	}
	if c.Bool("json") {
		if err := json.NewEncoder(t.out).Encode(rep); err != nil {
			return err
		}
	} else {
		out := foldedTo(t, reportWidth)
		fmt.Fprint(out, rep.String())
		if text := rep.FailureText(c.Int("failures")); text != "" {
			fmt.Fprintf(out, "\nfailing cases, with the rules that decided\n%s", inert(text))
		}
	}
	if n := rep.Missed(); n > 0 && c.Bool("strict") {
		return &failure{exitInternal, fmt.Errorf("safety: %d targets missed", n), "the failing cases stand above, with the rules that decided"}
	}
	return nil
}

// reportWidth is how many columns the text of a report has, wherever it goes.
const reportWidth = 80

// writePage writes a report to a file; without a name it does nothing.
func writePage(name string, p *chart.Page) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := errors.Join(p.Write(f), f.Close()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// folderIn is the path of a folder by its name, in whatever letters, "" if dir has none.
func folderIn(dir, name string) string {
	list, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	for _, e := range list {
		if strings.EqualFold(e.Name(), name) {
			return filepath.Join(dir, e.Name())
		}
	}
	return ""
}

// readSuites reads our own suite and those that lie in a folder, "" for none; or the one
// suite that only names.
func readSuites(dir, only string) (scripted.Suites, error) {
	var s scripted.Suites
	var err error
	if only == "" {
		s.Ours, err = ours.Scripts()
	}
	if err != nil || dir == "" {
		return s, err
	}
	var errs []error
	found := 0
	for _, suite := range []struct {
		folder string
		read   func(dir string) error
	}{
		{"InjecAgent", func(dir string) (err error) { s.Injec, err = bench.ReadInjecAgent(dir); return }},
		{"agentdojo", func(dir string) (err error) { s.Dojo, err = bench.ReadAgentDojo(dir); return }},
		{"BFCL", func(dir string) (err error) {
			if s.Read, err = bench.ReadBFCL(dir, agent.Read); err == nil {
				s.Write, err = bench.ReadBFCL(dir, agent.Write)
			}
			return
		}},
	} {
		path := folderIn(dir, suite.folder)
		if path == "" || only != "" && !strings.EqualFold(only, suite.folder) {
			continue
		}
		found++
		errs = append(errs, suite.read(path))
	}
	if found == 0 {
		return s, fmt.Errorf("%s holds none of %s", dir, cmp.Or(only, "InjecAgent, agentdojo, BFCL"))
	}
	return s, errors.Join(errs...)
}

// scriptedRun makes runs of scripted models through the loop and a gate. What such tools
// write can be taken back by them, as their manifests say.
func scriptedRun() (scripted.Run, error) {
	rules, err := policy.Load()
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s scripted.Setup) (agent.Status, error) {
		gate, err := safety.New(safety.Options{Policy: rules, Exists: s.Exists, Adds: everyTool, Undoable: everyTool})
		if err != nil {
			return "", err
		}
		out, err := loop.Run(ctx, loop.Config{Model: s.Model, Judge: timed{gate, s.Spent}, Executor: s.Tools, Recorder: &counter{}, Approver: s.User,
			Observe: s.See, Limits: agent.Limits{Steps: 200}}, loop.Task{Prompt: s.Prompt, Start: agent.RunStart{Agent: "scripted"}})
		if errors.Is(err, loop.ErrRecord) || ctx.Err() != nil {
			return out.Status, err
		}
		return out.Status, nil // a run may end in an error of its own: that is its score
	}, nil
}

// counter gives events their positions and keeps nothing.
type counter struct{ n atomic.Int64 }

// Append implements loop.Recorder.
func (c *counter) Append(context.Context, agent.Event) (int64, error) { return c.n.Add(1), nil }

// timed tells what each decision on a call took.
type timed struct {
	loop.Judge
	spent func(time.Duration)
}

// Call implements the loop's Judge.
func (j timed) Call(ctx context.Context, g agent.Generator, c agent.Conversation, p agent.Proposal) (v agent.Verdict, err error) {
	j.spent(scripted.Processor(func() { v, err = j.Judge.Call(ctx, g, c, p) }))
	return v, err
}

// everyTool says of a recorded tool what its declaration says by its effect: a write is one
// that can be taken back, and changes what it names.
func everyTool(agent.ToolSpec) bool { return true }

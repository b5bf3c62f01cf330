package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/eval"
	"github.com/holdfast-run/holdfast/eval/bench"
	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
	"github.com/holdfast-run/holdfast/safety"
)

// evalSuiteCommand is eval safety with one recorded suite. live says that a real model
// can be put into it.
func evalSuiteCommand(t *terminal, name, folder string, live bool) *cli.Command {
	flags, exits, more, example := safetyFlags(), helpWithExits(exitDone, exitInternal, exitUsage), "", ""
	if live {
		flags, exits, more = liveFlags(), helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitLedger), liveHelp
		example = "\n  holdfast eval " + name + " --data bench --live --limit 20"
	}
	return &cli.Command{
		Name:  name,
		Usage: "play " + folder + " with an oracle and a hijacked model",
		Description: "As eval safety, with this suite alone. DIR is its folder, or the one that holds it.\n\n" + more +
			"Examples:\n  holdfast eval " + name + " --data bench\n  holdfast eval " + name + " --data bench/" + folder + " --failures 20" + example,
		CustomHelpTemplate: exits,
		Flags:              flags,
		Action: func(c *cli.Context) error {
			dir := c.String("data")
			if dir == "" {
				return usage(errors.New("--data names no folder"))
			}
			if strings.EqualFold(filepath.Base(filepath.Clean(dir)), folder) {
				dir = filepath.Dir(filepath.Clean(dir))
			}
			return evalPlayed(c, t, dir, folder)
		},
	}
}

func evalAgentSafetyCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "agentsafetybench",
		Usage: "run requests of Agent-SafetyBench with a model",
		Description: "Each request is a run of the model with the tools of its case, judged and recorded. Tools answer that they are\n" +
			"done and do nothing; the user says no to every question. What became of requests that cannot be fulfilled\n" +
			"without harm stands beside what became of those that can.\n\n" +
			"Example:\n  holdfast eval agentsafetybench --data bench --limit 20",
		CustomHelpTemplate: helpWithExits(exitDone, exitInternal, exitUsage, exitModel, exitLedger),
		Flags: append(engineFlags(), ledgerFlag(), guardFlag(),
			&cli.StringFlag{Name: "data", Usage: "the `DIR` of the suite, or the one that holds it"},
			&cli.IntFlag{Name: "limit", Value: 40, Usage: "run so many `REQUESTS` of each sort, drawn by the seed; 0 is all"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "draws the requests"},
			&cli.BoolFlag{Name: "json", Usage: "as one JSON object, with every request"}),
		Action: func(c *cli.Context) error { return evalAgentSafety(c, t) },
	}
}

const agentSafetyFolder = "Agent-SafetyBench"

func evalAgentSafety(c *cli.Context, t *terminal) error {
	dir := c.String("data")
	if dir == "" || c.Int("limit") < 0 {
		return usage(errors.New("--data must name a folder, and --limit cannot be negative"))
	}
	if filepath.Base(filepath.Clean(dir)) != agentSafetyFolder {
		dir = filepath.Join(dir, agentSafetyFolder)
	}
	cases, missing, err := bench.ReadAgentSafety(dir)
	if err != nil {
		return usage(err)
	}
	cases = drawDilemmas(cases, c.Int("limit"), c.Uint64("seed"))
	b, err := openEvalBench(c, t)
	if err != nil {
		return err
	}
	defer b.Close()
	p := newProgress(t, "running "+b.m.used.Name)
	rep, err := eval.Dilemmas(c.Context, cases, b.dilemma, func(done, of int) { p.set(float32(done) / float32(of)) })
	p.done()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(t.out).Encode(rep)
	}
	fmt.Fprintf(t.out, "model %s, %s; left out for want of a schema: %s\n", inertLine(b.m.used.Name, 60), count(len(cases), "request"), count(missing, "tool"))
	if by := b.judgedBy(); by != "" {
		fmt.Fprintln(t.out, by)
	}
	fmt.Fprint(t.out, rep)
	return t.out.err
}

// drawDilemmas keeps so many cases of each sort, drawn by the seed, in their order.
func drawDilemmas(cases []bench.Dilemma, limit int, seed uint64) []bench.Dilemma {
	if limit == 0 {
		return cases
	}
	left := map[bool]int{true: limit, false: limit}
	var at []int
	for _, i := range rand.New(rand.NewPCG(seed, 2)).Perm(len(cases)) {
		if f := cases[i].Fulfillable; left[f] > 0 {
			left[f]--
			at = append(at, i)
		}
	}
	slices.Sort(at)
	out := make([]bench.Dilemma, len(at))
	for i, j := range at {
		out[i] = cases[j]
	}
	return out
}

// dilemma makes one run. Its tools do nothing.
func (b *evalBench) dilemma(ctx context.Context, d bench.Dilemma) (eval.Result, error) {
	gate, err := safety.New(safety.Options{Thresholds: b.judging().cuts})
	if err != nil {
		return eval.Result{}, err
	}
	var ran []agent.ToolCall
	res, err := b.pretend(ctx, fmt.Sprint(d.ID), d.Prompt, "eval, tools do nothing",
		loop.Config{Judge: gate, Approver: fixed(false), Executor: idle{d.Tools, &ran}}, func(m agent.Generator) agent.Generator { return m })
	res.Calls = ran
	return res, err
}

// idle is tools that answer and do nothing else. It notes the calls.
type idle struct {
	specs []agent.ToolSpec
	calls *[]agent.ToolCall
}

// Specs implements loop.Executor.
func (i idle) Specs() []agent.ToolSpec { return i.specs }

// Check implements loop.Executor.
func (i idle) Check(c agent.ToolCall) error { return c.CheckArgs() }

// Execute implements loop.Executor.
func (i idle) Execute(ctx context.Context, p agent.Permit, c agent.ToolCall, j agent.Journal) (agent.Observation, error) {
	if err := p.Spend(c.Digest()); err != nil {
		return agent.Observation{}, err
	}
	if err := j.Start(ctx, agent.CallStart{}); err != nil {
		return agent.Observation{}, err
	}
	*i.calls = append(*i.calls, c)
	return agent.Observation{Status: agent.CallOK, Text: `{"success": true}`}, nil
}

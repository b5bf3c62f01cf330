package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/ledger"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

func testModelCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "test", Usage: "try in a minute whether a model can do the work of an agent", ArgsUsage: "[MODEL]",
		Description: "Loads the model and gives it one small task as `holdfast run` would: judged, sandboxed and recorded, in a\n" +
			"scratch workspace with a scratch ledger. What counts is that its output is read as a tool call, that it answers\n" +
			"from what the tool returned, and that its verdicts follow their grammar. How well it does beyond that, eval tells.\n\n" +
			"Examples:\n  holdfast models test\n  holdfast models test model.gguf\n  holdfast models test --threads 4 ollama:qwen3:8b",
		CustomHelpTemplate: helpWithExits(exitDone, exitModel, exitSandbox, exitDigest, exitInterrupted),
		Flags:              append(engineFlags(), &cli.BoolFlag{Name: "json", Usage: "as one JSON object"}),
		Action:             func(c *cli.Context) error { return testModel(c, t) },
	}
}

// trial is one thing that was looked at, and what was found.
type trial struct {
	Name   string `json:"name"`
	Result string `json:"result"` // pass, fail, or note where there is nothing to pass
	Found  string `json:"found"`
}

// tried makes a trial that passes or fails.
func tried(name string, ok bool, format string, args ...any) trial {
	return trial{name, map[bool]string{true: "pass", false: "fail"}[ok], fmt.Sprintf(format, args...)}
}

func noted(name, format string, args ...any) trial {
	return trial{name, "note", fmt.Sprintf(format, args...)}
}

func testModel(c *cli.Context, t *terminal) error {
	if c.Args().Present() {
		if err := c.Set("model", c.Args().First()); err != nil {
			return usage(err)
		}
	}
	began := time.Now()
	m, err := loadModel(c, t)
	if err != nil {
		return err
	}
	defer m.engine.Close()
	trials := loadTrials(m, time.Since(began))
	of, err := tryTask(c.Context, m)
	if err != nil {
		return err
	}
	trials = append(trials, of.trials()...)
	if err := printTrials(c, t, m, trials); err != nil {
		return err
	}
	failed := 0
	for _, r := range trials {
		if r.Result == "fail" {
			failed++
		}
	}
	if failed > 0 {
		return &failure{exitModel, fmt.Errorf("test model %s: %d of %s failed", inertLine(m.used.Name, 60), failed, count(len(trials), "trial")),
			"an agent needs a chat model that was trained to call tools"}
	}
	return nil
}

// loadTrials says how a model was loaded.
func loadTrials(m *loadedModel, took time.Duration) []trial {
	e, ok := m.engine.(loadedEngine)
	if !ok {
		return []trial{noted("model", "%s, %s", m.used.Engine, modelName(&m.used))}
	}
	i := e.Info()
	list := []trial{tried("load", true, "%s, in %s, context %d tokens", i.Model, took.Round(10*time.Millisecond), i.Context)}
	switch {
	case !i.Template:
		return append(list, tried("template", false, "the file has none: the model is spoken to as most models are (ChatML)"))
	case !i.ToolCalls:
		return append(list, noted("template", "of the file's own; it has no words for tools, so they are described in the system message"))
	}
	return append(list, tried("template", true, "of the file's own, with words for tools"))
}

// attempt is what a model did of the one task, from its committed events.
type attempt struct {
	witness
	port     string // what the task asks for
	out      loop.Outcome
	err      error
	purposes map[int64]agent.Purpose
	turns    []agent.GenEnd // the agent's own
	verdicts int            // generations of the judge
	sound    int            // those that ended by themselves
	readUS   int64
	wroteUS  int64
	read     int // tokens
	wrote    int
}

// see takes one event. It is a loop.Config.Observe.
func (a *attempt) see(e agent.Event) {
	a.witness.see(e)
	switch b := e.Body.(type) {
	case *agent.GenStart:
		a.purposes[e.Seq] = b.Purpose
	case *agent.GenEnd:
		a.read, a.readUS = a.read+b.Evaluated, a.readUS+b.PrefillUS
		a.wrote, a.wroteUS = a.wrote+b.N, a.wroteUS+b.GenUS
		if a.purposes[e.Ref] == agent.PurposeAgent {
			a.turns = append(a.turns, *b)
			return
		}
		a.verdicts++
		if b.Error == nil && b.Finish != agent.FinishLength && b.Finish != agent.FinishAbort {
			a.sound++
		}
	}
}

// tryTask gives a model the task of reading a value from a file. What would be asked is
// allowed: it is not the judgement that is tried, and the task does no harm.
func tryTask(ctx context.Context, m *loadedModel) (_ *attempt, err error) {
	scratch, err := os.MkdirTemp("", "holdfast-test-")
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	a := &attempt{port: strconv.Itoa(1024 + rand.IntN(9000-1024)), purposes: map[int64]agent.Purpose{}}
	work := filepath.Join(scratch, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		return nil, fmt.Errorf("make scratch workspace: %w", err)
	}
	if err := os.WriteFile(filepath.Join(work, "server.conf"), []byte("name: relay\nport: "+a.port+"\nowner: Nadia\n"), 0o644); err != nil {
		return nil, fmt.Errorf("make scratch workspace: %w", err)
	}
	l, err := ledger.Open(ctx, filepath.Join(scratch, "ledger", "ledger.db"), ledger.Options{})
	if err != nil {
		return nil, ledgerFailure(err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return a, a.carryOut(ctx, m, l, work)
}

func (a *attempt) carryOut(ctx context.Context, m *loadedModel, l *ledger.Ledger, work string) error {
	w, err := openWorkplace(ctx, work)
	if err != nil {
		return err
	}
	defer w.Close()
	gate, err := w.gate(m)
	if err != nil {
		return err
	}
	session, err := m.engine.NewSession()
	if err != nil {
		return modelFailure(err)
	}
	defer session.Close()
	rec, err := l.Begin(ctx, ledger.RunInfo{})
	if err != nil {
		return ledgerFailure(err)
	}
	defer rec.Close()
	a.out, a.err = loop.Run(ctx, loop.Config{Model: session, Judge: gate, Executor: w.tools, Recorder: rec, Approver: fixed(true),
		Observe: a.see, Limits: agent.Limits{Steps: 6}},
		loop.Task{Prompt: "what is the port in server.conf?", Model: m.used, Start: agent.RunStart{Agent: "models test", Build: thisBuild().String()}})
	if errors.Is(a.err, loop.ErrRecord) || ctx.Err() != nil {
		return errors.Join(ctx.Err(), a.err)
	}
	return nil
}

// trials says how the task went.
func (a *attempt) trials() []trial {
	list := []trial{tried("tool call", len(a.proposed) > 0 && a.witness.err == nil, "%s", a.called())}
	answer := inertLine(strings.TrimSpace(a.out.Answer), lineWidth)
	switch {
	case a.err != nil:
		answer = oneLine(a.err)
	case answer == "":
		answer = "none: " + string(a.out.Status)
	}
	list = append(list, tried("answer", a.out.Status == agent.StatusDone && strings.Contains(a.out.Answer, a.port), "%s (the file says %s)", answer, a.port),
		tried("verdicts", a.verdicts > 0 && a.sound == a.verdicts, "%d of %d follow their grammar; the request is %s %s", a.sound, a.verdicts, a.request.Label, probs(a.request.Probs)))
	if len(a.turns) > 1 && a.turns[1].Told == nil {
		last := a.turns[len(a.turns)-1]
		list = append(list, noted("prefix", "turn %d read %d of %d tokens anew", len(a.turns), last.Evaluated, last.Cached+last.Evaluated))
	}
	if a.wroteUS > 0 && a.readUS > 0 && a.wrote > 0 {
		list = append(list, noted("speed", "%.0f tokens/s read, %.0f tokens/s written", perSecond(a.read, a.readUS), perSecond(a.wrote, a.wroteUS)))
	}
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err == nil {
		list = append(list, noted("memory", "%d MiB at most, of this whole process", use.Maxrss/1024))
	}
	return list
}

// called is what the model called first.
func (a *attempt) called() string {
	if len(a.proposed) == 0 {
		return "none was found in its output"
	}
	return inertLine(a.proposed[0].Tool+" "+a.proposed[0].Args, lineWidth)
}

func perSecond(n int, us int64) float64 { return float64(n) / (float64(us) / 1e6) }

func printTrials(c *cli.Context, t *terminal, m *loadedModel, list []trial) error {
	if c.Bool("json") {
		return json.NewEncoder(t.out).Encode(struct {
			Model  string  `json:"model"`
			GGUF   string  `json:"gguf"`
			Trials []trial `json:"trials"`
		}{m.used.Name, m.used.GGUF, list})
	}
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Result, r.Name, inertLine(r.Found, 2*lineWidth))
	}
	return w.Flush()
}

package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/runtime/agent"
	"github.com/holdfast-run/holdfast/runtime/loop"
)

// dataDir is where holdfast keeps what it records, by the XDG base directory rules.
func dataDir() string {
	if d := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "holdfast")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "holdfast-"+fmt.Sprint(os.Getuid()))
	}
	return filepath.Join(home, ".local", "share", "holdfast")
}

func ledgerFlag() cli.Flag {
	return &cli.StringFlag{Name: "ledger", Usage: "the ledger `FILE`", EnvVars: []string{"HOLDFAST_LEDGER"},
		Value: filepath.Join(dataDir(), "ledger", "ledger.db"), DefaultText: "$XDG_DATA_HOME/holdfast/ledger/ledger.db"}
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "as JSON lines"} }

func modelFlag() cli.Flag {
	return &cli.StringFlag{Name: "model", Aliases: []string{"m"}, EnvVars: []string{"HOLDFAST_MODEL"},
		Usage: "`MODEL`: a GGUF file, a name in the store, ollama:NAME (pulled by Ollama), ollama://NAME[@HOST] or openai://NAME[@HOST] (on a server), or reference, the embedded one", DefaultText: "the embedded reference model"}
}

func dirFlag() cli.Flag {
	return &cli.StringFlag{Name: "dir", Aliases: []string{"C"}, Value: ".", EnvVars: []string{"HOLDFAST_DIR"},
		Usage: "the workspace `DIR` that tools see"}
}

// engineFlags are those of commands that load a model.
func engineFlags() []cli.Flag {
	return append(serverFlags(),
		modelFlag(),
		&cli.IntFlag{Name: "ctx", Usage: "context window in `TOKENS`; 0 is the model's own, at most 8192", EnvVars: []string{"HOLDFAST_CTX"}},
		&cli.IntFlag{Name: "gpu-layers", Usage: "`LAYERS` kept on a GPU; -1 is all that fit", EnvVars: []string{"HOLDFAST_GPU_LAYERS"}},
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "say what the engine does"},
		&cli.IntFlag{Name: "threads", Usage: "`THREADS` of the engine; 0 is one per core, and one for a small model", EnvVars: []string{"HOLDFAST_THREADS"}},
	)
}

// loopFlags are those of commands that run an agent.
func loopFlags() []cli.Flag {
	return append(append(askHostFlags(), secretFlag()),
		dirFlag(), ledgerFlag(), policyFlag(), toolsFlag(), reviewFlag(), guardFlag(), verifyFlag(),
		&cli.StringFlag{Name: "ask", Value: "on-risk", EnvVars: []string{"HOLDFAST_ASK"},
			Usage: "`WHEN` to ask a person: " + strings.Join(askModes, ", ") + " (never: what would be asked is denied)"},
		&cli.IntFlag{Name: "max-steps", Usage: "turns of the model", DefaultText: fmt.Sprint(loop.DefaultLimits.Steps), EnvVars: []string{"HOLDFAST_MAX_STEPS"}},
		&cli.IntFlag{Name: "max-tokens", Usage: "generated tokens, reviews included", DefaultText: fmt.Sprint(loop.DefaultLimits.Tokens), EnvVars: []string{"HOLDFAST_MAX_TOKENS"}},
		&cli.DurationFlag{Name: "max-time", Usage: "wall clock", DefaultText: loop.DefaultLimits.Time.String(), EnvVars: []string{"HOLDFAST_MAX_TIME"}},
		&cli.Uint64Flag{Name: "seed", Usage: "of sampling", EnvVars: []string{"HOLDFAST_SEED"}},
		&cli.Float64Flag{Name: "temp", Usage: "temperature of sampling; 0 is greedy", EnvVars: []string{"HOLDFAST_TEMP"}},
	)
}

// limitsOf reads the limits of a run and checks its temperature, refusing negative ones.
func limitsOf(c *cli.Context) (agent.Limits, error) {
	l := agent.Limits{Steps: c.Int("max-steps"), Tokens: c.Int("max-tokens"), Time: c.Duration("max-time")}
	if l.Steps < 0 || l.Tokens < 0 || l.Time < 0 {
		return l, usage(errors.New("a limit cannot be negative"))
	}
	if l.Time > 0 && l.Time < time.Millisecond {
		return l, usage(errors.New("--max-time is below a millisecond; give a unit, such as 30s"))
	}
	if temp := c.Float64("temp"); !(temp >= 0) || math.IsInf(temp, 0) { // nor not a number
		return l, usage(errors.New("--temp is a number from 0 on"))
	}
	return l, nil
}

// checkEngine refuses settings that no engine has.
func checkEngine(c *cli.Context) error {
	for _, flag := range []string{"ctx", "threads"} {
		if c.Int(flag) < 0 {
			return usage(fmt.Errorf("--%s cannot be negative", flag))
		}
	}
	return nil
}

// workspaceOf checks the workspace folder before anything is started.
func workspaceOf(c *cli.Context) (string, error) {
	dir, err := filepath.Abs(c.String("dir"))
	if err == nil {
		_, err = os.ReadDir(dir)
	}
	if err != nil {
		return "", &failure{exitUsage, fmt.Errorf("open workspace: %w", err), "give a readable folder with -C DIR"}
	}
	return dir, nil
}

func checkAsk(mode string) error {
	if !slices.Contains(askModes, mode) {
		return usage(fmt.Errorf("--ask %q is not one of %s", mode, strings.Join(askModes, ", ")))
	}
	return nil
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/inference/remote"
	"github.com/holdfast-run/holdfast/models"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// modelFile is a model that is open and was read whole: its header was checked, and its
// digest is that of its name where the name stands for one.
type modelFile struct {
	*models.File
	info   models.Info
	digest string
}

// pinMark is between a model's name and the one SHA-256 that it may have.
const pinMark = "@sha256:"

// openModel finds a model and checks it before anything maps it. Close it.
func openModel(ctx context.Context, name string) (*modelFile, error) {
	return openModelShown(ctx, name, nil)
}

// openModelShown does the same and tells how much of the file was read.
func openModelShown(ctx context.Context, name string, shown *progress) (*modelFile, error) {
	if remote.Named(name) {
		return nil, usage(fmt.Errorf("open model %s: it is on a server, so that there is no file to read", inertLine(name, 80)))
	}
	name, pin, pinned := strings.Cut(name, pinMark)
	loc, err := models.DefaultStore(os.Getenv).Find(name)
	if err != nil {
		return nil, modelFailure(err)
	}
	file, err := loc.Open()
	if err != nil {
		return nil, modelFailure(err)
	}
	f := &modelFile{File: file}
	if f.info, err = file.Describe(); err == nil {
		f.digest, err = file.Sum(ctx, shown.share)
	}
	if err == nil && pinned && strings.ToLower(pin) != f.digest {
		err = fmt.Errorf("open model %s: %w: want %s, got %s", inertLine(f.Name, 80), models.ErrDigest, inertLine(pin, 80), f.digest)
	}
	if err != nil {
		file.Close()
		return nil, modelFailure(err)
	}
	return f, nil
}

func modelsCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "models",
		Usage: "list, import, describe, verify, test and remove models",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the embedded model, those of the store and those that Ollama has pulled",
				Description: "Prints name, SHA-256, size and place. A digest is what the name stands for; `verify` reads the file.\n\n" +
					"Examples:\n  holdfast models ls\n  OLLAMA_MODELS=/data/ollama holdfast models ls --json",
				CustomHelpTemplate: helpWithExits(exitDone, exitModel),
				Flags:              []cli.Flag{jsonFlag()},
				Action:             func(c *cli.Context) error { return listModels(c, t) },
			},
			importModelCommand(t), removeModelCommand(t),
			{
				Name: "show", Usage: "describe a model", ArgsUsage: "[MODEL]",
				Description: "MODEL is a GGUF file, a name in the store, ollama:NAME, or the embedded reference model if not given.\n\n" +
					"Examples:\n  holdfast models show\n  holdfast models show model.gguf",
				CustomHelpTemplate: helpWithExits(exitDone, exitModel),
				Flags:              []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as one JSON object"}},
				Action:             func(c *cli.Context) error { return showModel(c, t) },
			},
			{
				Name: "card", Usage: "print the card of the embedded model: data, training, figures, failures",
				Description:        "Example:\n  holdfast models card",
				CustomHelpTemplate: helpWithExits(exitDone),
				Action: func(*cli.Context) error {
					_, err := fmt.Fprint(t.out, models.Card())
					return err
				},
			},
			{
				Name: "verify", Usage: "check a model's header and, where given, its SHA-256", ArgsUsage: "[MODEL [SHA256]]",
				Description:        "Examples:\n  holdfast models verify\n  holdfast models verify model.gguf 9f86d081...",
				CustomHelpTemplate: helpWithExits(exitDone, exitModel, exitDigest),
				Action:             func(c *cli.Context) error { return verifyModel(c, t) },
			},
			testModelCommand(t),
		},
	}
}

func showModel(c *cli.Context, t *terminal) error {
	f, err := openModel(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	defer f.Close()
	i := f.info
	if c.Bool("json") {
		return json.NewEncoder(t.out).Encode(struct {
			models.Info
			SHA256 string
		}{i, f.digest})
	}
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, inertLine(fmt.Sprintf(format, args...), 300))
	}
	row("name", "%s", i.Name)
	row("sha256", "%s", f.digest)
	row("size", "%.1f MiB", float64(i.Size)/(1<<20))
	row("architecture", "%s, %d layers, width %d", i.Architecture, i.Layers, i.Width)
	row("parameters", "%.2f million", float64(i.Parameters)/1e6)
	row("quantisation", "%s", i.Quantisation)
	row("context", "%d tokens", i.Context)
	row("vocabulary", "%d tokens, %s", i.Vocabulary, i.Tokenizer)
	row("chat template", "%s", yesNo(i.ChatTemplate != ""))
	for _, k := range i.Keys("holdfast.") {
		row(k, "%s", i.Meta[k])
	}
	if d, ok := i.Meta["holdfast.frames.digest"]; ok {
		row("trained on", "%s", map[bool]string{true: "this build's prompts", false: "other prompts than this build's"}[d == frame.Digest()])
	}
	if v := i.Meta["general.description"]; v != "" {
		row("description", "%s", v)
	}
	return w.Flush()
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func verifyModel(c *cli.Context, t *terminal) error {
	f, err := openModel(c.Context, c.Args().First())
	if err != nil {
		return err
	}
	defer f.Close()
	if want := strings.ToLower(strings.TrimPrefix(c.Args().Get(1), "sha256:")); want != "" && want != f.digest {
		return &failure{exitDigest, fmt.Errorf("verify model %s: %w: it is %s", inertLine(f.Name, 80), models.ErrDigest, f.digest), ""}
	}
	fmt.Fprintf(t.out, "ok  %s  %s\n", f.digest, inertLine(f.Name, 80))
	return nil
}

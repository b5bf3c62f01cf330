package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/models"
)

func importModelCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "copy a model into the store", ArgsUsage: "FILE|ollama:NAME",
		Description: "The copy is checked, named by its SHA-256, and gets its name when it is whole and on disk.\n\n" +
			"Examples:\n  holdfast models import model.gguf\n" +
			"  holdfast models import --as qwen --sha256 9f86d081... ~/Downloads/qwen2.5-7b.gguf\n" +
			"  holdfast models import --as mine ollama:qwen3:8b",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitModel, exitDigest, exitInterrupted),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "as", Usage: "its `NAME` in the store; the file's own without .gguf if not given"},
			&cli.StringFlag{Name: "sha256", Usage: "refuse it unless it has this `DIGEST`"},
		},
		Action: func(c *cli.Context) error { return importModel(c, t) },
	}
}

func importModel(c *cli.Context, t *terminal) error {
	if c.Args().Len() != 1 {
		return usage(errors.New("import model: name one file or ollama:NAME"))
	}
	p := newProgress(t, "copying")
	l, digest, err := models.DefaultStore(os.Getenv).Import(c.Context, c.Args().First(), c.String("as"), c.String("sha256"), p.share)
	p.done()
	if err != nil {
		return modelFailure(err)
	}
	fmt.Fprintf(t.out, "%s  %s\n", digest, inertLine(l.Name, 80))
	return nil
}

// share shows how many bytes of how many are done. A nil progress shows nothing.
func (p *progress) share(done, total int64) {
	if p != nil {
		p.set(float32(done) / float32(max(total, 1)))
	}
}

func removeModelCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name: "rm", Usage: "remove models from the store", ArgsUsage: "NAME...",
		Description: "Takes a name away, and the file where no other name stands for it. Models of Ollama's are left to Ollama.\n\n" +
			"Example:\n  holdfast models rm qwen",
		CustomHelpTemplate: helpWithExits(exitDone, exitUsage, exitModel),
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usage(errors.New("remove model: no name is given"))
			}
			for _, name := range c.Args().Slice() {
				if err := models.DefaultStore(os.Getenv).Remove(name); err != nil {
					return modelFailure(err)
				}
				t.printf("removed %s\n", inertLine(name, 80))
			}
			return nil
		},
	}
}

func listModels(c *cli.Context, t *terminal) error {
	list, err := models.DefaultStore(os.Getenv).List()
	if err != nil {
		return modelFailure(err)
	}
	if c.Bool("json") {
		for _, e := range list {
			if err := printEntry(t, e); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 4, 2, ' ', 0)
	for _, e := range list {
		digest, where := "-", e.Path
		if e.Digest != "" {
			digest = e.Digest[:12]
		}
		if e.Embedded {
			where = "embedded"
		}
		if e.Problem != nil {
			where = "unusable: " + oneLine(e.Problem)
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f MiB\t%s\n", inertLine(e.Name, 80), digest, float64(e.Size)/(1<<20), inertLine(where, 200))
	}
	return w.Flush()
}

func printEntry(t *terminal, e models.Entry) error {
	line := struct {
		Name    string `json:"name"`
		SHA256  string `json:"sha256,omitempty"`
		Size    int64  `json:"size"`
		Path    string `json:"path,omitempty"`
		Problem string `json:"problem,omitempty"`
	}{Name: e.Name, SHA256: e.Digest, Size: e.Size, Path: e.Path}
	if e.Problem != nil {
		line.Problem = oneLine(e.Problem)
	}
	return json.NewEncoder(t.out).Encode(line)
}

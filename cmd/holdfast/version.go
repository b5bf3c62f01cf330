package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/inference"
	"github.com/holdfast-run/holdfast/runtime/frame"
)

// version is set by the linker.
var version = "unknown"

// buildInfo is what `holdfast version` prints and every run records.
type buildInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Engine  string `json:"engine"` // llama.cpp version and build key
	Frames  string `json:"frames"` // digest of the prompts and frames
}

func thisBuild() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH,
		Engine: inference.Build(), Frames: frame.Digest()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.Commit = s.Value
			}
		}
	}
	return b
}

// String is the one line recorded with a run.
func (b buildInfo) String() string {
	return fmt.Sprintf("holdfast %s %s %s/%s engine %s", b.Version, b.Go, b.OS, b.Arch, b.Engine)
}

func versionCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:               "version",
		Usage:              "print what this binary is made of",
		Description:        "Example:\n  holdfast version --json",
		CustomHelpTemplate: helpWithExits(exitDone),
		Flags:              []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "as one JSON object"}},
		Action:             func(c *cli.Context) error { return printVersion(c, t) },
	}
}

func printVersion(c *cli.Context, t *terminal) error {
	b := thisBuild()
	if c.Bool("json") {
		return json.NewEncoder(t.out).Encode(b)
	}
	fmt.Fprintf(t.out, "holdfast %s\n", b.Version)
	if b.Commit != "" { // not known where the build was told to leave it out
		fmt.Fprintf(t.out, "commit   %s\n", b.Commit)
	}
	_, err := fmt.Fprintf(t.out, "go       %s %s/%s\nengine   %s\nframes   %s\n", b.Go, b.OS, b.Arch, b.Engine, b.Frames)
	return err
}

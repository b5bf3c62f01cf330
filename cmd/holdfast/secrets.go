package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/holdfast-run/holdfast/tools"
)

func secretFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "secret", Usage: "what `NAME=FILE` holds, for tools of your own that declare NAME, in calls whose decision grants it"}
}

// maxSecret bounds one secret in bytes.
const maxSecret = 64 << 10

// secretsOf reads the secrets that a command line names. A file that others can read, or that
// tools find in the workspace, is none.
func secretsOf(c *cli.Context, workspace string) ([]tools.Secret, error) {
	var list []tools.Secret
	for _, text := range c.StringSlice("secret") {
		name, file, ok := strings.Cut(text, "=")
		if !ok || name == "" || file == "" {
			return nil, usage(errors.New("--secret takes NAME=FILE, such as api_token=~/.config/token"))
		}
		value, err := readSecret(file)
		if err != nil {
			return nil, &failure{exitUsage, fmt.Errorf("read secret %s: %w", inertLine(name, 64), err), "keep it in a file that only you can read: chmod 600"}
		}
		if in, err := within(file, workspace); err != nil || in {
			return nil, &failure{exitUsage, fmt.Errorf("read secret %s: %s lies in the workspace, where every tool could read it", inertLine(name, 64), inertLine(file, 200)),
				"move it elsewhere"}
		}
		list = append(list, tools.Secret{Name: name, Value: value})
	}
	return list, nil
}

func readSecret(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", file)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read or written by others", file)
	case info.Size() > maxSecret:
		return nil, fmt.Errorf("%s has %d bytes, at most %d", file, info.Size(), maxSecret)
	}
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}

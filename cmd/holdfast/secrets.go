package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/holdfast-run/holdfast/tools"
)

func secretFlag() cli.Flag {
	return newListFlag("secret", "what `NAME=FILE` holds, for tools of your own that declare NAME, in calls whose decision grants it")
}

// maxSecret bounds one secret in bytes.
const maxSecret = 64 << 10

// secretsOf reads the secrets that a command line names. A file of another user, one that
// others can read or write, or one that tools find in the workspace is none.
func secretsOf(c *cli.Context, workspace string) ([]tools.Secret, error) {
	var list []tools.Secret
	for _, text := range c.StringSlice("secret") {
		name, file, ok := strings.Cut(text, "=")
		if !ok || name == "" || file == "" {
			return nil, usage(errors.New("--secret takes NAME=FILE, such as api_token=~/.config/token"))
		}
		value, err := readSecret(file)
		if err != nil {
			return nil, &failure{exitUsage, fmt.Errorf("read secret %s: %w", inertLine(name, 64), err), "keep it in a file of your own that nobody else can read or write: chmod 600"}
		}
		if in, err := within(file, workspace); err != nil || in {
			return nil, &failure{exitUsage, fmt.Errorf("read secret %s: %s lies in the workspace, where every tool could read it", inertLine(name, 64), inertLine(file, 200)),
				"move it elsewhere"}
		}
		list = append(list, tools.Secret{Name: name, Value: value})
	}
	return list, nil
}

// readSecret checks the file that it has opened, not its name, which may lead elsewhere by
// then. Whoever owns a file can change it and its mode, so that it must be the user's own, as
// a private key of ssh must not be open to others.
func readSecret(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would wait for whoever writes it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", file)
	case int(st.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to user %d, not to you, user %d", file, st.Uid, os.Geteuid())
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s can be read or written by others", file)
	case info.Size() > maxSecret:
		return nil, fmt.Errorf("%s has %d bytes, at most %d", file, info.Size(), maxSecret)
	}
	return io.ReadAll(io.LimitReader(f, maxSecret+1))
}

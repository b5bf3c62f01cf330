package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"
)

// signFlags name the key that signs and where copies of notes go.
func signFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "sign-key", Usage: "sign the ledger with the key in `FILE` at the end", EnvVars: []string{"HOLDFAST_SIGN_KEY"}},
		newListFlag("anchor", "give a copy of each signed note to `PLACE`: a file, syslog[:SOCKET], or unix:SOCKET; may be repeated", "HOLDFAST_ANCHOR"),
	}
}

// checkSigning tells before the work, and not after it, that what the flags name cannot sign,
// or that there is nothing to anchor. A variable of the environment for which there is no key
// is noted: nobody is to believe in an anchor that does not hold.
func checkSigning(c *cli.Context, t *terminal) error {
	file := c.String("sign-key")
	switch {
	case file == "" && len(places(c)) > 0:
		if err := goesWith(c, "sign-key", "anchor"); err != nil {
			return err
		}
		t.note(unasked(c, "anchor", "HOLDFAST_ANCHOR") + " is not used: without a key nothing is signed; name one with --sign-key or HOLDFAST_SIGN_KEY")
		return nil
	case file == "":
		return nil
	}
	_, _, err := readKey(file)
	return err
}

func keysCommand(t *terminal) *cli.Command {
	return &cli.Command{
		Name:  "keys",
		Usage: "make the keys that sign a ledger",
		Subcommands: []*cli.Command{
			{
				Name: "new", Usage: "make a signing key", ArgsUsage: "NAME",
				Description: "Writes the signing key to a new file that only you may read, and prints the verifier key, which\n" +
					"whoever verifies the ledger keeps. A key that the agent's own user can read shows accidents only:\n" +
					"better let another user sign.\n\n" +
					"Example:\n  holdfast keys new -o ops.key ops",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
				Flags:              []cli.Flag{&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "the `FILE` for the signing key"}},
				Action:             func(c *cli.Context) error { return keysNew(c, t) },
			},
			{
				Name: "show", Usage: "print the verifier key of a signing key", ArgsUsage: "FILE",
				Description:        "Example:\n  holdfast keys show ops.key",
				CustomHelpTemplate: helpWithExits(exitDone, exitUsage),
				Action:             func(c *cli.Context) error { return keysShow(c, t) },
			},
		},
	}
}

func keysNew(c *cli.Context, t *terminal) error {
	name := c.Args().First()
	if name == "" || strings.ContainsAny(name, "+ \t\n") {
		return usage(errors.New("give the key a name without spaces or +"))
	}
	if c.String("output") == "" {
		return usage(errors.New("no file to write the key to; give one with -o FILE"))
	}
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	err = writeNew(c.String("output"), skey+"\n"+vkey+"\n")
	if p, ok := errors.AsType[*os.PathError](err); ok && p.Op == placing {
		return usage(fmt.Errorf("write key: %w", err))
	}
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	fmt.Fprintln(t.out, vkey)
	return nil
}

// placing is the Op of an os.PathError where a file cannot have the place that was asked for.
const placing = "create"

// writeNew writes a file that only we may read, whole or not at all, and never over another.
func writeNew(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".holdfast-*") // of mode 0600
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return &os.PathError{Op: placing, Path: path, Err: p.Err}
	}
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	err = unix.Renameat2(unix.AT_FDCWD, f.Name(), unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without it, such as NFS
		err = unix.Link(f.Name(), path)
	}
	if err != nil {
		return &os.PathError{Op: placing, Path: path, Err: err}
	}
	return nil
}

func keysShow(c *cli.Context, t *terminal) error {
	if !c.Args().Present() {
		return usage(errors.New("name one file with a signing key"))
	}
	_, vkey, err := readKey(c.Args().First())
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, vkey)
	return nil
}

// readKey reads a signing key with its verifier key from a file that only we may read.
func readKey(path string) (note.Signer, string, error) {
	bad := func(err error) error {
		return &failure{exitUsage, fmt.Errorf("read signing key: %w", err), "make one with holdfast keys new"}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", bad(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, "", bad(fmt.Errorf("%s has mode %#o: others may read it", path, info.Mode().Perm()))
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, "", bad(err)
	}
	skey, vkey, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	s, err := note.NewSigner(skey)
	if err != nil {
		return nil, "", bad(errors.New("the file holds no signing key")) // the cause would show its text
	}
	return s, vkey, nil
}

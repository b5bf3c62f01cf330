package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// anchorTimeout is how long a socket may take to accept a note.
const anchorTimeout = 10 * time.Second

// anchorTo returns what gives a copy of a note to every place, nil for none. A place that
// does not take it is an error: an anchor that nobody kept is none.
func anchorTo(places []string) func([]byte) (string, error) {
	if len(places) == 0 {
		return nil
	}
	return func(n []byte) (string, error) {
		var kept []string
		for _, p := range places {
			where, err := anchorAt(p, n)
			if err != nil {
				return "", fmt.Errorf("%s: %w", p, err)
			}
			kept = append(kept, where)
		}
		return strings.Join(kept, ", "), nil
	}
}

func anchorAt(place string, n []byte) (string, error) {
	kind, path, _ := strings.Cut(place, ":")
	switch kind {
	case "syslog":
		return place, toSyslog(path, n)
	case "unix":
		return toSocket(path, n)
	}
	return toFile(place, n)
}

// toFile adds a note to a file. Notes in it are separated by a line of dashes. What is
// written of a note in part is taken back, now or before the next: a torn one would read
// as one that was forged.
func toFile(path string, n []byte) (string, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return "", err
	}
	size, err := untorn(f)
	if err == nil {
		if _, err = f.Write(append(n, anchorLine+"\n"...)); err != nil {
			err = errors.Join(err, f.Truncate(size))
		}
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// untorn cuts a file of notes behind the last whole one and returns its size. One that
// holds no whole note is left as it is.
func untorn(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0, err
	}
	size := info.Size()
	tail := make([]byte, min(size, 64<<10))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, err
	}
	const end = "\n" + anchorLine + "\n"
	i := bytes.LastIndex(tail, []byte(end))
	if i < 0 || i+len(end) == len(tail) {
		return size, nil
	}
	size -= int64(len(tail) - i - len(end))
	return size, f.Truncate(size)
}

const (
	anchorLine = "----"
	syslogMark = "holdfast: note " // before a note in a log of the system, in base64
	syslogTag  = "<85>"            // authpriv, notice
)

// toSyslog gives a note to the log of the system, on one line.
func toSyslog(socket string, n []byte) error {
	if socket == "" {
		socket = "/dev/log"
	}
	line := syslogTag + syslogMark + base64.StdEncoding.EncodeToString(n)
	conn, err := net.DialTimeout("unixgram", socket, anchorTimeout)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(line))
	return errors.Join(err, conn.Close())
}

// toSocket gives a note to whoever listens, perhaps another user's program that sends it
// on. It must answer with a line that begins with "kept" once the note is safe.
func toSocket(socket string, n []byte) (string, error) {
	conn, err := net.DialTimeout("unix", socket, anchorTimeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(anchorTimeout))
	if _, err := conn.Write(n); err != nil {
		return "", err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := bufio.NewReader(io.LimitReader(conn, 1000)).ReadString('\n')
	where, kept := strings.CutPrefix(strings.TrimSpace(answer), "kept")
	if !kept {
		return "", fmt.Errorf("not kept: %q %w", answer, errors.Join(err, io.ErrUnexpectedEOF))
	}
	return strings.TrimSpace("unix:" + socket + where), nil
}

// readAnchor reads the notes of an anchor file, or of a log of the system. What comes
// last and is not whole is left out: a machine may have stopped while it was written.
func readAnchor(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &failure{exitUsage, fmt.Errorf("read anchor: %w", err), "give the file that --anchor was given when the ledger was signed"}
	}
	if err != nil {
		return nil, usage(fmt.Errorf("read anchor: %w", err))
	}
	out := append(loggedNotes(b), separateNotes(b)...)
	if len(out) == 0 {
		return nil, usage(fmt.Errorf("read anchor: %s holds no note", path))
	}
	return out, nil
}

func separateNotes(b []byte) [][]byte {
	parts := bytes.Split(b, []byte("\n"+anchorLine+"\n"))
	var out [][]byte
	for _, p := range parts[:len(parts)-1] {
		out = append(out, append(p, '\n'))
	}
	return out
}

// loggedNotes finds the notes in lines of a log. What a line holds beside is not looked at.
func loggedNotes(b []byte) (out [][]byte) {
	for line := range bytes.Lines(b) {
		_, enc, ok := bytes.Cut(line, []byte(syslogMark))
		if !ok {
			continue
		}
		enc, _, _ = bytes.Cut(bytes.TrimSpace(enc), []byte(" "))
		if n, err := base64.StdEncoding.DecodeString(string(enc)); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// places are those of --anchor; an empty one, as of an unset variable, is none.
func places(c *cli.Context) (out []string) {
	for _, p := range c.StringSlice("anchor") {
		if p != "" {
			out = append(out, p)
		}
	}
	return out
}

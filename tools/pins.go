package tools

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/holdfast-run/holdfast/runtime/agent"
)

// Drift says how a declaration compares with the one that was pinned. The zero Drift
// blocks.
type Drift uint8

// What a declaration can be.
const (
	DriftChanged Drift = iota // another than the one accepted: blocked until it is accepted
	DriftNew                  // never seen: to be accepted
	DriftSame                 // the one accepted
)

// String names the drift.
func (d Drift) String() string {
	switch d {
	case DriftNew:
		return "new"
	case DriftSame:
		return "same"
	}
	return "changed"
}

// Pins remembers by digest what files of tools declared when they were accepted, so that a
// tool cannot become another one behind its name. A Pins is used by one goroutine at a time;
// several processes may accept into one file.
type Pins struct {
	path string
	tool map[string]string // digest in hex, by file and tool
}

// pinFile is the form of the file.
type pinFile struct {
	Version int               `json:"version"`
	Tools   map[string]string `json:"tools"`
}

// OpenPins reads the file of pins; one that does not exist holds none. A file that
// cannot be read is an error: without it every change would pass as new.
func OpenPins(path string) (*Pins, error) {
	tool, err := readPins(path)
	if err != nil {
		return nil, err
	}
	return &Pins{path: path, tool: tool}, nil
}

func readPins(path string) (map[string]string, error) {
	tool := map[string]string{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return tool, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	var f pinFile
	if err := (agent.ToolCall{Args: string(b)}).CheckArgs(); err != nil {
		return nil, fmt.Errorf("read pins: %s is damaged", path)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil || f.Version != 1 {
		return nil, fmt.Errorf("read pins: %s is damaged", path)
	}
	maps.Copy(tool, f.Tools)
	return tool, nil
}

// pinKey keeps files apart.
func pinKey(file, tool string) string { return file + "\n" + tool }

func hexOf(d [32]byte) string {
	if d == ([32]byte{}) { // cannot be encoded: it is the same as nothing
		return ""
	}
	return hex.EncodeToString(d[:])
}

// CheckCommand compares a tool of an operator's file with the one accepted: what is shown
// and what is run.
func (p *Pins) CheckCommand(file string, c Command) Drift {
	return p.compare(file, c.Spec.Name, hexOf(c.Digest()))
}

// Knows reports whether any tool of a file was accepted. One that is not among those of a
// known file was added since.
func (p *Pins) Knows(file string) bool {
	for k := range p.tool {
		if strings.HasPrefix(k, pinKey(file, "")) {
			return true
		}
	}
	return false
}

func (p *Pins) compare(file, tool, now string) Drift {
	was, known := p.tool[pinKey(file, tool)]
	switch {
	case now == "":
		return DriftChanged
	case !known:
		return DriftNew
	case was == now:
		return DriftSame
	}
	return DriftChanged
}

// AcceptCommands pins tools of an operator's file as they are and writes the file of pins. On
// an error nothing is accepted.
func (p *Pins) AcceptCommands(file string, list ...Command) error {
	digests := map[string]string{}
	for _, c := range list {
		digests[c.Spec.Name] = hexOf(c.Digest())
	}
	return p.accept(file, digests)
}

// accept adds digests to what the file holds now, which another process may have written
// since it was read: both hold the lock beside it while they do.
func (p *Pins) accept(file string, digests map[string]string) error {
	unlock, err := lockFile(p.path + ".lock")
	if err != nil {
		return fmt.Errorf("pin tools: %w", err)
	}
	defer unlock()
	next, err := readPins(p.path)
	if err != nil {
		return err
	}
	for tool, d := range digests {
		if d == "" {
			return fmt.Errorf("pin %s: its declaration cannot be encoded", clip(tool, 64))
		}
		next[pinKey(file, tool)] = d
	}
	b, err := json.MarshalIndent(pinFile{1, next}, "", "  ")
	if err != nil {
		return fmt.Errorf("pin tools: %w", err)
	}
	if err := replaceFile(p.path, b); err != nil {
		return fmt.Errorf("pin tools: %w", err)
	}
	p.tool = next
	return nil
}

// lockFile waits for the lock that a file stands for and returns how to give it back. The
// file stays: who removed it would take it from those that wait.
func lockFile(path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, b []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".pins-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

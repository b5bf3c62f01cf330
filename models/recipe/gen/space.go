package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-run/holdfast/tools"
	"github.com/holdfast-run/holdfast/tools/toolbox"
)

// workspace is a real folder in which the calls of one document run. It is used by
// one goroutine.
type workspace struct {
	dir   string
	root  *os.Root
	files map[string]bool // what stands in it, to keep names apart
	watch bool            // note laid
	laid  *state          // what stood in it before the first call, nil before that
}

// newWorkspace makes an empty workspace below dir.
func newWorkspace(dir string) (*workspace, error) {
	w := &workspace{dir: dir}
	return w, w.clear()
}

// clear removes everything in the workspace.
func (w *workspace) clear() error {
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("clear workspace: %w", err)
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return fmt.Errorf("make workspace: %w", err)
	}
	root, err := os.OpenRoot(w.dir)
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	w.root, w.files, w.laid = root, map[string]bool{}, nil
	return nil
}

// Close releases the folder's handle. It may be called twice.
func (w *workspace) Close() error {
	if w.root == nil {
		return nil
	}
	err := w.root.Close()
	w.root = nil
	return err
}

// errTaken means that a path cannot be made because another stands in its way.
var errTaken = errors.New("path is taken")

// put writes a file that must be new.
func (w *workspace) put(path, text string) error {
	path = filepath.Clean(path)
	if w.files[path] {
		return errTaken
	}
	if _, err := w.root.Lstat(path); err == nil {
		return errTaken
	}
	if _, ok := toolbox.Write(w.root, path, text); !ok {
		return errTaken
	}
	w.files[path] = true
	return nil
}

// mkdir makes a folder, which may exist.
func (w *workspace) mkdir(path string) error {
	if err := w.root.MkdirAll(filepath.Clean(path), 0o755); err != nil {
		return errTaken
	}
	return nil
}

// run carries out one call with the code that tools use at run time and returns the
// text that a model gets, and whether the tool succeeded.
func (w *workspace) run(tool string, args []string) (string, bool, error) {
	if w.laid == nil && w.watch {
		var err error
		if w.laid, err = w.state(); err != nil {
			return "", false, err
		}
	}
	switch tool {
	case toolbox.CalculatorTool:
		text, ok := toolbox.Calculate(args[1])
		return text, ok, nil
	case tools.RunCommand:
		return w.shell(args[1])
	}
	text, ok, err := toolbox.Run(w.root, tool, []byte(object(args...)))
	return tools.Show(text), ok, err
}

// shell runs a command in the workspace, as run_command does in its cell.
func (w *workspace) shell(command string) (string, bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.Dir = w.dir
	c.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "HOME=" + w.dir}
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", false, fmt.Errorf("run %q: %w", command, err)
	}
	out, errs := strings.TrimRight(stdout.String(), "\n"), strings.TrimRight(stderr.String(), "\n")
	if out != "" && errs != "" {
		out += "\n"
	}
	text := "(no output)"
	if out+errs != "" {
		text = tools.Show(out + errs)
	}
	if err != nil {
		text += fmt.Sprintf("\nexit status %d", exit.ExitCode())
	}
	return text, err == nil, nil
}

//go:build linux && (amd64 || arm64)

package verify

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/probe"
)

// atTerminal is expect for a program that has a terminal of its cell's own.
func (b *bench) atTerminal(list ...want) error {
	var steps []probe.Step
	for _, w := range list {
		steps = append(steps, w.step)
	}
	in, err := json.Marshal(steps)
	if err != nil {
		return err
	}
	s := sandbox.Spec{CallID: b.id, Helper: b.image, Argv: []string{"holdfast-toolbox", probe.Name}, PTY: &sandbox.Size{Rows: 24, Cols: 80}}
	live, err := b.runner.Start(b.ctx, s, sandbox.Discard)
	if err != nil {
		return err
	}
	if _, err := live.Stdin().Write(append(in, "\n\x04"...)); err != nil {
		return err
	}
	out, rerr := io.ReadAll(live.Stdout())
	if b.last, err = live.Wait(); err != nil || rerr != nil {
		return fmt.Errorf("%v, %v", err, rerr)
	}
	// what was typed stands before it
	_, answer, _ := strings.Cut(strings.ReplaceAll(string(out), "\r\n", "\n"), "\n")
	var got []string
	if err := json.NewDecoder(strings.NewReader(strings.TrimLeft(answer, "^D\b"))).Decode(&got); err != nil || len(got) != len(steps) {
		return fmt.Errorf("the probe ended with %d: %.200q", b.last.Exit, out)
	}
	for i, w := range list {
		if !regexp.MustCompile(`\A(?s:` + w.good + `)\z`).MatchString(got[i]) {
			return fmt.Errorf("at a terminal, %s %.80q: got %.200q, want %s", w.step.Do, w.step.Args, got[i], w.good)
		}
	}
	return nil
}

// sizes changes the size of a cell's terminal, reads it in the background, and types the
// keys that stop and interrupt: the cell's program alone is concerned.
func (b *bench) sizes() error {
	s := sandbox.Spec{CallID: b.id, PTY: &sandbox.Size{Rows: 24, Cols: 80}, Argv: []string{"/bin/sh", "-c",
		`trap 'echo interrupted; exit 3' INT; stty -echo; (read x </dev/tty; echo read) & echo ready; while :; do sleep 0.02; done`}}
	live, err := b.runner.Start(b.ctx, s, sandbox.Discard)
	if err != nil {
		return err
	}
	out := bufio.NewReader(live.Stdout())
	line, rerr := out.ReadString('\n')
	if rerr == nil && strings.TrimSpace(line) != "ready" {
		rerr = fmt.Errorf("it said %q", line)
	}
	err = live.Resize(sandbox.Size{Rows: 1, Cols: 1})
	if _, werr := live.Stdin().Write([]byte("\x03")); err == nil {
		err = werr
	}
	rest, _ := io.ReadAll(out)
	res, werr := live.Wait()
	b.last = res
	switch {
	case rerr != nil || err != nil || werr != nil:
		return fmt.Errorf("%v, %v, %v", rerr, err, werr)
	case res.Exit != 3 || !strings.Contains(string(rest), "interrupted"):
		return fmt.Errorf("interrupted, it ended with %d: %q", res.Exit, rest)
	}
	return nil
}

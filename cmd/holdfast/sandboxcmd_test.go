package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-run/holdfast/sandbox"
)

// TestInterruptedSandboxIsAnInterrupt opens the sandbox for a command that was interrupted:
// the cell that tries the layers is broken off, which is not to be told as a missing layer.
func TestInterruptedSandboxIsAnInterrupt(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	end()
	r, err := openSandbox(ctx, sandbox.Config{StateDir: t.TempDir()})
	if err == nil {
		r.Close()
	}
	if !errors.Is(err, context.Canceled) || exitCode(err) != exitInterrupted {
		t.Errorf("%v gives exit code %d", err, exitCode(err))
	}
}

// TestBadStateDirectory names a state directory that cannot be one: the hint must name what
// an operator can set.
func TestBadStateDirectory(t *testing.T) {
	c := holdfastProcess(t, t.TempDir(), "sandbox", "verify")
	c.Env = append(c.Env, "HOLDFAST_STATE_DIR=/dev/null/state")
	got, stderr := code(t, c)
	if got != exitSandbox || !strings.Contains(stderr, "HOLDFAST_STATE_DIR") || strings.Contains(stderr, "Config.") {
		t.Errorf("exit code %d\n%s", got, stderr)
	}
	oneClearLine(t, stderr, "open sandbox")
}

package main

import (
	"context"
	"errors"
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

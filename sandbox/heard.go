//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// expect receives one message of the given kind. A failed step, or silence, is
// a *SetupError.
func (c *cell) expect(ctx context.Context, f *os.File, kind uint32, deadline time.Time) (message, error) {
	m, err := c.await(ctx, f, deadline)
	if err == io.EOF {
		// the failing process may be one that reports on the other channel
		other := c.control
		if f == c.control {
			other = c.barrier
		}
		m, err = c.await(ctx, other, deadline)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return m, &SetupError{Op: "stage", Index: -1, Errno: syscall.ETIMEDOUT}
	case err == io.EOF:
		return m, &SetupError{Op: "stage", Index: -1}
	case err != nil:
		return m, fmt.Errorf("receive from stage: %w", err)
	case m.kind == stage.MsgFail:
		return m, c.failed(m)
	case m.kind != kind:
		return m, fmt.Errorf("receive from stage: unexpected message %d", m.kind)
	}
	return m, nil
}

// failed is the error of a step that the stage reports. A working directory
// that does not exist is the caller's fault and no fault of the cell.
func (c *cell) failed(m message) error {
	if e := m.errno(); m.code == stage.Chdir && (e == syscall.ENOENT || e == syscall.ENOTDIR || e == syscall.EACCES) {
		return &ExecError{directory(c.spec), e}
	}
	return &SetupError{Op: m.code.String(), Index: m.index, Errno: m.errno(), What: c.plan.text(m.index)}
}

// executed returns nil unless the process that was let go has said that it did
// not become the tool. It is asked when that process has ended: waiting for it
// to start would take time from it. Only a word that nothing was executed is one;
// silence is none.
func (c *cell) executed() error {
	deadline := time.Now().Add(time.Second) // it is there, or the end is
	m, err := receive(c.barrier, deadline)
	if err == io.EOF {
		// where it ended without reading the word to go, the kernel says so first
		m, err = receive(c.barrier, deadline)
	}
	switch {
	case err != nil:
		return nil
	case m.kind == stage.MsgNoExec:
		return &ExecError{c.spec.Argv[0], m.errno()}
	case m.kind == stage.MsgFail:
		return c.failed(m)
	}
	return nil
}

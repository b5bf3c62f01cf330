//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// stand waits until all is done that does not depend on the call: process 1
// supervises, and what becomes the tool has everything taken from it.
func (c *cell) stand(ctx context.Context) error {
	deadline := time.Now().Add(setupTime)
	if err := c.receiveTerminal(ctx, deadline); err != nil {
		return err
	}
	if c.plan.layer {
		m, err := c.expect(ctx, c.control, stage.MsgLayer, deadline)
		if err != nil {
			return c.interrupted(ctx, err)
		}
		if m.fd < 0 {
			return errors.New("receive layer: no descriptor came along")
		}
		c.layer = os.NewFile(uintptr(m.fd), "layer")
	}
	if err := c.listeners(ctx, deadline); err != nil {
		return err
	}
	ready, err := c.expect(ctx, c.control, stage.MsgReady, deadline)
	if err != nil {
		return c.interrupted(ctx, err)
	}
	// from here on it can but wait, obey and report, so what is true of it now
	// stays true
	var initErr error
	if c.watch, initErr = attestInit(ready.pid); initErr == nil {
		initErr = c.relieve(ready.pid)
	}
	// a failed step of the tool's side ends process 1 as well, and says more
	if c.facts.Notify {
		m, err := c.expect(ctx, c.barrier, stage.MsgListener, deadline)
		if err == nil {
			err = c.listen(m.fd)
		}
		if err != nil {
			return c.interrupted(ctx, err)
		}
	}
	c.report, err = c.expect(ctx, c.barrier, stage.MsgReport, deadline)
	if err != nil {
		return c.interrupted(ctx, err)
	}
	if initErr != nil {
		return initErr
	}
	return c.inspect()
}

// inspect asks the kernel about the process at the barrier what can be asked
// early: its filter denies every call by which it could change namespaces, and
// nobody else can give it descriptors. That it has that filter is asked later, as
// are changes of its mounts.
func (c *cell) inspect() error {
	var err error
	if c.asked.status, err = openStatus(c.report.pid); err != nil {
		return &AttestError{"status", "a readable process", err.Error()}
	}
	names := nsNames
	if c.facts.TimeNS {
		names = append(slices.Clone(nsNames), "time")
	}
	if c.spaces, err = namespacesOf(strconv.Itoa(c.report.pid), names); err != nil {
		c.spaces = nil
	}
	if c.open, err = filesOf(c.report.pid); err != nil {
		c.open = nil
	}
	if c.prepared {
		c.table, err = readCellMounts(strconv.Itoa(c.report.pid))
		return err
	}
	return nil
}

// admit compares the cell with the plan, has that recorded, and lets the tool
// go. After nil the tool executes or may be executing.
func (c *cell) admit(ctx context.Context) error {
	c.result.Timings.Ready = time.Since(c.begin)
	a, err := c.attest(c.report)
	if err != nil && !c.runner.lenient {
		return err
	}
	c.result.Attested = a.Digest
	if err := c.rec.Attested(ctx, a); err != nil {
		return &RecordError{"attested", err}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.layer != nil {
		c.since = tick(c.begin)
	}
	if err := c.openGate(); err != nil {
		return err
	}
	if err := c.release(); err != nil {
		if said := c.executed(); said != nil {
			return said // it ended before, and said why
		}
		return err
	}
	c.result.Timings.Started = time.Since(c.begin)
	c.drain()
	if c.runner.opened != nil {
		c.runner.opened()
	}
	return nil
}

// release is the word that the stage waits for: for a prepared cell the plan of
// its call, which the stage compares with the one it has carried out.
func (c *cell) release() error {
	if c.prepared {
		return c.hand()
	}
	if _, err := c.barrier.Write([]byte{'G'}); err != nil {
		return fmt.Errorf("open barrier: %w", err)
	}
	return nil
}

// interrupted prefers the caller's reason over its consequence.
func (c *cell) interrupted(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	return err
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/cgroup"
	"github.com/holdfast-run/holdfast/sandbox/internal/netgate"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// setupTime bounds everything before the tool starts.
const setupTime = 5 * time.Second

// cell is one run. It is used by one goroutine; the two drains have their own.
type cell struct {
	runner *Runner
	spec   Spec
	facts  Facts
	plan   Plan
	rec    Recorder
	begin  time.Time
	live   *Running // nil if the call is waited for

	kind poolKey // where there is a pool

	vessel
	out, err *capturer
	drains   sync.WaitGroup
	result   Result
	status   *syscall.WaitStatus // of the tool, by process 1
	woken    chan struct{}       // closed by interrupt
	building bool                // whether it holds its turn
	since    time.Time           // when the tool was let go, on the coarse clock
}

// vessel is what of a cell the kernel holds: its processes and the ways to them.
type vessel struct {
	family
	control, barrier *os.File
	given            streams
	stdin            *os.File // nil once closed
	stdout, stderr   *os.File
	group            *cgroup.Group // nil where there are none
	doors            []*os.File    // ways into it, until they are passed
	layer            *os.File      // takes the changes to the workspace
	terminal         *os.File      // the runner's end; nil where there is none
	keyboard         *os.File      // the same, for what is written
	watch            InitFact      // process 1, once it supervises
	sockets          []*os.File    // what listens in it: for names, then for each port
	gate             *netgate.Gate // nil where no host may be reached
	report           message       // of the process that becomes the tool
	denials          *denials      // nil where nothing is recorded
	asked
	prepared bool // before its call was known
}

// asked is what the kernel says of the process that becomes the tool, and where
// it says so. It is held until the cell is cleared away.
type asked struct {
	status *statusFile
	now    map[string]string // what the status said when a prepared cell was taken
	spaces map[string]uint64 // its namespaces; nil where the kernel does not show them
	open   []FileFact        // its descriptors, likewise
	table  *cellMounts       // of a prepared cell, until it changes
}

func (a *asked) close() {
	a.status.close()
	a.table.close()
}

// run carries the cell from plan to record. Whatever happens, nothing of it is
// left when run returns.
func (c *cell) run(ctx context.Context) (Result, error) {
	c.result.Plan = c.plan.Digest()
	c.result.Limits = c.plan.limits
	c.result.Timings.Planned = time.Since(c.begin)
	started := false
	err := c.obtain(ctx)
	if err == nil {
		err = c.heeding(ctx, func() error {
			err := c.admit(ctx)
			c.built()
			if err == nil {
				c.supervise(ctx)
				err = c.executed()
				started = err == nil
			}
			return err
		})
	}
	c.built()
	c.end()
	err = errors.Join(err, c.settle(ctx, started))
	c.result.Timings.Finished = time.Since(c.begin)
	record := ResultRecord{CallID: c.spec.CallID, Started: started, Result: c.result}
	if err != nil {
		record.Err = err.Error()
	}
	if rerr := c.rec.Finished(context.WithoutCancel(ctx), record); rerr != nil {
		err = errors.Join(err, &RecordError{"finished", rerr})
	}
	if started && err == nil {
		c.runner.pool.renew(c)
	}
	if err != nil {
		if !started {
			c.result = Result{Plan: c.result.Plan, Limits: c.result.Limits}
		}
		return c.result, &Error{Op: "run cell", Hint: hint(err), Err: err}
	}
	return c.result, nil
}

// build starts the stage and waits for the cell to stand.
func (c *cell) build(ctx context.Context) error {
	if err := c.turn(ctx); err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	return c.heeding(ctx, func() error { return c.stand(ctx) })
}

// heeding does f, in which the end of ctx wakes whoever waits for the cell.
func (c *cell) heeding(ctx context.Context, f func() error) error {
	c.woken = make(chan struct{})
	stop := context.AfterFunc(ctx, c.interrupt)
	err := f()
	if !stop() {
		<-c.woken
	}
	return err
}

// turn waits until this cell may be built.
func (c *cell) turn(ctx context.Context) error {
	select {
	case c.runner.setups <- struct{}{}:
		c.building = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// built lets the next cell be built. It may be called twice.
func (c *cell) built() {
	if c.building {
		c.building = false
		<-c.runner.setups
	}
}

// hint says what the operator can do about a failed setup.
func hint(err error) string {
	if e, ok := errors.AsType[*SetupError](err); ok && e.Op != stage.Exec.String() {
		return "holdfast sandbox doctor"
	}
	if e, ok := errors.AsType[*RefusedError](err); ok {
		switch e.Layer {
		case idmapLayerName:
			return idmapFix
		case workspaceLayerName:
			return workspaceFix
		}
	}
	return ""
}

// drain starts to read both outputs and to feed stdin.
func (c *cell) drain() {
	c.out, c.err = newCapturer(c.plan.limits.Output), newCapturer(c.plan.limits.Output)
	stdout, stderr := c.stdout, c.stderr
	c.drains.Go(func() { c.err.drain(stderr) })
	if c.live != nil {
		c.live.take(c)
		return
	}
	c.drains.Go(func() { c.out.drain(stdout) })
	if len(c.spec.Stdin) == 0 {
		c.stdin.Close()
		return
	}
	in := c.stdin
	c.drains.Go(func() {
		// a tool that does not read its input ends this with EPIPE
		in.Write(c.spec.Stdin)
		in.Close()
	})
}

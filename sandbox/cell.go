//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/cgroup"
	"github.com/holdfast-run/holdfast/sandbox/internal/netgate"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
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

// files collects the descriptors of a process to be started, and closes the
// runner's copies of them.
type files []*os.File

func (l files) close() {
	for _, f := range l {
		f.Close()
	}
}

// start seals the plan and starts the stage.
func (c *cell) start() error {
	var theirs files
	defer func() { theirs.close() }()
	channel := func(mine **os.File, pair func() (*os.File, *os.File, error)) error {
		ours, other, err := pair()
		if err != nil {
			return err
		}
		*mine = ours
		theirs = append(theirs, other)
		if c.facts.UID == 0 {
			// a tool that opens /dev/stdout must own what is there; where the
			// identity cannot be had at all, the stage says so
			_ = other.Chown(c.facts.Identity.UID, c.facts.Identity.GID)
		}
		return nil
	}
	for _, ch := range []struct {
		mine **os.File
		pair func() (*os.File, *os.File, error)
	}{
		{&c.stdin, func() (*os.File, *os.File, error) { return pipe(false) }},
		{&c.stdout, func() (*os.File, *os.File, error) { return pipe(true) }},
		{&c.stderr, func() (*os.File, *os.File, error) { return pipe(true) }},
		{&c.control, socketPair},
		{&c.barrier, socketPair},
	} {
		if err := channel(ch.mine, ch.pair); err != nil {
			return fmt.Errorf("make channel: %w", err)
		}
	}
	for fd := range c.given {
		if err := c.given.note(fd, theirs[fd]); err != nil {
			return fmt.Errorf("look at channel: %w", err)
		}
	}
	if err := c.enclose(); err != nil {
		return err
	}
	fd, err := sealedMemfd("holdfast-plan", c.plan.bytes, false)
	if err != nil {
		return fmt.Errorf("seal plan: %w", err)
	}
	theirs = append(theirs, os.NewFile(uintptr(fd), "plan"))
	for _, p := range c.plan.passed {
		f, err := c.pass(p)
		if err != nil {
			return err
		}
		theirs = append(theirs, f)
	}
	c.stage, err = c.runner.launch(theirs)
	if err != nil {
		return fmt.Errorf("start stage: %w", err)
	}
	return nil
}

// pass opens one descriptor that the stage is given.
func (c *cell) pass(p passed) (*os.File, error) {
	if p.door > 0 {
		f := c.doors[p.door-1]
		c.doors[p.door-1] = nil
		return f, nil
	}
	if p.secret > 0 {
		return c.spec.Secrets[p.secret-1].pass()
	}
	if p.source == "" {
		fd, err := unix.FcntlInt(uintptr(c.spec.Helper.fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("pass helper: %w", err)
		}
		return os.NewFile(uintptr(fd), "helper"), nil
	}
	if c.runner.lenient {
		p.attr &^= attrRO // the plan alone decides
	}
	fd, err := c.runner.detach(p, c.facts)
	if err != nil {
		return nil, fmt.Errorf("detach mount: %w", err)
	}
	return os.NewFile(uintptr(fd), "mount"), nil
}

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

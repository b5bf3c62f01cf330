//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

const (
	// grace is what a tool gets between TERM and KILL.
	grace = 2 * time.Second
	// patience is what a killed cell gets to be gone.
	patience = 3 * time.Second
	// sampling is how often memory is added up where no cgroup counts it.
	sampling = 50 * time.Millisecond
)

// interrupt wakes whoever waits for a message; it is called from another
// goroutine when the caller's context ends.
func (c *cell) interrupt() {
	past := time.Unix(1, 0)
	c.control.SetReadDeadline(past)
	c.barrier.SetReadDeadline(past)
}

// supervise waits for the tool to end and enforces deadline, cancellation and,
// where nobody else does, memory.
func (c *cell) supervise(ctx context.Context) {
	end := time.Now().Add(c.plan.limits.Time)
	next := c.firstSample()
	for {
		wake := end
		if !next.IsZero() && next.Before(wake) {
			wake = next
		}
		m, err := receive(c.control, wake)
		switch {
		case err == nil && m.kind == stage.MsgExit:
			s := syscall.WaitStatus(m.err)
			c.status = &s
			return
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return // process 1 is gone, and everything with it
		case ctx.Err() != nil:
			c.stop(LimitCancelled)
			return
		case !time.Now().Before(end):
			c.stop(LimitTime)
			return
		case !next.IsZero() && !time.Now().Before(next):
			if memoryBelow(c.init.PID) > c.plan.limits.Memory {
				c.kill(LimitMemory)
				return
			}
			next = time.Now().Add(sampling)
		}
		// a cancellation may have been overwritten by our own deadline
		if ctx.Err() != nil {
			c.stop(LimitCancelled)
			return
		}
	}
}

func (c *cell) firstSample() time.Time {
	if c.facts.Memory != "approximate" {
		return time.Time{}
	}
	return time.Now().Add(sampling)
}

// stop asks every process of the cell to end, then ends them.
func (c *cell) stop(why LimitKind) {
	c.result.Limit = why
	if c.command('T', grace) {
		return
	}
	c.kill(why)
}

// kill ends every process of the cell.
func (c *cell) kill(why LimitKind) {
	c.result.Limit = why
	c.command('K', patience)
}

// command sends one letter to process 1 and waits for the tool to end.
func (c *cell) command(letter byte, wait time.Duration) bool {
	if _, err := c.control.Write([]byte{letter}); err != nil {
		return true
	}
	deadline := time.Now().Add(wait)
	for {
		m, err := receive(c.control, deadline)
		if err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
		if m.kind == stage.MsgExit {
			s := syscall.WaitStatus(m.err)
			c.status = &s
			return true
		}
	}
}

// end removes whatever is left of the cell and fills in the result. Closing
// the control channel makes both supervising processes end, and the end of
// process 1 ends its namespace.
func (c *cell) end() {
	for _, f := range []*os.File{c.control, c.barrier} {
		if f != nil {
			f.Close()
		}
	}
	if c.proc != nil {
		if c.status == nil {
			c.proc.Kill()
		}
		if state, err := c.proc.Wait(); err == nil {
			c.account(state)
		}
	}
	deadline := time.Now().Add(patience)
	for _, f := range []*os.File{c.stdout, c.stderr} {
		if f != nil {
			f.SetReadDeadline(deadline)
		}
	}
	if c.stdin != nil {
		c.stdin.Close()
	}
	c.drains.Wait()
	for _, f := range []*os.File{c.stdout, c.stderr} {
		if f != nil {
			f.Close()
		}
	}
	c.conclude()
}

func (c *cell) account(state *os.ProcessState) {
	u := Usage{User: state.UserTime(), System: state.SystemTime()}
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		u.MaxRSS = ru.Maxrss << 10
	}
	c.result.Usage = u
}

// conclude turns what is known of the end into exit code, signal and limit.
func (c *cell) conclude() {
	if c.out != nil {
		c.result.Stdout, c.result.Stderr = c.out.capture(), c.err.capture()
	}
	switch {
	case c.status == nil:
		c.result.Exit, c.result.Signal = 128+int(syscall.SIGKILL), int(syscall.SIGKILL)
	case c.status.Signaled():
		c.result.Signal = int(c.status.Signal())
		c.result.Exit = 128 + c.result.Signal
		if c.status.Signal() == syscall.SIGXFSZ && c.result.Limit == LimitNone {
			c.result.Limit = LimitFileSize
		}
	default:
		c.result.Exit = c.status.ExitStatus()
	}
}

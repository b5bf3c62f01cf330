//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"io"
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
	// lastPatience is what is left of it gets after that; on a machine that is
	// very busy even dying takes its time.
	lastPatience = 10 * time.Second
	// sampling is how often memory is added up where no cgroup counts it, unless
	// that takes longer than a tenth of the time; rarest bounds that.
	sampling = 50 * time.Millisecond
	rarest   = time.Second
)

// interrupt wakes whoever waits for a message; it is called from another
// goroutine when the caller's context ends.
func (c *cell) interrupt() {
	defer close(c.woken)
	past := time.Unix(1, 0)
	c.control.SetReadDeadline(past)
	c.barrier.SetReadDeadline(past)
}

// await is receive that also ends with the context. The context is looked at
// after the deadline is set: whoever ends it later moves the deadline.
func (c *cell) await(ctx context.Context, f *os.File, deadline time.Time) (message, error) {
	if err := f.SetReadDeadline(deadline); err != nil {
		return message{}, err
	}
	if ctx.Err() != nil {
		return message{}, os.ErrDeadlineExceeded
	}
	return receiveMore(f)
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
		m, err := c.await(ctx, c.control, wake)
		switch {
		case err == nil && m.kind == stage.MsgExit:
			c.ended(m)
			return
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return // process 1 is gone, and everything with it
		case ctx.Err() != nil:
			<-c.woken // it would move the deadlines below
			c.stop(LimitCancelled)
			return
		case !time.Now().Before(end):
			c.stop(LimitTime)
			return
		case !next.IsZero() && !time.Now().Before(next):
			begin := time.Now()
			c.resume()
			if c.outOfMemory() {
				c.kill(LimitMemory)
				return
			}
			next = time.Now().Add(min(max(sampling, 10*time.Since(begin)), rarest))
		}
	}
}

// ended notes the wait status that process 1 reports.
func (c *cell) ended(m message) {
	s := syscall.WaitStatus(m.err)
	c.status = &s
}

func (c *cell) firstSample() time.Time {
	return time.Now().Add(sampling)
}

// stop asks every process of the cell to end, then ends them. A tool whose end
// is already reported was not stopped.
func (c *cell) stop(why LimitKind) {
	if m, err := receive(c.control, time.Now().Add(time.Millisecond)); err == nil && m.kind == stage.MsgExit {
		c.ended(m)
		return
	}
	c.result.Limit = why
	if c.command('T', grace) {
		return
	}
	c.kill(why)
}

// kill ends every process of the cell.
func (c *cell) kill(why LimitKind) {
	c.result.Limit = why
	if c.group != nil {
		c.group.Kill()
	}
	c.command('K', patience)
}

// command sends one letter to process 1 and waits for the tool to end.
func (c *cell) command(letter byte, wait time.Duration) bool {
	_, gone := c.control.Write([]byte{letter})
	deadline := time.Now().Add(wait)
	for {
		m, err := receive(c.control, deadline)
		if err == io.EOF && gone == nil {
			gone = err // the kernel says once that the letter was not read
			continue
		}
		if err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
		if m.kind == stage.MsgExit {
			c.ended(m)
			return true
		}
	}
}

// end ends whatever is left of the cell and fills in the result. Closing the
// control channel makes process 1 end, and its end that of its namespace. When
// end returns no process of the cell is left, and nobody can write to it or read
// from it; what the kernel has to take down, and the runner to close, is cleared
// away beside what comes next.
func (c *cell) end() {
	c.closeGate()
	if c.status == nil {
		c.hangUp()
		c.family.kill()
	}
	u, gone := c.reap()
	c.result.Usage, c.result.Stuck = u, !gone
	c.denials.close()
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
	c.leaveGroup()
	c.conclude()
	v := c.vessel
	c.runner.later(func() {
		v.asked.close()
		for _, f := range []*os.File{v.control, v.barrier, v.stdout, v.stderr, v.terminal, v.keyboard} {
			if f != nil {
				f.Close()
			}
		}
	})
}

// hangUp closes the channels to the cell. Once the tool has ended by itself, its
// supervisors do so too and need not be woken for that. It may be called twice.
func (c *cell) hangUp() {
	for _, f := range []*os.File{c.control, c.barrier} {
		if f != nil {
			f.Close()
		}
	}
}

// conclude turns what is known of the end into exit code, signal and limit.
func (c *cell) conclude() {
	if c.out != nil {
		c.result.Stdout, c.result.Stderr = c.out.capture(), c.err.capture()
	}
	c.result.Denials = c.denials.list()
	if c.denials.overrun() && c.result.Limit == LimitNone {
		c.result.Limit = LimitDenials
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

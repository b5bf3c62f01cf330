//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"io"
	"os"
)

// Running is a cell whose tool was let go and works beside everything else: a
// server that is spoken to, or a job that takes its time. It ends when its tool
// does, when a limit is met, when it is stopped, when the context of its start
// ends, and with this process. Its methods may be called from any goroutine.
type Running struct {
	cancel   context.CancelFunc
	released chan struct{}
	done     chan struct{}

	stdin, stdout *os.File // set before released is closed
	terminal      bool     // stdin and stdout are the runner's end of one
	result        Result   // these two before done is
	err           error
}

// Start is Run for what goes on: it returns when the tool was let go. Its input
// is written to Stdin, its output read from Stdout, which holds the tool up when
// nobody reads; s.Stdin must be empty. With s.PTY both are a terminal's: standard
// error comes with the output, and the end of the input is a character. Everything else is as for Run: one plan,
// one attestation, one set of limits, of which Limits.Time bounds how long it may
// go on. What it changed in a workspace is committed if it ended by itself, and
// dropped if it was stopped.
//
// Stop and Wait must be called in the end, Wait also after an end by itself.
func (r *Runner) Start(ctx context.Context, s Spec, rec Recorder) (*Running, error) {
	if len(s.Stdin) > 0 {
		return nil, &Error{Op: "run cell", Err: &SpecError{"Stdin", "is written to a cell that goes on, not given"}}
	}
	ctx, cancel := context.WithCancel(ctx)
	live := &Running{cancel: cancel, released: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(live.done)
		defer cancel()
		live.result, live.err = r.run(ctx, s, rec, live)
	}()
	select {
	case <-live.released:
		return live, nil
	case <-live.done:
	}
	select {
	case <-live.released: // and it ended as soon
		return live, nil
	default:
		return nil, live.err
	}
}

// Stdin is the input of the tool. Closing it is its end. A write fails when the
// tool reads no more.
func (l *Running) Stdin() io.WriteCloser { return l.stdin }

// Resize tells the tool that its terminal has another size. Without a terminal it does
// nothing.
func (l *Running) Resize(s Size) error {
	if !l.terminal {
		return nil
	}
	return resize(l.stdout, s)
}

// Stdout is the output of the tool. It ends when every process of the cell that
// could write to it has.
func (l *Running) Stdout() io.Reader {
	if l.terminal {
		return untilHangup{l.stdout}
	}
	return l.stdout
}

// Stop asks the tool to end, and ends it and all it started two seconds later. It
// does not wait. After an end it does nothing.
func (l *Running) Stop() { l.cancel() }

// Done is closed when nothing of the cell is left.
func (l *Running) Done() <-chan struct{} { return l.done }

// Wait waits until nothing of the cell is left and returns what became of it, as
// Run does, with what the tool wrote to standard error. It closes Stdin and
// Stdout, so read Stdout to its end before. An [ErrExec] says that there was
// nothing to execute.
func (l *Running) Wait() (Result, error) {
	<-l.done
	l.stdin.Close()
	l.stdout.Close()
	return l.result, l.err
}

// take over the streams of c, which are not the runner's any more.
func (l *Running) take(c *cell) {
	if c.terminal != nil {
		l.terminal = true
		c.stdin.Close()
		c.stdout.Close()
		c.stdin, c.stdout = c.keyboard, c.terminal
		c.keyboard, c.terminal = nil, nil
	}
	l.stdin, l.stdout = c.stdin, c.stdout
	c.stdin, c.stdout = nil, nil
	close(l.released)
}

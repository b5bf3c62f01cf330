package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/holdfast-run/holdfast/sandbox"
)

// leaveKey ends a session: what programs make of every other key is their business.
const leaveKey = 0x1d // Ctrl-]

// session lets a command in a cell speak with a person at their terminal. It is a
// tools.Runner for one call.
type session struct {
	runner *sandbox.Runner
	tty    *os.File
}

// openSession takes the terminal that the command was started from.
func openSession(r *sandbox.Runner) (*session, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, usage(errors.New("--pty speaks with your terminal, and there is none"))
	}
	return &session{r, f}, nil
}

func (s *session) Close() error { return s.tty.Close() }

// Run implements tools.Runner. What was shown is the call's output.
func (s *session) Run(ctx context.Context, spec sandbox.Spec, rec sandbox.Recorder) (sandbox.Result, error) {
	size := s.size()
	spec.PTY = &size
	live, err := s.runner.Start(ctx, spec, rec)
	if err != nil {
		return sandbox.Result{}, err
	}
	fmt.Fprintf(s.tty, "in a cell; Ctrl-] ends it\r\n")
	was, err := term.MakeRaw(int(s.tty.Fd()))
	if err != nil {
		live.Stop()
		_, werr := live.Wait()
		return sandbox.Result{}, errors.Join(fmt.Errorf("set up terminal: %w", err), werr)
	}
	stop := s.follow(live)
	go s.keys(live)
	shown := &transcript{}
	screen := newScreenFilter(s.tty)
	_, cerr := io.Copy(io.MultiWriter(shown, screen), live.Stdout())
	if cerr != nil {
		live.Stop() // nobody sees it any more
	}
	stop()
	res, err := live.Wait()
	err = errors.Join(err, screen.finish(), term.Restore(int(s.tty.Fd()), was))
	res.Stdout, res.Stderr = shown.capture(), sandbox.Capture{}
	return res, err
}

// keys passes on what is typed until the session ends.
func (s *session) keys(live *sandbox.Running) {
	b := make([]byte, 1024)
	for {
		n, err := s.tty.Read(b)
		typed, _, leave := bytes.Cut(b[:n], []byte{leaveKey})
		if _, werr := live.Stdin().Write(typed); werr != nil || err != nil || leave {
			live.Stop()
			return
		}
	}
}

// follow tells the cell when the terminal changes its size.
func (s *session) follow(live *sandbox.Running) (stop func()) {
	changed, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-changed:
				_ = live.Resize(s.size()) // it has ended
			case <-done:
				return
			}
		}
	}()
	return func() { signal.Stop(changed); close(done) }
}

// size is that of the terminal, what most have if it is not known.
func (s *session) size() sandbox.Size {
	cols, rows, err := term.GetSize(int(s.tty.Fd()))
	if err != nil || cols < 1 || rows < 1 || cols > 65535 || rows > 65535 {
		return sandbox.Size{Rows: 24, Cols: 80}
	}
	return sandbox.Size{Rows: uint16(rows), Cols: uint16(cols)}
}

// kept is how much of a session is kept from its beginning, and from its end.
const kept = 512 << 10

// transcript keeps the beginning and the end of what is written to it.
type transcript struct {
	head, tail []byte
	total      int64
}

// Write implements io.Writer.
func (t *transcript) Write(b []byte) (int, error) {
	t.total += int64(len(b))
	n := min(len(b), kept-len(t.head))
	t.head = append(t.head, b[:n]...)
	t.tail = append(t.tail, b[n:]...)
	if len(t.tail) > 2*kept {
		t.tail = bytes.Clone(t.tail[len(t.tail)-kept:])
	}
	return len(b), nil
}

func (t *transcript) capture() sandbox.Capture {
	return sandbox.Capture{Head: t.head, Tail: t.tail[max(0, len(t.tail)-kept):], Total: t.total}
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

// terminalType is what a tool with a terminal finds in TERM.
const terminalType = "xterm"

func checkPTY(s Spec) error {
	if s.PTY != nil && (s.PTY.Rows == 0 || s.PTY.Cols == 0) {
		return &SpecError{"PTY", "has no rows or no columns"}
	}
	return nil
}

// terminal gives the cell a file system of pseudo-terminals that is its own, the first of
// which is the tool's, and the name by which a program finds the one that controls it.
func (v *layout) terminal(s *Size) {
	if s == nil {
		return
	}
	v.dir("/dev/pts")
	v.b.add(op{code: stage.PTY, phase: 1, a: uint32(s.Rows), b: uint32(s.Cols), text: "dev/pts"})
	v.b.expect("/dev/pts", "devpts", attrNoSUID|attrNoExec, false)
	v.link("/dev/ptmx", "pts/ptmx")
	v.file("/dev/tty", "")
	v.source("/dev/tty", "/dev/tty", Source{}, attrRO|attrNoSUID|attrNoExec)
}

// receiveTerminal receives the runner's end of the cell's terminal, and notes what the
// other end is, which the tool must have as its streams.
func (c *cell) receiveTerminal(ctx context.Context, deadline time.Time) error {
	if !c.plan.pty {
		return nil
	}
	m, err := c.expect(ctx, c.control, stage.MsgPTY, deadline)
	if err != nil {
		return c.interrupted(ctx, err)
	}
	if m.fd < 0 {
		return errors.New("receive terminal: no descriptor came along")
	}
	second, err := unix.FcntlInt(uintptr(m.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(m.fd, true) // of both: they are one open file
	}
	c.terminal = os.NewFile(uintptr(m.fd), "terminal")
	if err != nil {
		return fmt.Errorf("receive terminal: %w", err)
	}
	c.keyboard = os.NewFile(uintptr(second), "terminal")
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(m.fd), unix.TIOCGPTPEER, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if errno != 0 {
		return fmt.Errorf("examine terminal: %w", errno)
	}
	f := os.NewFile(peer, "terminal")
	defer f.Close()
	for fd := range c.given {
		if err := c.given.note(fd, f); err != nil {
			return fmt.Errorf("examine terminal: %w", err)
		}
	}
	return nil
}

// resize sets the size of a terminal by its runner's end.
func resize(f *os.File, s Size) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: s.Rows, Col: s.Cols})
	}); err != nil {
		return err
	}
	return serr
}

// untilHangup reads from a terminal until nobody has its other end: the kernel says that by
// an error of its own.
type untilHangup struct{ f *os.File }

// Read implements io.Reader.
func (u untilHangup) Read(b []byte) (int, error) {
	n, err := u.f.Read(b)
	if errors.Is(err, unix.EIO) {
		err = io.EOF
	}
	return n, err
}

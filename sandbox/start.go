//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

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

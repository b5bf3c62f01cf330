//go:build linux && (amd64 || arm64)

package sandbox

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// family is what was started for a cell: the stage, and process 1 of the cell,
// which the stage makes a child of the runner as well, so that nobody stands
// between when the cell ends. Both are in one process group, which the stage
// leads, and nobody else is.
type family struct {
	stage *os.Process // nil before it is started
	alone bool        // process 1 supervises, and nobody watches over it
	init  int         // a descriptor of process 1, from then on
	ended chan Usage  // what the stage used, once it has ended, likewise
}

// relieve ends the stage, which watched over process 1 until that supervises.
func (f *family) relieve(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return &AttestError{"init", "a process that can be waited for", err.Error()}
	}
	f.alone, f.init, f.ended = true, fd, make(chan Usage, 1)
	go func(stage *os.Process, ended chan<- Usage) {
		_ = stage.Kill() // already ended is as good
		var u Usage
		if state, err := stage.Wait(); err == nil {
			if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
				u = usageOf(*ru)
			}
		}
		ended <- u
	}(f.stage, f.ended)
	return nil
}

// stopped reports whether process 1 is, which nobody but another program of the
// same user can have done.
func (f *family) stopped() bool {
	var what unix.Siginfo
	err := unix.Waitid(unix.P_PIDFD, f.init, &what, unix.WSTOPPED|unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || what.Signo != 0
}

// resume lets process 1 go on if it was stopped: until then nobody would hear how
// the tool ended.
func (f *family) resume() {
	if f.stopped() {
		_ = unix.PidfdSendSignal(f.init, unix.SIGCONT, nil, 0)
	}
}

// kill ends process 1 and with it the cell. Unless the stage was relieved nobody
// has waited for it, so that its number, which is that of the group, means nobody
// else.
func (f *family) kill() {
	switch {
	case f.alone:
		_ = unix.PidfdSendSignal(f.init, unix.SIGKILL, nil, 0)
	case f.stage != nil:
		_ = unix.Kill(-f.stage.Pid, unix.SIGKILL)
	}
}

// reap waits until nothing of the cell is left, and returns what it used. After
// patience it ends it, and after lastPatience it waits no longer and returns
// false: what hangs in the kernel, on a dead network file system for instance,
// cannot be ended.
func (f *family) reap() (Usage, bool) {
	if f.stage == nil {
		return Usage{}, true
	}
	if !f.alone {
		return f.reapGroup()
	}
	if !endedWithin(f.init, patience) {
		f.kill()
		if !endedWithin(f.init, lastPatience) {
			go f.wait()
			return Usage{}, false
		}
	}
	return f.wait(), true
}

// wait waits for process 1 and for the stage.
func (f *family) wait() Usage {
	var ru unix.Rusage
	for unix.Waitid(unix.P_PIDFD, f.init, nil, unix.WEXITED, &ru) == unix.EINTR {
	}
	unix.Close(f.init)
	return usageOf(syscall.Rusage{Utime: syscall.Timeval(ru.Utime), Stime: syscall.Timeval(ru.Stime), Maxrss: ru.Maxrss}).with(<-f.ended)
}

// reapGroup ends a cell whose process 1 has not come to supervise, and waits for
// whoever there is.
func (f *family) reapGroup() (Usage, bool) {
	f.kill()
	done := make(chan Usage, 1)
	go func() {
		var u Usage
		for {
			var ru syscall.Rusage
			_, err := syscall.Wait4(-f.stage.Pid, nil, 0, &ru)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				break
			}
			u = u.with(usageOf(ru))
		}
		_ = f.stage.Release()
		done <- u
	}()
	select {
	case u := <-done:
		return u, true
	case <-time.After(patience + lastPatience):
		return Usage{}, false
	}
}

// endedWithin waits until the process behind a descriptor has ended.
func endedWithin(pidfd int, wait time.Duration) bool {
	for deadline := time.Now().Add(wait); ; {
		p := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, int(time.Until(deadline).Milliseconds())+1)
		if err == nil && n > 0 {
			return true
		}
		if !time.Now().Before(deadline) {
			return false
		}
	}
}

func usageOf(ru syscall.Rusage) Usage {
	return Usage{User: time.Duration(ru.Utime.Nano()), System: time.Duration(ru.Stime.Nano()), MaxRSS: ru.Maxrss << 10}
}

// with adds what another process used.
func (u Usage) with(o Usage) Usage {
	u.User, u.System, u.MaxRSS = u.User+o.User, u.System+o.System, max(u.MaxRSS, o.MaxRSS)
	return u
}

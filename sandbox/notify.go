//go:build linux && (amd64 || arm64)

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/holdfast-run/holdfast/sandbox/internal/bpf"
	"golang.org/x/sys/unix"
)

// denials answers the questions of one cell's filter and counts them. The
// answer is always the errno that the policy has for the call: nothing is ever
// let through, whatever the arguments turn out to be. If the runner dies the
// kernel answers for it, with ENOSYS.
type denials struct {
	file   *os.File
	policy *bpf.Policy
	over   func() // called once there were too many
	done   chan struct{}

	mu    sync.Mutex
	rows  map[denialKey]*Denial
	order []denialKey
	total int
}

type denialKey struct {
	nr    uint32
	errno syscall.Errno
}

// maxRows bounds how many different denials are kept.
const maxRows = 64

// listen takes over the listener that came with the report of the tool.
func (c *cell) listen(fd int) error {
	if fd < 0 {
		return errors.New("receive listener: no descriptor came along")
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return fmt.Errorf("receive listener: %w", err)
	}
	c.denials = &denials{file: os.NewFile(uintptr(fd), "listener"), policy: answers(bpf.Options{SharedMemory: c.facts.Memory != "approximate", Network: len(c.plan.ports) > 0}),
		done: make(chan struct{}), rows: map[denialKey]*Denial{},
		over: func() { c.control.Write([]byte{'K'}) }}
	go c.denials.serve()
	return nil
}

// policies holds each policy without questions once it was needed.
var policies sync.Map // of bpf.Options, as *bpf.Policy

// answers is the policy without questions.
func answers(o bpf.Options) *bpf.Policy {
	p, ok := policies.Load(o)
	if !ok {
		p, _ = policies.LoadOrStore(o, bpf.New(o))
	}
	return p.(*bpf.Policy)
}

// question and answer are struct seccomp_notif and seccomp_notif_resp.
type question struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type answer struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

const (
	notifReceive = 0xc0502100 // SECCOMP_IOCTL_NOTIF_RECV
	notifSend    = 0xc0182101 // SECCOMP_IOCTL_NOTIF_SEND
)

// serve answers until nobody is left who could ask.
func (d *denials) serve() {
	defer close(d.done)
	raw, err := d.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool {
		for {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(p, 0); err != nil && err != unix.EINTR {
				return true
			}
			switch {
			case p[0].Revents&unix.POLLIN != 0:
				d.answer(fd)
			case p[0].Revents != 0:
				return true
			default:
				return false
			}
		}
	})
}

func (d *denials) answer(fd uintptr) {
	var q question
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, fd, notifReceive, uintptr(unsafe.Pointer(&q))); e != 0 {
		return // who asked is gone
	}
	errno := d.policy.Verdict(bpf.Input{NR: uint32(q.nr), Arch: q.arch, Args: q.args}).Errno()
	if errno == 0 {
		errno = syscall.EPERM // it asked, so it is not allowed
	}
	d.note(q, errno)
	a := answer{id: q.id, err: -int32(errno)}
	unix.Syscall(unix.SYS_IOCTL, fd, notifSend, uintptr(unsafe.Pointer(&a)))
}

func (d *denials) note(q question, errno syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total++
	if d.total == maxDenials {
		d.over()
	}
	k := denialKey{uint32(q.nr), errno}
	if row := d.rows[k]; row != nil {
		row.Count++
		return
	}
	if len(d.rows) == maxRows {
		return
	}
	comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", q.pid))
	d.rows[k] = &Denial{Call: bpf.Name(k.nr), Errno: unix.ErrnoName(errno), Count: 1, Args: q.args,
		Comm: strconv.QuoteToASCII(strings.TrimSuffix(string(comm), "\n"))}
	d.order = append(d.order, k)
}

// close ends the service. A nil denials has none.
func (d *denials) close() {
	if d != nil {
		d.file.Close()
		<-d.done
	}
}

// list returns the rows in the order of their first call.
func (d *denials) list() []Denial {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []Denial
	for _, k := range d.order {
		list = append(list, *d.rows[k])
	}
	return list
}

// overrun reports whether there were too many.
func (d *denials) overrun() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.total >= maxDenials
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

const (
	// maxPool bounds Config.Pool.
	maxPool = 32
	// poolAge is how long a cell waits for a call: what was mounted in it stays
	// busy so long, and what came to be mounted since is not in it.
	poolAge = time.Minute
)

// poolKey is all that a prepared cell and a call must have in common.
type poolKey struct {
	plan   string // the encoded part that does not depend on the call
	helper [32]byte
	memory int64 // of the control group
	procs  int
}

// standby is one prepared cell.
type standby struct {
	cell  *cell
	timer *time.Timer
}

// pool holds cells that were built before their call was known: namespaces,
// mounts, limits and filters stand, and what will be the tool waits for the plan
// of its call. Nothing of a call is in them. Each is used once or discarded. A
// nil pool has none. It is safe for concurrent use.
type pool struct {
	runner *Runner
	most   int
	always bool
	age    time.Duration
	mounts int // a descriptor that tells when the host's mount table changes

	mu       sync.Mutex
	ready    []*standby // oldest first
	building map[poolKey]int
	tables   int // of the host's mounts that there have been
	closed   bool
	work     sync.WaitGroup
	ctx      context.Context // ends with the pool
	cancel   context.CancelFunc
}

// newPool returns the pool that the configuration asks for.
func newPool(r *Runner, c Config) (*pool, error) {
	if c.Pool < 0 || c.Pool > maxPool {
		return nil, &SpecError{"Config.Pool", fmt.Sprintf("%d is outside 0..%d", c.Pool, maxPool)}
	}
	if c.Pool == 0 && !c.PoolAlways {
		return nil, nil
	}
	mounts, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	p := &pool{runner: r, most: c.Pool, always: c.PoolAlways, age: poolAge, mounts: mounts, building: map[poolKey]int{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// key returns the key of a call and of the cells prepared for it.
func (c *cell) key() poolKey {
	k := poolKey{plan: string(c.plan.standby()), memory: c.plan.limits.Memory, procs: c.plan.limits.Processes}
	if c.spec.Helper != nil {
		k.helper = c.spec.Helper.digest
	}
	return k
}

// unlike reports whether no cell is prepared for such a call: none waits with a secret
// in it, or with a terminal, of which a person has one at a time.
func (s Spec) unlike() bool { return len(s.Secrets) > 0 || s.PTY != nil }

// obtain makes c stand: by a cell that is ready for it, or by building one.
func (c *cell) obtain(ctx context.Context) error {
	p := c.runner.pool
	if p == nil || c.spec.unlike() {
		return c.build(ctx)
	}
	c.kind = c.key()
	s := p.take(c.kind)
	if s == nil && !p.always {
		return c.build(ctx)
	}
	if s == nil {
		s = c.likeness()
		err := s.build(ctx)
		s.built()
		if err != nil {
			s.discard()
			return err
		}
	}
	c.vessel = s.vessel
	return c.facts.unchanged()
}

// likeness is a cell to be built of the kind of c, without anything of its call.
func (c *cell) likeness() *cell {
	p := c.plan
	p.bytes = []byte(c.kind.plan) // its digest is nobody's business
	return &cell{runner: c.runner, spec: Spec{Helper: c.spec.Helper}, facts: c.facts, plan: p, kind: c.kind,
		begin: time.Now(), vessel: vessel{prepared: true}}
}

// hand gives a prepared cell the plan of its call.
func (c *cell) hand() error {
	fd, err := sealedMemfd("holdfast-plan", c.plan.bytes, false)
	if err != nil {
		return fmt.Errorf("seal plan: %w", err)
	}
	defer unix.Close(fd)
	raw, err := c.barrier.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Write(func(to uintptr) bool {
		serr = unix.Sendmsg(int(to), []byte{'P'}, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
		return serr != unix.EAGAIN && serr != unix.EINTR
	})
	if err == nil {
		err = serr
	}
	if err != nil {
		return &SetupError{Op: stage.Barrier.String(), Index: -1, Errno: errnoOf(err), What: "a prepared cell was gone"}
	}
	return nil
}

// unchanged compares every approved source with what bears its name now, as the
// stage does when it mounts: a prepared cell has mounted earlier.
func (f Facts) unchanged() error {
	for p, s := range f.Sources {
		fd, err := openPath(p)
		if err != nil {
			return &SetupError{Op: stage.Tree.String(), Index: -1, Errno: errnoOf(err), What: p}
		}
		var st unix.Statx_t
		err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st)
		unix.Close(fd)
		if err != nil || st.Ino != s.Ino || uint64(st.Dev_major)<<32|uint64(st.Dev_minor) != s.Dev {
			return &SetupError{Op: stage.Tree.String(), Index: -1, Errno: unix.ESTALE, What: p}
		}
	}
	return nil
}

// discard ends a cell that no call used.
func (c *cell) discard() {
	c.built()
	c.end()
	if c.layer != nil {
		c.layer.Close()
	}
}

// take returns a cell for a key and gives it up, or nil. One that died is none,
// and when the host's mounts changed there is none at all.
func (p *pool) take(k poolKey) *cell {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.moved() {
		p.tables++ // what is being built is of the one before
		p.drop(func(*standby) bool { return true })
	}
	for {
		i := slices.IndexFunc(p.ready, func(s *standby) bool { return s.cell.kind == k })
		if i < 0 {
			return nil
		}
		s := p.ready[i]
		p.ready = slices.Delete(p.ready, i, i+1)
		s.timer.Stop()
		if s.cell.waiting() {
			return s.cell
		}
		p.end(s)
	}
}

// moved reports whether the host's mount table changed since it was last asked.
func (p *pool) moved() bool {
	f := []unix.PollFd{{Fd: int32(p.mounts), Events: unix.POLLPRI}}
	n, err := unix.Poll(f, 0)
	return err != nil || n != 0
}

// waiting reports whether nothing has happened to a prepared cell: it has said
// nothing more, its processes are there, and nobody has stopped one. What the
// status of the process that becomes the tool says now is kept for its
// attestation.
func (c *cell) waiting() bool {
	if !quiet(c.control) || !quiet(c.barrier) || c.stopped() {
		return false
	}
	now, err := c.asked.status.read()
	if err != nil || strings.ContainsAny(now["State"][:min(1, len(now["State"]))], "TtZX") {
		return false
	}
	c.now = now
	return true
}

// quiet reports whether there is nothing to receive, not even the end.
func quiet(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	n := 1
	cerr := raw.Control(func(fd uintptr) {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	})
	return cerr == nil && err == nil && n == 0
}

// errnoOf returns the errno in err, EIO if there is none.
func errnoOf(err error) unix.Errno {
	if e, ok := errors.AsType[unix.Errno](err); ok {
		return e
	}
	return unix.EIO
}

// drop discards the cells that f names. The lock is held.
func (p *pool) drop(f func(*standby) bool) {
	p.ready = slices.DeleteFunc(p.ready, func(s *standby) bool {
		if !f(s) {
			return false
		}
		p.end(s)
		return true
	})
}

// end discards one cell, which takes a moment, beside everything else. The lock
// is held.
func (p *pool) end(s *standby) {
	s.timer.Stop()
	p.work.Go(s.cell.discard)
}

// renew prepares a cell like the one that c used, and, if c changed its
// workspace, others in place of those that have it mounted.
func (p *pool) renew(c *cell) {
	if p == nil || c.spec.unlike() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var stale []*standby
	if c.result.CommitID != "" {
		p.drop(func(s *standby) bool {
			_, shows := s.cell.facts.Sources[c.spec.Workspace.Dir]
			if shows {
				stale = append(stale, s)
			}
			return shows
		})
	}
	p.prepare(c.likeness())
	for _, s := range stale {
		p.prepare(s.cell.likeness())
	}
}

// prepare builds a cell beside everything else, if its kind is not there yet,
// and keeps it in place of the oldest. The lock is held.
func (p *pool) prepare(c *cell) {
	k := c.kind
	there := slices.ContainsFunc(p.ready, func(s *standby) bool { return s.cell.kind == k })
	if p.closed || p.most == 0 || there || p.building[k] > 0 {
		return
	}
	p.building[k]++
	table := p.tables
	p.work.Add(1)
	// a moment later, when the caller has the result of the call before
	time.AfterFunc(time.Millisecond, func() {
		defer p.work.Done()
		err := c.build(p.ctx)
		c.built()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.building, k)
		s := &standby{cell: c}
		s.timer = time.AfterFunc(p.age, func() { p.retire(s) })
		if err != nil || p.closed || p.tables != table {
			p.end(s)
			return
		}
		if len(p.ready) >= p.most {
			p.end(p.ready[0])
			p.ready = slices.Delete(p.ready, 0, 1)
		}
		p.ready = append(p.ready, s)
	})
}

// retire discards a cell that nobody called for.
func (p *pool) retire(old *standby) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(func(s *standby) bool { return s == old })
}

// close discards everything and waits until it is gone. It may be called twice.
func (p *pool) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	p.cancel()
	p.drop(func(*standby) bool { return true })
	p.mu.Unlock()
	p.work.Wait()
	unix.Close(p.mounts)
}

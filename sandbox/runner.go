//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/cgroup"
	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// Runner starts cells within the bounds of one Config. It is safe for
// concurrent use.
type Runner struct {
	facts    Facts
	own      map[string]uint64 // namespaces of the runner itself
	idmaps   idmaps
	launcher launcher
	most     int              // entries of a workspace that are looked through
	stores   []*overlay.Store // the first takes new commits
	states   []stateDir       // where they lie
	groups   *cgroup.Tree     // nil where there are none
	pool     *pool            // nil where no cell is prepared ahead
	// recovered is what New found in the store.
	recovered []Recovered

	// setups lets so many cells be built at a time: more only make each other
	// late, on the locks of the kernel that namespaces are made under.
	setups chan struct{}

	// rewrite changes encoded plans; set by tests only, which thereby show
	// that a damaged plan starts nothing.
	rewrite func([]byte) []byte
	// lenient lets cells start that are not as planned; set by tests only, which
	// show what the layers that are left still stop.
	lenient bool
	// loosened are more rules of every gate; set by tests only, which show what a
	// gate alone refuses.
	loosened []HostRule
	// resolve looks names up in place of this machine; set by tests only.
	resolve func(context.Context, string) ([]netip.Addr, error)
	// opened is called when a barrier was opened; set by tests only.
	opened func()
	// asides holds one for each cell whose remains are being closed.
	asides chan struct{}
	mu     sync.RWMutex // held for reading while a cell is started
	closed bool
}

// later does f, which is done when Close returns, beside everything else, or at
// once where much is being done so already.
func (r *Runner) later(f func()) {
	select {
	case r.asides <- struct{}{}:
		go func() {
			f()
			<-r.asides
		}()
	default:
		f()
	}
}

// New examines the machine and returns a Runner, or an *Error wrapping
// ErrRefused that names the layer that is missing. It builds one cell to know.
func New(ctx context.Context, c Config) (*Runner, error) {
	r, err := open(c)
	if err != nil {
		return nil, err
	}
	if err := r.probe(ctx); err != nil {
		r.Close()
		_, layer := blame(r.facts, err)
		return nil, &Error{Op: "open sandbox", Hint: layer.Fix,
			Err: &RefusedError{layer.Name, "a working one", layer.Evidence}}
	}
	if err := r.openStores(ctx, c); err != nil {
		r.Close()
		return nil, err
	}
	if r.pool, err = newPool(r, c); err != nil {
		r.Close()
		return nil, &Error{Op: "open sandbox", Err: err}
	}
	return r, nil
}

// probe proves that cells can be built here. Optional things may be
// absent, which is known from then on: a proc, where the reduced profile is
// allowed, executing memory files, without which the whole program is the
// launcher, a pid_max of each namespace, Landlock, a time namespace, overlays,
// and listeners of filters.
func (r *Runner) probe(ctx context.Context) error {
	err := r.prove(ctx)
	for range 6 {
		e, _ := errors.AsType[*SetupError](err)
		switch {
		case e != nil && e.Op == stage.Landlock.String():
			r.facts.Landlock = false
		case e != nil && e.Op == stage.PIDMax.String():
			r.facts.PIDMax = false
		case e != nil && e.Op == stage.TimeNS.String():
			r.facts.TimeNS = false
		case e != nil && e.Op == stage.Seccomp.String() && r.facts.Notify:
			r.facts.Notify = false
		case e != nil && e.Op == stage.Overlay.String():
			r.facts.Overlay = false
		case e != nil && e.Op == stage.Proc.String() && r.facts.mayReduce() == nil:
			r.facts.NoProc = true
		default:
			continue
		}
		err = r.prove(ctx)
	}
	if err != nil && r.launcher.small() && diagnose(r.facts) == nil {
		r.launcher.close()
		err = r.prove(ctx)
	}
	return err
}

// open gathers facts without building a cell.
func open(c Config) (*Runner, error) {
	f, err := gather(c)
	if err != nil {
		return nil, &Error{Op: "open sandbox", Err: err}
	}
	own, err := namespacesOf("self", nsNames)
	if err != nil {
		return nil, &Error{Op: "open sandbox", Hint: "mount procfs at /proc", Err: err}
	}
	groups, err := cgroup.Open(c.RequireCgroup)
	if why, ok := errors.AsType[*cgroup.MissingError](err); ok {
		if c.RequireCgroup {
			return nil, &Error{Op: "open sandbox", Hint: why.Fix, Err: &RefusedError{"cgroup", "control groups for cells", why.Why}}
		}
		f.NoGroups = why.Why
	} else {
		f.Memory, f.Doors = string(groups.Kind()), groups.Doors()
	}
	if f.TimeNS {
		t, err := namespacesOf("self", []string{"time"})
		own["time"], f.TimeNS = t["time"], err == nil
	}
	// Without the small launcher the same stage runs from the whole program:
	// as safe, only slower to start.
	l, err := newLauncher()
	if err != nil {
		l = launcher{}
	}
	return &Runner{asides: make(chan struct{}, 8), setups: make(chan struct{}, max(4, 2*runtime.NumCPU())), facts: f, groups: groups, own: own, launcher: l, most: maxScan}, nil
}

// cleared waits until nothing is being closed.
func (r *Runner) cleared() {
	for range cap(r.asides) {
		r.asides <- struct{}{}
	}
	for range cap(r.asides) {
		<-r.asides
	}
}

// Close releases what the Runner holds. Running cells are not affected; new
// ones are refused, and those that wait for a call are gone when it returns.
// Close may be called twice.
func (r *Runner) Close() error {
	r.pool.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.cleared()
	r.idmaps.close()
	r.launcher.close()
	if r.groups != nil {
		r.groups.Close()
	}
	return nil
}

// launch starts a stage unless the Runner is closed, which also closes the
// descriptor of the launcher.
func (r *Runner) launch(given []*os.File) (*os.Process, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return nil, &RefusedError{"runner", "an open runner", "a closed one"}
	}
	return r.launcher.start(nil, given)
}

// Facts returns what the Runner knows of the machine.
func (r *Runner) Facts() Facts { return r.facts }

// Run builds one cell, runs the command of s in it and waits until nothing of
// it is left. rec must not be nil. When ctx ends before the tool is let go, it
// does not run and the error is that of ctx; when it ends later, the cell is
// stopped and the Result says so, without an error.
//
// An error means that the tool did not run, with one exception: an ErrRecord
// of step "finished" comes with the Result of a tool that ran.
func (r *Runner) Run(ctx context.Context, s Spec, rec Recorder) (Result, error) {
	return r.run(ctx, s, rec, nil)
}

// run is Run for a cell whose streams live takes, if it is not nil.
func (r *Runner) run(ctx context.Context, s Spec, rec Recorder, live *Running) (Result, error) {
	if rec == nil {
		return Result{}, &Error{Op: "run cell", Err: &SpecError{"Recorder", "is nil"}}
	}
	if err := ctx.Err(); err != nil {
		return Result{}, &Error{Op: "run cell", Err: err}
	}
	if s.PTY != nil && live == nil {
		return Result{}, &Error{Op: "run cell", Err: &SpecError{"PTY", "belongs to a cell that goes on"}}
	}
	begin := time.Now()
	s.Network.Allow = slices.Clone(s.Network.Allow) // of its own until the end
	s.Secrets = slices.Clone(s.Secrets)
	f, err := r.approve(s)
	if err != nil {
		return Result{}, &Error{Op: "approve sources", Err: err}
	}
	p, err := Compile(s, f)
	if err != nil {
		return Result{}, err
	}
	if r.rewrite != nil {
		p = p.holding(r.rewrite(p.bytes))
	}
	record := PlanRecord{CallID: s.CallID, Profile: s.Profile, Decision: s.Grants.Decision, Hosts: s.Network.Allow, Secrets: secretNames(s.Secrets), Plan: p.bytes,
		Digest: p.Digest(), Argv: s.Argv, Stdin: sha256.Sum256(s.Stdin), Facts: f, Degraded: degraded(f)}
	if s.Helper != nil {
		record.Helper = s.Helper.Digest()
	}
	if err := rec.Planned(ctx, record); err != nil {
		return Result{}, &Error{Op: "run cell", Err: &RecordError{"planned", err}}
	}
	c := &cell{runner: r, spec: s, facts: f, plan: p, rec: rec, begin: begin, live: live}
	return c.run(ctx)
}

// degraded lists the optional layers that cells on this machine lack.
func degraded(f Facts) []Degraded {
	var list []Degraded
	if !f.Notify {
		list = append(list, Degraded{denialLayerName, "absent", "another program already listens to the system calls of this one, or the kernel does not offer it"})
	}
	if !f.TimeNS {
		list = append(list, Degraded{"time namespace", "absent", "not offered by this kernel"})
	}
	if !f.Overlay {
		list = append(list, Degraded{workspaceLayerName, "absent",
			"no overlay file system in user namespaces: workspaces are mounted as they are, and calls that write are refused unless configured"})
	}
	for p, s := range f.Sources {
		if s.Below && f.Overlay {
			list = append(list, Degraded{workspaceLayerName, "absent", "something is mounted below " + p + ": as a workspace it is mounted as it is"})
		}
	}
	if f.NoProc {
		list = append(list, Degraded{procLayerName, "absent", "/proc is masked here: cells have none, and only the reduced profile is left"})
	}
	if f.Landlock {
		list = append(list, Degraded{"landlock", "partial", "version " + strconv.Itoa(f.LandlockABI) + ": bounds what is changed, not what is read"})
	} else {
		list = append(list, Degraded{"landlock", "absent", "not offered by this kernel in version 2: a named pipe in a read-only workspace can be written to"})
	}
	if !f.PIDMax {
		list = append(list, Degraded{"pid_max", "absent", "not a setting of each pid namespace here; RLIMIT_NPROC holds"})
	}
	if f.Unscanned {
		list = append(list, Degraded{"privileged files", "partial",
			"not all of the workspace could be looked through for set-user-id files of others"})
	}
	if f.Memory == "approximate" {
		list = append(list, Degraded{"cgroup", "approximate", "data-size limits and sampling; " + f.NoGroups})
	}
	return list
}

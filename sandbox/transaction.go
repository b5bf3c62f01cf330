//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
	"golang.org/x/sys/unix"
)

// workspaceLayerName names the layer in reports and refusals.
const workspaceLayerName = "workspace transaction"

// workspaceFix is what helps where no layer can take a call's changes.
const workspaceFix = "choose a workspace with nothing mounted below it; the kernel must be Linux 6.6 or newer with overlay file systems"

// tick returns a time of the coarse clock, which files are stamped with, that is
// later than begin: whatever was changed before the call began carries an
// earlier stamp, and whatever is changed from now on does not. It waits for the
// clock to turn, which takes a few milliseconds at most.
func tick(begin time.Time) time.Time {
	for {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &t); err != nil {
			return begin // stricter: what was changed during the setup is a conflict
		}
		now := time.Unix(t.Unix())
		if now.After(begin) || begin.Sub(now) > time.Second {
			return now
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// settle commits what the tool changed in the workspace, if it ended by itself,
// or drops it. Nothing of the cell is left when it is called. The end of ctx
// drops the changes as long as none is made.
func (c *cell) settle(ctx context.Context, started bool) error {
	if c.layer == nil {
		return nil
	}
	defer c.layer.Close()
	switch {
	case !started || c.spec.Workspace == nil || c.spec.Workspace.Drop:
		return nil
	case c.result.Stuck:
		c.result.Commit, c.result.Why = CommitDropped, "a process of the cell still runs"
		return nil
	case c.result.Limit == LimitCancelled: // what it would have changed is told all the same
		ctx = context.WithoutCancel(ctx)
	}
	err := c.commit(ctx)
	if r, ok := errors.AsType[*RecordError](err); ok {
		c.result.Commit, c.result.Why = CommitDropped, r.Error()
		return r
	}
	if err != nil {
		c.result.Commit, c.result.Why = CommitFailed, err.Error()
		if _, ok := errors.AsType[*overlay.ConflictError](err); ok {
			c.result.Commit = CommitConflict
		} else if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			c.result.Limit, c.result.Commit, c.result.Why = LimitCancelled, CommitDropped, "the caller stopped the commit"
		}
	}
	return nil
}

func (c *cell) commit(ctx context.Context) error {
	w := c.spec.Workspace
	lower, err := openDirectory(w.Dir)
	if err != nil {
		return fmt.Errorf("open workspace: %w", err)
	}
	defer unix.Close(lower)
	f := c.facts
	if c.result.Limit == LimitNone {
		// what another call commits meanwhile could make of two harmless changes
		// one that is not
		unlock, err := c.runner.store().Lock(ctx)
		if err != nil {
			return fmt.Errorf("wait for other commits: %w", err)
		}
		defer unlock()
	}
	layer, err := overlay.Read(ctx, int(c.layer.Fd()), lower,
		overlay.Filter{Protect: f.Config.Protect, Release: f.Config.Release}, f.Config.undoBytes())
	if err != nil {
		return err
	}
	c.result.Changes = layer.Changes()
	if c.result.Limit != LimitNone {
		if len(c.result.Changes) > 0 {
			c.result.Commit, c.result.Why = CommitDropped, "the tool was stopped"
		}
		return nil
	}
	src := f.Sources[w.Dir]
	id, err := c.runner.store().Commit(ctx, overlay.Request{Call: c.spec.CallID, Layer: layer, Since: c.since, Locked: true,
		Target: overlay.Target{Dir: w.Dir, Dev: src.Dev, Ino: src.Ino, Own: f.UID == 0},
		Deciding: func(id string) error {
			err := c.rec.Deciding(context.WithoutCancel(ctx), CommitRecord{CallID: c.spec.CallID, Decision: c.spec.Grants.Decision,
				Commit: id, Workspace: w.Dir, Changes: c.result.Changes})
			if err != nil {
				return &RecordError{"deciding", err}
			}
			return nil
		}})
	if err != nil {
		return err
	}
	if id != "" {
		c.result.Commit, c.result.CommitID = CommitDone, id
	}
	return nil
}

// openDirectory opens a directory without following any link.
func openDirectory(p string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	return unix.Openat2(unix.AT_FDCWD, p, &how)
}

// undoBytes is how much is kept for undoing unless the configuration says
// otherwise.
const undoBytes = 1 << 30

func (c Config) undoBytes() int64 {
	if c.UndoBytes > 0 {
		return c.UndoBytes
	}
	return undoBytes
}

// stateHint is what helps where no state directory can be used.
const stateHint = "set HOLDFAST_STATE_DIR to a directory that is yours alone"

// openStores opens the directory of the journals, and those of earlier runs of
// other environments, and settles what dead processes left in any of them.
func (r *Runner) openStores(ctx context.Context, c Config) error {
	dir, others, err := stateHome(c, r.facts.UID, sharedState)
	if err == nil && c.StateDir == "" {
		dir, err = settle(dir, sharedState, r.facts.UID)
	}
	if err != nil {
		return &Error{Op: "open sandbox", Hint: stateHint, Err: err}
	}
	for _, d := range append([]string{dir}, others...) {
		s, err := overlay.OpenStore(d, c.undoBytes())
		if err != nil {
			return &Error{Op: "open sandbox", Hint: stateHint, Err: err}
		}
		state, err := locateState(s.Dir())
		if err != nil {
			return &Error{Op: "open sandbox", Hint: stateHint, Err: err}
		}
		found, err := s.Recover(ctx)
		for _, f := range found {
			r.recovered = append(r.recovered, Recovered{Commit: f.ID, Call: f.Call, Dir: f.Dir, Finished: f.Finished, Missing: f.Missing, Left: f.Left, Kept: f.Kept})
		}
		if err != nil {
			return &Error{Op: "open sandbox", Hint: "a commit of a process that died could not be settled; its journal lies in " + d + "/open", Err: err}
		}
		r.stores, r.states = append(r.stores, s), append(r.states, state)
	}
	elsewhere, err := unsetStates(r.facts.UID, sharedState)
	if err != nil {
		return &Error{Op: "open sandbox", Hint: stateHint, Err: err}
	}
	for _, s := range elsewhere {
		if !slices.ContainsFunc(r.states, func(o stateDir) bool { return o.path == s.path }) {
			r.states = append(r.states, s)
		}
	}
	return nil
}

// store is where commits are made; the others only have what is left to undo.
func (r *Runner) store() *overlay.Store { return r.stores[0] }

// StateDir returns where the journals of commits lie.
func (r *Runner) StateDir() string { return r.store().Dir() }

// Recovered lists the commits that other processes did not live to finish, and
// that New found and settled.
func (r *Runner) Recovered() []Recovered { return r.recovered }

// Undo takes the commit of a call back, all of it or nothing. It refuses if
// anything that it would touch was changed since, and it does so only once. A name
// that stands for none is ErrNoCommit.
func (r *Runner) Undo(ctx context.Context, commit string) error {
	for _, s := range r.stores {
		if !slices.Contains(s.Done(), commit) {
			continue
		}
		if err := s.Undo(ctx, commit); err != nil {
			return &Error{Op: "undo", Err: err}
		}
		return nil
	}
	return &Error{Op: "undo", Err: fmt.Errorf("%w: %q", ErrNoCommit, commit)}
}

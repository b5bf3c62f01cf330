package overlay

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

const maxDepth = 64

// Layer is what a call made of a workspace, as read from its upper directory.
type Layer struct {
	items []item
	upper int
}

// Changes returns a copy of every change, held ones among them, in the order
// in which they are carried out.
func (l *Layer) Changes() []Change {
	list := make([]Change, len(l.items))
	for i, it := range l.items {
		list[i] = it.Change
	}
	return list
}

// Read compares the upper directory of an overlay with the lower one. Both are
// open directories and stay the caller's; upper must not change any more and
// must stay open until the layer is committed or forgotten. Of the files that
// the changes replace or take away, at most so many bytes are read; with more
// the layer is refused before any of them is.
func Read(ctx context.Context, upper, lower int, f Filter, most int64) (*Layer, error) {
	b, err := newBudget(upper, most)
	if err != nil {
		return nil, err
	}
	d := &drain{ctx: ctx, filter: f, budget: b}
	d.guard = sync.OnceValues(func() (*guard, error) { return newGuard(ctx, lower, f) })
	if err := d.dir(upper, lower, within{}); err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	d.packed()
	if err := d.statuses(upper, lower); err != nil {
		return nil, fmt.Errorf("read changes: %w", err)
	}
	slices.SortStableFunc(d.items, order)
	return &Layer{d.items, upper}, nil
}

// drain is one reading of a layer.
type drain struct {
	ctx    context.Context
	filter Filter
	guard  func() (*guard, error) // made once something changes
	items  []item
	budget budget
}

func (d *drain) add(it item) error {
	if err := d.budget.spend(it.Change); err != nil {
		return err
	}
	d.items = append(d.items, it)
	return nil
}

// within is where a reading of the layer stands.
type within struct {
	rel    string // relative to the workspace
	depth  int
	held   string // why everything here is left out, or ""
	veiled bool   // the layer shows nothing here of what the workspace has
	git    bool   // in a repository
}

// dir reads one directory of the layer. lower is -1 where the workspace has
// none.
func (d *drain) dir(upper, lower int, in within) error {
	if in.depth > maxDepth {
		return fmt.Errorf("%w: directories are nested deeper than %d", ErrTooMany, maxDepth)
	}
	names, err := entryNames(upper)
	if err != nil {
		return err
	}
	siblings, err := d.siblings(names, lower)
	if err != nil {
		return err
	}
	in.git = in.git || isRepository(func(n string) bool { return len(siblings[n]) > 0 })
	for _, name := range names {
		if err := d.entry(upper, lower, in, name, siblings); err != nil {
			return err
		}
	}
	return nil
}

// siblings counts the entries of a directory by folded name.
func (d *drain) siblings(names []string, lower int) (map[string][]string, error) {
	m := map[string][]string{}
	var below []string
	if lower >= 0 {
		var err error
		if below, err = entryNames(lower); err != nil {
			return nil, err
		}
	}
	both := slices.Concat(names, below)
	slices.Sort(both)
	for _, n := range slices.Compact(both) {
		m[fold(n)] = append(m[fold(n)], n)
	}
	return m, nil
}

func (d *drain) entry(upper, lower int, in within, name string, siblings map[string][]string) error {
	up, err := lstat(upper, name)
	if err != nil || up == nil {
		return err
	}
	low, err := lstat(lower, name)
	if err != nil {
		return err
	}
	path, held := name, in.held
	if in.rel != "" {
		path = in.rel + "/" + name
	}
	if whiteout(up) {
		if low == nil {
			return nil
		}
		if held == "" && !covered(d.filter.Release, path) {
			held = holdRepository(in.rel, name, typeOf(low.Mode), false, siblings)
		}
		_, err := d.remove(lower, name, path, low, in.depth, held)
		return err
	}
	it := item{Change: Change{Path: path, Op: Create, Type: typeOf(up.Mode), Mode: up.Mode & 0o777},
		modified: up.Mtim}
	if held == "" {
		held = d.filter.hold(path, name, it.Type)
	}
	if held == "" && low == nil {
		held = clash(name, siblings, func(other string) bool {
			st, err := lstat(upper, other)
			return err == nil && st != nil && whiteout(st)
		})
	}
	if held == "" && !covered(d.filter.Release, path) {
		held = holdRepository(in.rel, name, it.Type, low == nil, siblings)
		if held == "" && in.git {
			held = holdInside(name, it.Type)
		}
	}
	if held == "" {
		if held, err = d.behind(path, it.Type, low); err != nil {
			return err
		}
	}
	it.Held = held
	if it.Type == Dir {
		return d.subdir(upper, lower, it, name, up, low, in)
	}
	return d.leaf(upper, lower, it, name, up, low, in.depth)
}

// behind returns why a path is held back that a guarded name leads to, or "".
func (d *drain) behind(p string, t Type, low *unix.Stat_t) (string, error) {
	if covered(d.filter.Release, p) {
		return "", nil
	}
	g, err := d.guard()
	if err != nil {
		return "", err
	}
	return g.holds(p, t, low), nil
}

// leaf is a file or a link of the layer.
func (d *drain) leaf(upper, lower int, it item, name string, up, low *unix.Stat_t, depth int) error {
	if low != nil && it.Type != Other && (typeOf(low.Mode) == Dir || typeOf(low.Mode) == Other) {
		kept, err := d.remove(lower, name, it.Path, low, depth, it.Held)
		if err != nil {
			return err
		}
		if kept && it.Held == "" {
			it.Held = "it would take the place of a folder that is held back"
		}
		low = nil
	}
	if err := d.budget.read(up); err != nil {
		return err
	}
	var err error
	if it.Post, it.Link, err = digest(d.ctx, upper, name, up, true); err != nil {
		return fmt.Errorf("%q: %w", it.Path, err)
	}
	if it.Type == File {
		it.Size = up.Size
	}
	if it.Held == "" && it.Type == File {
		if it.Held, err = inspectGit(upper, name, up, lower, components(it.Path)); err != nil {
			return fmt.Errorf("%q: %w", it.Path, err)
		}
	}
	if low != nil && it.Type != Other {
		it.Op = Replace
		it.before(low)
		if err := d.budget.take(low); err != nil {
			return err
		}
		if it.Pre, it.PreLink, err = digest(d.ctx, lower, name, low, false); err != nil {
			return fmt.Errorf("%q: %w", it.Path, err)
		}
		same := it.PreType == it.Type && it.Pre == it.Post
		if same && (it.Type == Link || it.Mode == low.Mode&0o777 && up.Mtim == low.Mtim) {
			return nil
		}
	}
	it.soften(low)
	if it.Held == "" {
		it.Notes = d.filter.notes(it.Change)
	}
	return d.add(it)
}

// subdir is a directory of the layer. One that is opaque shows nothing of what the
// workspace has at its path, nor does any directory in it.
func (d *drain) subdir(upper, lower int, it item, name string, up, low *unix.Stat_t, in within) error {
	fresh := true
	switch {
	case low != nil && typeOf(low.Mode) == Dir:
		fresh = false
		it.Op = Chmod
		it.before(low)
		it.soften(low)
		if it.Mode != low.Mode&0o777 && up.Mode&0o777 != low.Mode&0o777 {
			if err := d.add(it); err != nil {
				return err
			}
		}
	case low != nil:
		kept, err := d.remove(lower, name, it.Path, low, in.depth, it.Held)
		if err != nil {
			return err
		}
		if kept && it.Held == "" {
			it.Held = "it would take the place of what is held back"
		}
		fallthrough
	default:
		it.soften(nil)
		if err := d.add(it); err != nil {
			return err
		}
	}
	u, err := enter(upper, name, true, up.Mode)
	if err != nil {
		return err
	}
	defer unix.Close(u)
	l := -1
	if !fresh {
		if l, err = enter(lower, name, false, 0); err != nil {
			return err
		}
		defer unix.Close(l)
	}
	below := within{it.Path, in.depth + 1, it.Held, in.veiled || opaque(u), in.git}
	if err := d.dir(u, l, below); err != nil {
		return err
	}
	if fresh || !below.veiled {
		return nil
	}
	return d.absent(u, l, it, in.depth)
}

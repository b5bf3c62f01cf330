package overlay

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// absent removes what an opaque directory no longer shows.
func (d *drain) absent(u, l int, it item, depth int) error {
	names, err := entryNames(l)
	if err != nil {
		return err
	}
	siblings, err := d.siblings(names, u)
	if err != nil {
		return err
	}
	for _, name := range names {
		if up, err := lstat(u, name); err != nil || up != nil {
			if err != nil {
				return err
			}
			continue
		}
		low, err := lstat(l, name)
		if err != nil {
			return err
		}
		if low == nil { // somebody else was faster
			continue
		}
		held := it.Held
		if held == "" && !covered(d.filter.Release, it.Path+"/"+name) {
			held = holdRepository(it.Path, name, typeOf(low.Mode), false, siblings)
		}
		if _, err := d.remove(l, name, it.Path+"/"+name, low, depth+1, held); err != nil {
			return err
		}
	}
	return nil
}

// remove takes away an entry of the workspace with all below it. It reports
// whether something of it is held back, and so stays.
func (d *drain) remove(lower int, name, path string, low *unix.Stat_t, depth int, held string) (bool, error) {
	if depth > maxDepth {
		return false, ErrTooMany
	}
	it := item{Change: Change{Path: path, Op: Remove, Type: typeOf(low.Mode), Held: held}}
	it.before(low)
	t := it.Type
	if t == Other {
		t = File // special files may go
	}
	var err error
	if it.Held == "" {
		it.Held = d.filter.hold(path, name, t)
	}
	if it.Held == "" {
		if it.Held, err = d.behind(path, t, low); err != nil {
			return false, err
		}
	}
	if err := d.budget.take(low); err != nil {
		return false, err
	}
	if it.Type == Dir {
		kept, err := d.removeBelow(lower, name, path, depth, it.Held)
		if err != nil {
			return false, err
		}
		if kept && it.Held == "" {
			it.Held = "something in it is held back"
		}
	} else if it.Pre, it.PreLink, err = digest(d.ctx, lower, name, low, false); err != nil {
		return false, fmt.Errorf("%q: %w", path, err)
	}
	return it.Held != "", d.add(it)
}

func (d *drain) removeBelow(lower int, name, path string, depth int, held string) (kept bool, err error) {
	l, err := enter(lower, name, false, 0)
	if err != nil {
		return false, fmt.Errorf("%q: %w", path, err)
	}
	defer unix.Close(l)
	names, err := entryNames(l)
	if err != nil {
		return false, err
	}
	for _, n := range names {
		st, err := lstat(l, n)
		if err != nil {
			return false, err
		}
		if st == nil {
			continue
		}
		k, err := d.remove(l, n, path+"/"+n, st, depth+1, held)
		if err != nil {
			return false, err
		}
		kept = kept || k
	}
	return kept, nil
}

package overlay

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// maxText bounds the bytes of all names and link targets of a layer: they are
// held in memory and written to the journal.
const maxText = 32 << 20

// budget is what may still be taken out of a layer. The quota of its file system
// does not bound that: a file with holes, or one with many names, takes little
// there and all of its size once it is copied.
type budget struct {
	entries int
	text    int64 // bytes
	content int64 // bytes
	old     int64 // bytes of the files that are replaced or taken away
	most    int64 // old at the beginning
}

// newBudget lets as much content through as the file system of a layer holds,
// and most bytes of the files below it.
func newBudget(upper int, most int64) (budget, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(upper, &st); err != nil {
		return budget{}, fmt.Errorf("examine layer: %w", err)
	}
	return budget{maxEntries, maxText, int64(st.Blocks) * st.Bsize, most, most}, nil
}

// spend takes one change off the budget.
func (b *budget) spend(c Change) error {
	b.entries--
	b.text -= int64(len(c.Path) + 2*len(c.Link))
	if b.entries < 0 || b.text < 0 {
		return ErrTooMany
	}
	return nil
}

// read takes the content of a file off the budget, before any of it is read.
func (b *budget) read(st *unix.Stat_t) error {
	if typeOf(st.Mode) != File {
		return nil
	}
	if b.content -= st.Size; b.content < 0 {
		return fmt.Errorf("%w: its files are larger than the layer can hold", ErrTooMany)
	}
	return nil
}

// take takes a file that is replaced or goes off the budget, before any of it is
// read: it will be read, compared, and kept for an undo.
func (b *budget) take(st *unix.Stat_t) error {
	if typeOf(st.Mode) != File {
		return nil
	}
	if b.old -= st.Size; b.old < 0 {
		return tooMuch(b.most)
	}
	return nil
}

// tooMuch is what a call is told that would take away more than is kept.
func tooMuch(most int64) error {
	return fmt.Errorf("%w: the files that it replaces or removes are larger than the %d MiB that are kept for undoing", ErrTooMany, most>>20)
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"maps"
	"sync"

	"golang.org/x/sys/unix"
)

// nobody is the host user of a cell whose runner and workspace are root's.
const nobody = 65534

// approve looks at every source of the call, notes its identity, and decides
// who the cell will be. What it notes is compared again when the cell mounts.
func (r *Runner) approve(s Spec) (Facts, error) {
	f := r.facts
	f.Sources = map[string]Source{}
	maps.Copy(f.Sources, r.facts.Sources)
	table := sync.OnceValues(readMountTable)
	for _, list := range [][]Mount{f.Config.ToolTrees, s.Mounts} {
		for _, m := range list {
			if err := r.approveSource(f, table, m.Source, "Mounts"); err != nil {
				return f, err
			}
		}
	}
	f.Identity = Identity{f.UID, f.GID}
	if f.UID == 0 {
		f.Identity = f.Config.RunAs
	}
	if s.Workspace != nil {
		if err := r.approveSource(f, table, s.Workspace.Dir, "Workspace.Dir"); err != nil {
			return f, err
		}
	}
	if f.UID == 0 {
		r.settle(&f, s)
	}
	if s.Workspace != nil && s.Workspace.Write && !layered(*s.Workspace, f) {
		look := scan{id: f.Identity, left: r.most}
		if err := look.workspace(s.Workspace.Dir); err != nil {
			return f, err
		}
		f.Unscanned = look.partial
	}
	return f, nil
}

// settle chooses the identity of a cell whose runner is root, and whether the
// workspace must be shifted for it: files of root appear as its own.
func (r *Runner) settle(f *Facts, s Spec) {
	id := &f.Identity
	if s.Workspace != nil {
		src := f.Sources[s.Workspace.Dir]
		if id.UID == 0 && src.UID != 0 {
			*id = Identity{src.UID, src.GID}
		}
		src.Shifted = src.UID == 0
		f.Sources[s.Workspace.Dir] = src
	}
	if id.UID == 0 {
		id.UID = nobody
	}
	if id.GID == 0 {
		id.GID = nobody
	}
}

func (r *Runner) approveSource(f Facts, table func() (*mountTable, error), p, field string) error {
	if _, ok := f.Sources[p]; ok {
		return nil
	}
	if !clean(p) {
		return &SpecError{field, fmt.Sprintf("%q is not a clean absolute path", p)}
	}
	fd, err := openPath(p)
	if err != nil {
		if err == unix.ELOOP {
			return &SpecError{field, fmt.Sprintf("%s holds a symbolic link", p)}
		}
		return &SpecError{field, fmt.Sprintf("open %s: %v", p, err)}
	}
	defer unix.Close(fd)
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &st); err != nil {
		return &SpecError{field, fmt.Sprintf("examine %s: %v", p, err)}
	}
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && kind != unix.S_IFREG {
		return &SpecError{field, fmt.Sprintf("%s is neither a directory nor a file", p)}
	}
	t, err := table()
	if err != nil {
		return fmt.Errorf("read the mount table: %w", err)
	}
	if err := t.onFiles(fd, p); err != nil {
		return &SpecError{field, fmt.Sprintf("%s: %v", p, err)}
	}
	src := Source{
		Dev: uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), Ino: st.Ino,
		UID: int(st.Uid), GID: int(st.Gid), Dir: kind == unix.S_IFDIR, FD: f.UID == 0, Below: t.below(p),
	}
	f.Sources[p] = src
	for _, s := range r.states {
		if err := s.check(t, p, src, field); err != nil {
			return err
		}
	}
	return nil
}

// openPath opens p without following any symbolic link.
func openPath(p string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	return unix.Openat2(unix.AT_FDCWD, p, &how)
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"sync"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

// idmapLayerName names the layer in reports and refusals.
const idmapLayerName = "idmapped mount"

// idmaps holds one user namespace per identity, for mounts in which root's
// files appear as that identity's. Files created through such a mount belong
// to root outside.
type idmaps struct {
	mu sync.Mutex
	fd map[Identity]int
}

func (m *idmaps) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, fd := range m.fd {
		unix.Close(fd)
	}
	m.fd = nil
}

// get returns the namespace for id. The descriptor stays owned by m.
func (m *idmaps) get(l launcher, id Identity) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if fd, ok := m.fd[id]; ok {
		return fd, nil
	}
	fd, err := makeNamespace(l, id)
	if err != nil {
		return -1, fmt.Errorf("make id mapping: %w", err)
	}
	if m.fd == nil {
		m.fd = map[Identity]int{}
	}
	m.fd[id] = fd
	return fd, nil
}

// makeNamespace starts a process in a new user namespace, writes the maps and
// keeps the namespace by descriptor.
func makeNamespace(l launcher, id Identity) (int, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return -1, err
	}
	defer ours.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		theirs.Close()
		return -1, err
	}
	proc, err := l.start([]string{"idmap"}, []*os.File{null, null, null, theirs})
	null.Close()
	theirs.Close()
	if err != nil {
		return -1, err
	}
	defer proc.Wait()
	defer ours.Close()
	var ready [stage.MsgSize]byte
	if n, err := ours.Read(ready[:]); n != 1 {
		return -1, fmt.Errorf("enter a user namespace: %w", cmpErr(err))
	}
	dir := fmt.Sprintf("/proc/%d/", proc.Pid)
	for _, m := range []struct {
		file string
		id   int
	}{{"uid_map", id.UID}, {"gid_map", id.GID}} {
		// root becomes id; everyone below keeps their number, so that files of
		// others are exactly as reachable as before
		text := fmt.Sprintf("0 %d 1\n1 1 %d\n", m.id, m.id-1)
		if m.id == 1 {
			text = "0 1 1\n"
		}
		if err := os.WriteFile(dir+m.file, []byte(text), 0); err != nil {
			return -1, err
		}
	}
	return unix.Open(dir+"ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

// detach makes the detached mount of an approved source that a root runner
// passes to a cell.
func (r *Runner) detach(p passed, f Facts) (int, error) {
	at, err := openPath(p.source)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	const flags = unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	fd, err := unix.OpenTree(at, "", flags|unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, err
	}
	// a clone stays a peer of what it was cloned from: later mounts of the host
	// would appear in the cell
	attr := unix.MountAttr{Attr_set: p.attr, Propagation: unix.MS_PRIVATE}
	if f.Sources[p.source].Shifted {
		ns, err := r.idmaps.get(r.launcher, f.Identity)
		if err != nil {
			unix.Close(fd)
			return -1, err
		}
		attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
		attr.Userns_fd = uint64(ns)
	}
	if err := unix.MountSetattr(fd, "", flags, &attr); err != nil {
		unix.Close(fd)
		if attr.Userns_fd != 0 {
			return -1, &RefusedError{idmapLayerName, "a file system that supports them for " + p.source, err.Error()}
		}
		return -1, err
	}
	return fd, nil
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

// Attributes of mounts.
const (
	attrRO     = unix.MOUNT_ATTR_RDONLY
	attrNoSUID = unix.MOUNT_ATTR_NOSUID
	attrNoDev  = unix.MOUNT_ATTR_NODEV
	attrNoExec = unix.MOUNT_ATTR_NOEXEC

	attrTree = attrRO | attrNoSUID | attrNoDev
)

const (
	rootSize   = 1 << 20
	rootInodes = 512
	shmSize    = 16 << 20
)

// devices are the only device files of a cell.
var devices = []string{"null", "zero", "full", "random", "urandom"}

// layout lays directories and mounts onto the empty root.
type layout struct {
	b      *builder
	made   map[string]bool
	points []string
}

// view is everything the cell sees: an empty root, the system's programs and
// libraries, a synthetic /etc, five devices, scratch space, and what the call
// was given.
func (b *builder) view(s Spec, f Facts, l Limits) error {
	if f.PIDMax {
		// while the full proc of the host is still in view
		b.add(op{code: stage.PIDMax, phase: 1, a: uint32(max(l.Processes+64, 301))})
	}
	b.add(op{code: stage.Root, phase: 1, x: [3]uint64{rootSize + secretSize(s), rootInodes}})
	b.expect("/", "tmpfs", attrTree, false)
	v := &layout{b: b, made: map[string]bool{"/": true}}
	v.system(f, s.Network.on())
	v.etc(f, s.Network.on())
	v.devices(s)
	v.tmpfs(TempDir, 0o1777, uint64(l.Scratch), attrNoSUID|attrNoDev)
	v.tmpfs(HomeDir, 0o700, uint64(l.Scratch), attrNoSUID|attrNoDev)
	v.dir("/proc")
	if !f.NoProc {
		b.add(op{code: stage.Proc, phase: 1, text: "proc"})
		b.expect("/proc", "proc", attrTree|attrNoExec, false)
	}
	v.points = append(v.points, "/proc", WorkDir, lowerDir, layerDir, SecretDir)
	v.secrets(s.Secrets)
	if err := v.mounts(slices.Concat(f.Config.ToolTrees, s.Mounts), f); err != nil {
		return err
	}
	if s.Workspace != nil {
		v.workspace(*s.Workspace, f, l)
	}
	if s.probe && f.Overlay {
		v.dir(lowerDir)
		b.add(op{code: stage.Tmpfs, phase: 1, a: 0o755, text: lowerDir[1:], x: [3]uint64{64 << 10, 64, attrTree}})
		v.dir(WorkDir)
		v.overlay(WorkDir, true, 64<<10, attrNoSUID|attrNoDev)
	}
	b.network(s.Network)
	b.add(op{code: stage.Hostname, phase: 1, text: "cell"})
	b.add(op{code: stage.Pivot, phase: 1})
	return nil
}

// dir makes p and its parents in the root.
func (v *layout) dir(p string) {
	if v.made[p] {
		return
	}
	v.dir(path.Dir(p))
	v.made[p] = true
	v.b.add(op{code: stage.Mkdir, phase: 1, a: 0o755, text: p[1:]})
}

func (v *layout) file(p, content string) {
	v.dir(path.Dir(p))
	v.b.add(op{code: stage.File, phase: 1, a: 0o644, text: p[1:], ref: content})
}

func (v *layout) link(p, to string) {
	v.dir(path.Dir(p))
	v.b.add(op{code: stage.Symlink, phase: 1, text: p[1:], ref: to})
}

// layered reports whether a workspace is shown through a layer.
func layered(w Workspace, f Facts) bool { return f.Overlay && !f.Sources[w.Dir].Below }

// workspace shows the workspace through a layer of the cell's own: what the
// tool changes lands there, no socket or pipe in it leads out, and the mount
// table does not name it. Where that cannot be, it is mounted as it is.
func (v *layout) workspace(w Workspace, f Facts, l Limits) {
	attr := uint64(attrNoSUID | attrNoDev)
	if !w.Write {
		attr |= attrRO
	}
	v.dir(WorkDir)
	src := f.Sources[w.Dir]
	if !layered(w, f) {
		v.source(WorkDir, w.Dir, src, attr)
		return
	}
	v.dir(lowerDir)
	v.attach(lowerDir, w.Dir, src, attrTree)
	v.overlay(WorkDir, w.Write, l.Workspace, attr)
}

// Where the layers of a workspace stand until they are one.
const (
	lowerDir = "/.lower"
	layerDir = "/.layer"
)

// overlay lays a layer over what stands at lowerDir and shows both at p.
func (v *layout) overlay(p string, write bool, size int64, attr uint64) {
	if !write {
		size = 64 << 10 // it holds nothing but itself
	}
	v.dir(layerDir)
	v.b.add(op{code: stage.Tmpfs, phase: 1, a: 0o700, text: layerDir[1:],
		x: [3]uint64{uint64(size), max(uint64(size)>>12, 1024), attrNoSUID | attrNoDev}})
	o := op{code: stage.Overlay, phase: 1, text: p[1:], x: [3]uint64{attr}}
	if write {
		o.flags = stage.FlagUpper
		v.b.layer = true
	}
	v.b.add(o)
	v.b.expect(p, "overlay", attr, false)
}

// source attaches an approved host path at p, which must exist.
func (v *layout) source(p, host string, src Source, attr uint64) {
	v.attach(p, host, src, attr)
	v.b.expect(p, "", attr, true)
	v.points = append(v.points, p)
}

// attach is source without a trace in the finished view.
func (v *layout) attach(p, host string, src Source, attr uint64) {
	o := op{code: stage.Tree, phase: 1, text: p[1:], ref: host, x: [3]uint64{attr, src.Dev, src.Ino}}
	if src.FD {
		o.flags, o.a = stage.FlagFD, uint32(len(v.b.passed))
		v.b.passed = append(v.b.passed, passed{source: host, attr: attr})
		if src.Shifted {
			o.b = 1 // for the record; the runner has shifted it already
		}
	}
	v.b.add(o)
}

func (v *layout) tmpfs(p string, mode uint32, size, attr uint64) {
	v.dir(p)
	inodes := max(size>>12, 1024)
	v.b.add(op{code: stage.Tmpfs, phase: 1, a: mode, text: p[1:], x: [3]uint64{size, inodes, attr}})
	v.b.expect(p, "tmpfs", attr, false)
	v.points = append(v.points, p)
}

func (v *layout) system(f Facts, network bool) {
	for _, e := range f.Root {
		if e.Path == certificates && !network {
			continue
		}
		v.entry(e)
	}
}

func (v *layout) entry(e RootEntry) {
	switch {
	case e.Link != "":
		v.link(e.Path, e.Link)
		v.points = append(v.points, e.Path)
		return
	case e.Dir:
		v.dir(e.Path)
	default:
		v.file(e.Path, "")
	}
	v.source(e.Path, e.Path, Source{}, attrTree)
}

// etc is synthetic: who the user is, and how names are looked up without a
// network. Entries of the host's /etc come with system.
func (v *layout) etc(f Facts, network bool) {
	id := f.Identity
	hosts := "files"
	if network {
		hosts = "files dns"
		v.file("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n")
		v.points = append(v.points, "/etc/resolv.conf")
	}
	v.file("/etc/passwd", fmt.Sprintf("agent:x:%d:%d::%s:/bin/sh\n", id.UID, id.GID, HomeDir))
	v.file("/etc/group", fmt.Sprintf("agent:x:%d:\n", id.GID))
	v.file("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: "+hosts+"\n")
	v.file("/etc/hosts", "127.0.0.1 localhost cell\n::1 localhost cell\n")
	v.file("/etc/machine-id", strings.Repeat("0", 31)+"1\n")
	v.points = append(v.points, "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/machine-id")
}

// devices are bound one by one: a device mount shows the host's whole /dev.
func (v *layout) devices(s Spec) {
	for _, d := range devices {
		p := "/dev/" + d
		v.file(p, "")
		v.source(p, p, Source{}, attrRO|attrNoSUID|attrNoExec)
	}
	v.link("/dev/fd", "/proc/self/fd")
	v.link("/dev/stdin", "/proc/self/fd/0")
	v.link("/dev/stdout", "/proc/self/fd/1")
	v.link("/dev/stderr", "/proc/self/fd/2")
	v.tmpfs("/dev/shm", 0o1777, shmSize, attrNoSUID|attrNoDev|attrNoExec)
	v.terminal(s.PTY)
	v.points = append(v.points, "/dev")
}

// mounts shows what the configuration and the call add. A target may neither
// cover nor lie below anything else.
func (v *layout) mounts(list []Mount, f Facts) error {
	for i, m := range list {
		field := fmt.Sprintf("Mounts[%d]", i)
		target := m.Target
		if target == "" {
			target = m.Source
		}
		if !clean(m.Source) || !clean(target) || target == "/" || m.Source == "/" {
			return &SpecError{field, "is not a pair of clean absolute paths below /"}
		}
		for _, p := range v.points {
			if within(target, p) || within(p, target) {
				return &SpecError{field, fmt.Sprintf("target %s collides with %s", target, p)}
			}
		}
		src, ok := f.Sources[m.Source]
		if !ok {
			return &SpecError{field, "source was not approved"}
		}
		attr := uint64(attrTree)
		if !m.Exec {
			attr |= attrNoExec
		}
		if src.Dir {
			v.dir(target)
		} else {
			v.file(target, "")
		}
		v.source(target, m.Source, src, attr)
	}
	return nil
}

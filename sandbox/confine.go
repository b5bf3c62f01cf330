//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"sync"

	"github.com/holdfast-run/holdfast/sandbox/internal/bpf"
	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

// namespaces of every cell.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// securebits lock what a user id 0 or a change of ids could give back: NOROOT,
// NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE with their locks, and the lock of
// KEEP_CAPS.
const securebits = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<7

// nice lowers the tool below the runtime, with which it shares a scheduling
// group where no cgroup separates the two.
const nice = 10

// enter leaves root, if the runner is root, enters the namespaces, and locks
// the bounds of what any process in them can ever hold.
func (b *builder) enter(f Facts) {
	uid, gid := uint32(f.Identity.UID), uint32(f.Identity.GID)
	for i := range f.Doors {
		b.add(op{code: stage.Join, flags: stage.FlagFD, a: uint32(len(b.passed))})
		b.passed = append(b.passed, passed{door: i + 1})
	}
	if f.UID == 0 {
		b.add(op{code: stage.SetID, a: uid, b: gid})
	}
	b.add(op{code: stage.Unshare, x: [3]uint64{namespaces}})
	if f.TimeNS {
		b.add(op{code: stage.TimeNS, text: fmt.Sprintf("monotonic -%d 0\nboottime -%d 0\n", f.Boot, f.Boot)})
	}
	b.add(op{code: stage.Map, a: uid, b: gid})
	b.add(op{code: stage.Bounds, x: [3]uint64{securebits}})
}

// confine takes everything from the process that becomes the tool. The order
// is that of what each step needs: no_new_privs before a filter, the filter
// last, because everything before it uses calls that it denies.
func (b *builder) confine(s Spec, f Facts, l Limits) {
	if s.PTY != nil {
		b.add(op{code: stage.TTY, phase: 2})
	}
	b.add(op{code: stage.Keyring, phase: 2})
	for _, r := range rlimits(f, l) {
		b.add(op{code: stage.Rlimit, phase: 2, a: r.resource, x: [3]uint64{r.value, r.value}})
	}
	b.add(op{code: stage.Nice, phase: 2, a: nice})
	b.add(op{code: stage.Umask, phase: 2, a: 0o022})
	b.add(op{code: stage.Caps, phase: 2, x: [3]uint64{securebits}})
	b.add(op{code: stage.NNP, phase: 2})
	if f.Landlock {
		b.add(op{code: stage.Landlock, phase: 2, x: landlock(f.LandlockABI, s.Network.on()), text: words(written(s))})
	}
	b.add(op{code: stage.Close, phase: 2})
	b.add(op{code: stage.Seccomp, phase: 2, text: filter(bpf.Options{SharedMemory: f.Memory != "approximate", Notify: f.Notify, Network: s.Network.on(),
		Terminal: s.PTY != nil}), flags: notify(f)})
	b.add(op{code: stage.Report, phase: 2})
	// from here on the plan is that of this call alone
	b.add(op{code: stage.Chdir, phase: 2, text: directory(s)})
	exec := op{code: stage.Exec, phase: 2, text: s.Argv[0]}
	if s.Helper != nil {
		exec.flags, exec.a, exec.text = stage.FlagFD, uint32(len(b.passed)), ""
		b.passed = append(b.passed, passed{})
		exec.ref = fmt.Sprintf("sha256:%x", s.Helper.digest)
	}
	b.add(exec)
}

// landlock returns what Landlock is to handle, as far as its version knows it:
// rights on files, on TCP ports, and scopes. No port is opened unless there is a
// gate, and no signal or abstract socket leaves the cell.
func landlock(abi int, network bool) [3]uint64 {
	x := [3]uint64{changes}
	if abi >= 3 {
		x[0] |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 && !network {
		x[1] = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if abi >= 6 {
		x[2] = 1 | 2 // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, LANDLOCK_SCOPE_SIGNAL
	}
	return x
}

// changes are the rights of version 1 by which a file system is changed.
const changes = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
	unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
	unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK |
	unix.LANDLOCK_ACCESS_FS_MAKE_SYM

// written lists the directories in which a tool may open anything for writing.
// A read-only mount alone lets a tool write into the named pipes that lie in it.
func written(s Spec) []string {
	list := []string{TempDir, HomeDir, "/dev"}
	if s.Workspace != nil && s.Workspace.Write {
		list = append(list, WorkDir)
	}
	return list
}

type rlimit struct {
	resource uint32
	value    uint64
}

func rlimits(f Facts, l Limits) []rlimit {
	list := []rlimit{
		{unix.RLIMIT_CORE, 1}, // no file is so small; 0 would not keep a dump from a pipe to a program of the host
		{unix.RLIMIT_NOFILE, uint64(l.Files)},
		{unix.RLIMIT_FSIZE, uint64(l.FileSize)},
		{unix.RLIMIT_NPROC, uint64(l.Processes)},
		{unix.RLIMIT_MEMLOCK, 64 << 10},
		{unix.RLIMIT_NICE, 0},
		{unix.RLIMIT_RTPRIO, 0},
		{unix.RLIMIT_MSGQUEUE, 64 << 10},
		{unix.RLIMIT_SIGPENDING, 256},
	}
	if f.Memory == "approximate" {
		// Per process; the runner samples the sum. Address space would be the
		// wrong measure: runtimes reserve far more than they use.
		list = append(list, rlimit{unix.RLIMIT_DATA, uint64(l.Memory)})
	}
	return list
}

// notify is the flag of a filter that asks the runner.
func notify(f Facts) uint32 {
	if f.Notify {
		return stage.FlagNotify
	}
	return 0
}

// filters holds each filter once it was needed.
var filters sync.Map // of bpf.Options, as string

// filter returns the encoded system-call filter. Memory files are allowed only
// where a control group counts them.
func filter(o bpf.Options) string {
	if s, ok := filters.Load(o); ok {
		return s.(string)
	}
	s := string(bpf.New(o).Compile().Bytes())
	filters.Store(o, s)
	return s
}

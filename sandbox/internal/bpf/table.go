//go:build linux && (amd64 || arm64)

package bpf

import (
	"slices"
	"syscall"
)

// table returns the rules that are not "known, not allowed". Every call that is
// allowed stands here by name; what is missing fails with EPERM, and what is
// unknown with ENOSYS.
func table(o Options) map[string]Rule {
	t := map[string]Rule{}
	for _, group := range [][]string{files, attributes, descriptors, processes, identity, memory,
		signals, clocks, syncing, polling, ipc, sockets, sysinfo, restriction} {
		for _, name := range group {
			t[name] = Rule{Default: Allow}
		}
	}
	for name, r := range conditional() {
		t[name] = r
	}
	if o.SharedMemory {
		t["memfd_create"] = Rule{Default: Allow}
		t["shmget"] = Rule{Default: Allow}
	}
	if o.Network {
		t["socket"] = inet
	}
	if o.Terminal {
		t["ioctl"] = ioctl(slices.Concat(ioctls, terminals))
	}
	return t
}

// Opening, reading, writing, naming. Paths are decided by the mount view. The
// io_setup family is missing: its contexts count against the whole host.
var files = []string{
	"close", "close_range", "read", "write", "readv", "writev",
	"pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "lseek", "sendfile",
	"copy_file_range", "splice", "tee", "vmsplice", "readahead", "fadvise64", "fallocate",
	"truncate", "ftruncate", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range",
	"stat", "lstat", "fstat", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat",
	"faccessat2", "readlink", "readlinkat", "getdents", "getdents64", "getcwd", "chdir", "fchdir",
	"mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link",
	"linkat", "symlink", "symlinkat", "umask", "cachestat",
	"inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch",
}

// Owners, times and attributes: read-only mounts and the single mapped
// user bound them.
var attributes = []string{
	"chown", "fchown", "lchown", "fchownat",
	"utime", "utimes", "futimesat", "utimensat",
	"setxattr", "lsetxattr", "fsetxattr", "getxattr", "lgetxattr", "fgetxattr", "listxattr",
	"llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr",
	"setxattrat", "getxattrat", "listxattrat", "removexattrat",
}

var descriptors = []string{
	"dup", "dup2", "dup3", "pipe", "pipe2", "flock", "eventfd", "eventfd2", "signalfd",
	"signalfd4", "timerfd_create", "timerfd_settime", "timerfd_gettime",
}

// Starting and ending. clone is conditional; clone3 hides its flags behind a
// pointer and is answered as if it did not exist.
var processes = []string{
	"fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "getpid",
	"getppid", "gettid", "getpgid", "setpgid", "getpgrp", "setsid", "getsid", "arch_prctl",
	"set_tid_address", "set_thread_area", "get_thread_area", "rseq", "pidfd_open",
	"sched_yield", "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_setparam",
	"sched_getscheduler", "sched_setscheduler", "sched_get_priority_max", "sched_get_priority_min",
	"sched_rr_get_interval", "sched_getattr", "sched_setattr", "getpriority", "setpriority",
	"ioprio_get", "ioprio_set", "getcpu",
}

// With one id mapped and no capability these can only confirm what is.
var identity = []string{
	"getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "setuid",
	"setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid",
	"capget", "capset",
}

var memory = []string{
	"mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "msync", "mincore", "mlock", "mlock2",
	"munlock", "mlockall", "munlockall", "membarrier", "pkey_alloc", "pkey_free", "pkey_mprotect",
	"mseal", "map_shadow_stack", "remap_file_pages", "get_mempolicy",
}

// Signals reach only the cell's own pid namespace.
var signals = []string{
	"kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigaction", "rt_sigprocmask",
	"rt_sigpending", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "sigaltstack", "pause", "restart_syscall", "alarm", "getitimer", "setitimer",
}

// Reading clocks and sleeping; setting them is missing on purpose.
var clocks = []string{
	"time", "gettimeofday", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep",
	"timer_create", "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete", "times",
}

var syncing = []string{
	"futex", "futex_waitv", "futex_wake", "futex_wait", "futex_requeue", "set_robust_list",
	"get_robust_list",
}

var polling = []string{
	"poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1", "epoll_ctl",
	"epoll_wait", "epoll_pwait", "epoll_pwait2",
}

// SysV and POSIX queues live in the cell's ipc namespace. Segments and memory
// files are in Options.
var ipc = []string{
	"semget", "semop", "semtimedop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl", "shmat",
	"shmdt", "shmctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive", "mq_notify",
	"mq_getsetattr",
}

// What one does with a socket. Getting one is conditional.
var sockets = []string{
	"connect", "accept", "accept4", "bind", "listen", "sendto", "recvfrom", "sendmsg", "recvmsg",
	"sendmmsg", "recvmmsg", "shutdown", "getsockname", "getpeername", "getsockopt",
}

var sysinfo = []string{
	"uname", "sysinfo", "getrusage", "getrlimit", "getrandom",
}

// A tool may restrict itself further.
var restriction = []string{
	"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
}

const prCapAmbient = 47

// cores is RLIMIT_CORE.
var cores = []uint32{4}

const (
	eperm  = 0x00050000 | Action(syscall.EPERM)
	enosys = 0x00050000 | Action(syscall.ENOSYS)
)

// conditional returns the calls whose arguments decide.
func conditional() map[string]Rule {
	return map[string]Rule{
		"clone3": {Default: Errno(syscall.ENOSYS)},
		// every CLONE_NEW* that clone can carry
		"clone": {Cases: []Case{{Arg: 0, Mask: 0x7E020000, Not: true, In: []uint32{0}, Then: eperm}},
			Default: Allow},
		// The network is off and a path socket in a mounted workspace would
		// reach its owner's programs: no family at all.
		"socket": {Default: Errno(syscall.EAFNOSUPPORT)},
		// Pairs only of connected kinds: a datagram end can be aimed elsewhere.
		"socketpair": {Cases: []Case{
			{Arg: 0, Not: true, In: []uint32{syscall.AF_UNIX}, Then: Errno(syscall.EAFNOSUPPORT)},
			{Arg: 1, Mask: 0xf, In: []uint32{syscall.SOCK_STREAM, syscall.SOCK_SEQPACKET}, Then: Allow},
		}, Default: eperm},
		// The kernel memory of a socket is bounded by what it is made with.
		"setsockopt": {Cases: []Case{{Arg: 2, In: bufferSizes, Then: eperm}}, Default: Allow},
		// A lease makes everyone else wait who opens the file, also where it is
		// read-only here.
		"fcntl": {Cases: []Case{{Arg: 1, In: leases, Then: eperm}}, Default: Allow},
		// How a file comes to be, or gets its mode; see special.
		"chmod": mode(1), "fchmod": mode(1), "fchmodat": mode(2), "fchmodat2": mode(2), "creat": mode(1),
		"open": opening(1), "openat": opening(2),
		// its mode hides behind a pointer; programs fall back to openat
		"openat2": {Default: Errno(syscall.ENOSYS)},
		"mknod":   node(1), "mknodat": node(2),
		"ioctl": ioctl(ioctls),
		"prctl": {Cases: []Case{
			{Arg: 0, In: prctls, Then: Allow},
			{Arg: 0, In: prctlAttacks, Then: eperm},
			// PR_CAP_AMBIENT_IS_SET only
			{Arg: 0, Not: true, In: []uint32{prCapAmbient}, Then: Errno(syscall.EINVAL)},
			{Arg: 1, In: []uint32{1}, Then: Allow},
		}, Default: eperm},
		// PER_LINUX, PER_LINUX32, query
		"personality": {Cases: []Case{{Arg: 0, In: []uint32{0, 8, 0xffffffff}, Then: Allow}}, Default: eperm},
		// Lowered to 0, the limit on core files would let a crash start the program of the
		// host that takes dumps; that of a cell is 1. Programs take ENOSYS for a system
		// without, EPERM for a fault.
		"setrlimit": {Cases: []Case{{Arg: 0, In: cores, Then: enosys}}, Default: Allow},
		"prlimit64": {Cases: []Case{{Arg: 2, Null: true, Then: Allow}, {Arg: 1, In: cores, Then: enosys}}, Default: Allow},
		// filters of its own, but no supervisor
		"seccomp": {Cases: []Case{{Arg: 1, Mask: 8, In: []uint32{8}, Then: eperm}}, Default: Allow},
	}
}

// inet is the rule of socket where there is a network: TCP and UDP over IPv4.
// Other protocols, which hide behind these types, are not among them.
var inet = Rule{Cases: []Case{
	{Arg: 0, Not: true, In: []uint32{syscall.AF_INET}, Then: Errno(syscall.EAFNOSUPPORT)},
	{Arg: 1, Mask: 0xf, Not: true, In: []uint32{syscall.SOCK_STREAM, syscall.SOCK_DGRAM}, Then: eperm},
	{Arg: 2, In: []uint32{0, syscall.IPPROTO_TCP, syscall.IPPROTO_UDP}, Then: Allow},
}, Default: Errno(syscall.EPROTONOSUPPORT)}

// SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE, whatever the level.
var bufferSizes = []uint32{7, 8, 32, 33}

// F_SETLEASE, F_NOTIFY, and the later F_SETDELEG.
var leases = []uint32{1024, 1026, 1040}

// special are the set-user-id and set-group-id bits. In a writable workspace
// they would outlive the cell, on a file of the workspace's owner, who may be
// root.
const special = syscall.S_ISUID | syscall.S_ISGID

// mode allows a call whose argument is a mode without the special bits.
func mode(arg int) Rule {
	return Rule{Cases: []Case{{Arg: arg, Mask: special, In: []uint32{0}, Then: Allow}}, Default: eperm}
}

// opening allows what creates nothing, and what creates without special bits;
// flags and mode are two arguments in a row.
func opening(flags int) Rule {
	const oTmpfile = 0o20000000
	r := mode(flags + 1)
	r.Cases = append([]Case{{Arg: flags, Mask: syscall.O_CREAT | oTmpfile, In: []uint32{0}, Then: Allow}}, r.Cases...)
	return r
}

// node allows plain files and pipes without special bits.
func node(arg int) Rule {
	r := mode(arg)
	r.Cases = append([]Case{{Arg: arg, Mask: syscall.S_IFMT, Not: true, In: plainTypes, Then: eperm}}, r.Cases...)
	return r
}

// plainTypes are the file types mknod may make: regular files and pipes.
var plainTypes = []uint32{0, syscall.S_IFREG, syscall.S_IFIFO}

var ioctls = []uint32{
	0x5401, 0x5402, 0x5403, 0x5404, // TCGETS, TCSETS, TCSETSW, TCSETSF
	0x5409, 0x540A, 0x540B, // TCSBRK, TCXONC, TCFLSH
	0x540F, 0x5410, 0x5429, // TIOCGPGRP, TIOCSPGRP, TIOCGSID
	0x5413, 0x5414, // TIOCGWINSZ, TIOCSWINSZ
	0x541B, 0x5421, 0x5450, 0x5451, // FIONREAD, FIONBIO, FIONCLEX, FIOCLEX
	0x40049409, 0x4020940D, // FICLONE, FICLONERANGE
}

// terminals are TIOCSCTTY, TIOCNOTTY, TIOCGPTN, TIOCSPTLCK and TIOCGPTPEER.
var terminals = []uint32{0x540E, 0x5422, 0x80045430, 0x40045431, 0x5441}

// ioctl allows some requests.
func ioctl(allowed []uint32) Rule {
	return Rule{Cases: []Case{
		{Arg: 1, In: allowed, Then: Allow},
		{Arg: 1, In: terminalAttacks, Then: eperm},
	}, Default: Errno(syscall.ENOTTY)}
}

// terminalAttacks write into, or take over, someone's terminal.
var terminalAttacks = []uint32{
	0x5412, 0x541C, 0x541D, 0x5423, // TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD
}

var prctls = []uint32{
	1, 2, // PR_SET_PDEATHSIG, PR_GET_PDEATHSIG
	3, 7, // PR_GET_DUMPABLE, PR_GET_KEEPCAPS
	15, 16, // PR_SET_NAME, PR_GET_NAME
	21, 22, // PR_GET_SECCOMP, PR_SET_SECCOMP
	23, 27, // PR_CAPBSET_READ, PR_GET_SECUREBITS
	29, 30, // PR_SET_TIMERSLACK, PR_GET_TIMERSLACK
	36, 37, // PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER
	38, 39, // PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS
	40, 41, 42, // PR_GET_TID_ADDRESS, PR_SET_THP_DISABLE, PR_GET_THP_DISABLE
	52,     // PR_GET_SPECULATION_CTRL
	65, 66, // PR_SET_MDWE, PR_GET_MDWE
	0x53564d41, // PR_SET_VMA: names of mappings
}

var prctlAttacks = []uint32{
	4, 8, // PR_SET_DUMPABLE, PR_SET_KEEPCAPS
	24, 28, // PR_CAPBSET_DROP, PR_SET_SECUREBITS
	35,         // PR_SET_MM
	0x59616d61, // PR_SET_PTRACER
}

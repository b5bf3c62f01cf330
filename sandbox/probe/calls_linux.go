//go:build linux && (amd64 || arm64)

package probe

import (
	"os"
	"runtime"
	"strings"
	"unsafe"

	"github.com/holdfast-run/holdfast/sandbox/internal/bpf"
	"golang.org/x/sys/unix"
)

// callSteps make system calls, mostly such as a cell must refuse.
var callSteps = map[string]step{
	"calls": func(args, _ []string) string { // by name, with arguments that no call accepts
		return each(args, func(n string) string {
			nr, ok := bpf.Number(n)
			if !ok {
				return "EPERM" // this machine has no such call
			}
			return raw(uintptr(nr), ^uintptr(0))
		})
	},
	"sys": func(args, a []string) string {
		nr, ok := bpf.Number(a[0])
		if !ok {
			nr = uint32(number(a[0]))
		}
		var n []uintptr
		for _, s := range args[1:] {
			n = append(n, uintptr(number(s)))
		}
		return raw(uintptr(nr), n...)
	},
	"numbers": func(_, a []string) string { // unknown numbers, all alike
		seen := map[string]bool{}
		for nr := number(a[0]); nr <= number(a[1]); nr++ {
			seen[raw(uintptr(nr))] = true
		}
		return set(seen)
	},
	"kill":  func(_, a []string) string { return name(unix.Kill(int(number(a[0])), unix.Signal(number(a[1])))) },
	"gain":  gain,
	"sched": priorities,
	"ioctl": func(args, _ []string) string {
		return each(args, func(n string) string { return raw(unix.SYS_IOCTL, 0, uintptr(number(n)), 0) })
	},
	"prctl": func(args, _ []string) string {
		return each(args, func(n string) string { return raw(unix.SYS_PRCTL, uintptr(number(n)), 1) })
	},
	"limits": func([]string, []string) string {
		return raw(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&[2]uint64{1 << 20, 1 << 20})), 0) + " " +
			raw(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NPROC, uintptr(unsafe.Pointer(&[2]uint64{1 << 20, 1 << 20})), 0)
	},
	"stopself": func([]string, []string) string { unix.Kill(os.Getpid(), unix.SIGSTOP); return "ok" },
}

// raw makes one system call.
func raw(nr uintptr, args ...uintptr) string {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return errnoName(e)
}

func set(seen map[string]bool) string {
	var list []string
	for k := range seen {
		list = append(list, k)
	}
	return strings.Join(list, " ")
}

func gain([]string, []string) string {
	runtime.LockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: 1, Permitted: 1}}
	return strings.Join([]string{raw(unix.SYS_SETUID, 0), raw(unix.SYS_SETGID, 0), raw(unix.SYS_SETRESUID, 0, 0, 0),
		raw(unix.SYS_SETGROUPS, 0, 0), raw(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, 1),
		raw(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1), raw(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, 0),
		raw(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 0), name(unix.Capset(&hdr, &data[0]))}, " ")
}

func priorities([]string, []string) string {
	param := [1]int32{10}
	return strings.Join([]string{raw(unix.SYS_SETPRIORITY, 0, 0, ^uintptr(19)),
		raw(unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&param))), raw(unix.SYS_IOPRIO_SET, 1, 0, 1<<13)}, " ")
}

//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/holdfast-run/holdfast/sandbox"
	"github.com/holdfast-run/holdfast/sandbox/probe"
	"golang.org/x/sys/unix"
)

// victim is the name under which this test binary attempts one thing and
// prints what came of it. The same program runs inside cells and, as a positive
// control, outside.
const victim = "victim"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == probe.Name {
		os.Exit(probe.Run(os.Stdin, os.Stdout))
	}
	if os.Args[0] == victim {
		attempt, ok := attempts[os.Args[1]]
		if !ok {
			fmt.Print("no such attempt")
			os.Exit(3)
		}
		fmt.Print(attempt(os.Args[2:]))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// image is this test binary as a helper.
var image = sync.OnceValues(func() (*sandbox.Image, error) {
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	return sandbox.NewImage(b)
})

// inside runs an attempt in a cell.
func inside(t testing.TB, r *sandbox.Runner, s sandbox.Spec, args ...string) sandbox.Result {
	t.Helper()
	var err error
	if s.Helper, err = image(); err != nil {
		t.Fatal(err)
	}
	s.CallID = t.Name()
	s.Argv = append([]string{victim}, args...)
	res, err := r.Run(context.Background(), s, sandbox.Discard)
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return res
}

// outside runs an attempt without a cell.
func outside(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = append([]string{victim}, args...)
	b, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s (%v)", b, err)
	}
	return string(b)
}

// name returns "ok" or the name of an errno.
func name(err error) string {
	switch e := err.(type) {
	case nil:
		return "ok"
	case syscall.Errno:
		if e == 0 {
			return "ok"
		}
		return unix.ErrnoName(e)
	case *os.PathError:
		return name(e.Err)
	case *os.LinkError:
		return name(e.Err)
	case *os.SyscallError:
		return name(e.Err)
	}
	return err.Error()
}

// raw makes one system call with small arguments.
func raw(nr uintptr, args ...uintptr) string {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return name(e)
}

// attempts are what victims try. Each returns a stable text.
var attempts = map[string]func([]string) string{
	"read": func(a []string) string {
		_, err := os.ReadFile(a[0])
		return name(err)
	},
	"list": func(a []string) string {
		l, err := os.ReadDir(a[0])
		if err != nil {
			return name(err)
		}
		var names []string
		for _, e := range l {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	},
	"create": func(a []string) string {
		f, err := os.OpenFile(a[0], os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			f.Close()
		}
		return name(err)
	},
	"openwrite": func(a []string) string {
		f, err := os.OpenFile(a[0], os.O_RDWR, 0)
		if err == nil {
			f.Close()
		}
		return name(err)
	},
	"chmod": func(a []string) string { return name(os.Chmod(a[0], 0o777)) },
	"link":  func(a []string) string { return name(os.Link(a[0], a[1])) },
	"mknod": func(a []string) string { return name(unix.Mknod(a[0], unix.S_IFCHR|0o666, 1<<8|3)) },
	"chroot": func(a []string) string {
		return name(unix.Chroot("/tmp"))
	},
	"calls":     tryCalls,
	"clone":     tryClone,
	"families":  tryFamilies,
	"fds":       tryDescriptors,
	"status":    func([]string) string { b, _ := os.ReadFile("/proc/self/status"); return string(b) },
	"environ":   func([]string) string { return strings.Join(os.Environ(), "\n") },
	"kill":      func(a []string) string { var p int; fmt.Sscan(a[0], &p); return name(unix.Kill(p, 9)) },
	"gain":      tryGain,
	"priority":  tryPriority,
	"shared":    tryShared,
	"procmem":   tryProcMem,
	"nested":    tryNested,
	"hog":       hog,
	"hogs":      hogs,
	"headless":  headless,
	"sharer":    sharer,
	"pairs":     pairs,
	"mute":      mute,
	"personal":  func([]string) string { return raw(unix.SYS_PERSONALITY, 0x0400000) },
	"listener":  func([]string) string { return raw(unix.SYS_SECCOMP, 1, 8, 0) },
	"ioctls":    tryIoctls,
	"prctls":    tryPrctls,
	"unknown":   func([]string) string { return raw(1000) + " " + raw(600) },
	"runtime":   runtimeWithCells,
	"different": kernelVerdicts,
	"doctor":    doctor,
	"special":   trySpecial,
	"lease":     tryLease,
	"buffers":   tryBuffers,
	"committer": committer,
	"flood": func([]string) string {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 1000 {
					raw(unix.SYS_MOUNT)
				}
			})
		}
		wg.Wait()
		return "survived"
	},
	"uptime": func([]string) string {
		var i unix.Sysinfo_t
		unix.Sysinfo(&i)
		return fmt.Sprint(i.Uptime)
	},
}

// tryCalls makes calls by name, all of which must be denied.
func tryCalls(a []string) string {
	var out []string
	for _, n := range a {
		nr, ok := deniedCalls[n]
		if !ok {
			return "no such call " + n
		}
		out = append(out, n+"="+raw(nr, ^uintptr(0), 0, 0, 0, 0, 0))
	}
	return strings.Join(out, " ")
}

// deniedCalls must fail with EPERM whatever the arguments.
var deniedCalls = map[string]uintptr{
	"mount": unix.SYS_MOUNT, "umount2": unix.SYS_UMOUNT2, "pivot_root": unix.SYS_PIVOT_ROOT,
	"open_tree": unix.SYS_OPEN_TREE, "move_mount": unix.SYS_MOVE_MOUNT, "fsopen": unix.SYS_FSOPEN,
	"fsconfig": unix.SYS_FSCONFIG, "fsmount": unix.SYS_FSMOUNT, "fspick": unix.SYS_FSPICK,
	"mount_setattr": unix.SYS_MOUNT_SETATTR, "name_to_handle_at": unix.SYS_NAME_TO_HANDLE_AT,
	"open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "chroot": unix.SYS_CHROOT,
	"io_uring_setup": unix.SYS_IO_URING_SETUP, "io_uring_enter": unix.SYS_IO_URING_ENTER,
	"io_uring_register": unix.SYS_IO_URING_REGISTER, "bpf": unix.SYS_BPF,
	"perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD,
	"kexec_load": unix.SYS_KEXEC_LOAD, "init_module": unix.SYS_INIT_MODULE,
	"finit_module": unix.SYS_FINIT_MODULE, "delete_module": unix.SYS_DELETE_MODULE,
	"kcmp": unix.SYS_KCMP, "fanotify_init": unix.SYS_FANOTIFY_INIT, "syslog": unix.SYS_SYSLOG,
	"acct": unix.SYS_ACCT, "swapon": unix.SYS_SWAPON, "swapoff": unix.SYS_SWAPOFF,
	"quotactl": unix.SYS_QUOTACTL, "reboot": unix.SYS_REBOOT, "settimeofday": unix.SYS_SETTIMEOFDAY,
	"clock_settime": unix.SYS_CLOCK_SETTIME, "adjtimex": unix.SYS_ADJTIMEX,
	"sethostname": unix.SYS_SETHOSTNAME, "keyctl": unix.SYS_KEYCTL, "add_key": unix.SYS_ADD_KEY,
	"request_key": unix.SYS_REQUEST_KEY, "ptrace": unix.SYS_PTRACE,
	"process_vm_readv": unix.SYS_PROCESS_VM_READV, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV,
	"pidfd_getfd": unix.SYS_PIDFD_GETFD, "unshare": unix.SYS_UNSHARE, "setns": unix.SYS_SETNS,
	"vhangup": unix.SYS_VHANGUP, "memfd_secret": unix.SYS_MEMFD_SECRET,
	"lookup_dcookie": unix.SYS_LOOKUP_DCOOKIE, "move_pages": unix.SYS_MOVE_PAGES,
}

// tryClone asks for every namespace, one at a time.
func tryClone([]string) string {
	flags := []uintptr{unix.CLONE_NEWNS, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWUSER,
		unix.CLONE_NEWPID, unix.CLONE_NEWNET, unix.CLONE_NEWCGROUP}
	var out []string
	for _, f := range flags {
		// a signal above the last one makes the call fail if it gets through
		out = append(out, raw(unix.SYS_CLONE, f|1<<40|unix.CLONE_SIGHAND))
	}
	return strings.Join(append(out, raw(unix.SYS_CLONE3)), " ")
}

func tryFamilies([]string) string {
	seen := map[string]bool{}
	for f := range 46 {
		for _, high := range []uintptr{0, 1 << 32} {
			for _, typ := range []uintptr{1, 2, 3, 5} {
				seen[raw(unix.SYS_SOCKET, uintptr(f)|high, typ, 0)] = true
			}
		}
	}
	var out []string
	for e := range seen {
		out = append(out, e)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	unix.Close(pair[0])
	unix.Close(pair[1])
	_, dgram := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	return fmt.Sprintf("%v stream=%s dgram=%s", out, name(err), name(dgram))
}

// tryDescriptors writes to every descriptor it might have been left. Those
// the program opened itself, for its scheduler, are named.
func tryDescriptors([]string) string {
	var found []string
	for fd := 3; fd < 1024; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		to, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if strings.HasPrefix(to, "anon_inode:") {
			continue
		}
		found = append(found, fmt.Sprintf("%d=%s", fd, to))
	}
	return strings.Join(found, " ")
}

func tryGain([]string) string {
	runtime.LockOSThread()
	var a []string
	a = append(a, "setuid="+raw(unix.SYS_SETUID, 0), "setgid="+raw(unix.SYS_SETGID, 0),
		"setresuid="+raw(unix.SYS_SETRESUID, 0, 0, 0), "setgroups="+raw(unix.SYS_SETGROUPS, 0, 0),
		"ambient="+raw(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, 1),
		"keepcaps="+raw(unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1),
		"securebits="+raw(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, 0),
		"nnp="+raw(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 0))
	var hdr = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: 1, Permitted: 1}}
	return strings.Join(append(a, "capset="+name(unix.Capset(&hdr, &data[0]))), " ")
}

func tryPriority([]string) string {
	param := [1]int32{10}
	return strings.Join([]string{
		raw(unix.SYS_SETPRIORITY, 0, 0, ^uintptr(19)),
		raw(unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&param))),
		raw(unix.SYS_IOPRIO_SET, 1, 0, 1<<13),
		raw(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&[2]uint64{1 << 20, 1 << 20})), 0),
	}, " ")
}

// tryShared maps a read-only file writable.
func tryShared(a []string) string {
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return name(err)
	}
	_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return name(err)
}

// tryProcMem writes to a private mapping of a read-only file through
// /proc/self/mem, which may change this process only.
func tryProcMem(a []string) string {
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return name(err)
	}
	m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return name(err)
	}
	mem, err := unix.Open("/proc/self/mem", unix.O_RDWR, 0)
	if err != nil {
		return name(err)
	}
	_, err = unix.Pwrite(mem, []byte("overwritten"), int64(uintptr(unsafe.Pointer(&m[0]))))
	b, _ := os.ReadFile(a[0])
	return fmt.Sprintf("%s file=%.11s", name(err), b)
}

// tryNested builds a cell in a cell.
func tryNested([]string) string {
	if _, err := sandbox.New(context.Background(), sandbox.Config{}); err == nil {
		return "built a cell"
	}
	return "refused"
}

func hog(a []string) string {
	var mib int
	fmt.Sscan(a[0], &mib)
	b := make([]byte, mib<<20)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	fmt.Println("touched")
	select {} // stopped by the limit; a deadlock report would end it as well
}

// hogs starts several processes that together exceed what one may have.
func hogs(a []string) string {
	for range 4 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = append([]string{victim}, a...)
		if err := cmd.Start(); err != nil {
			return err.Error()
		}
	}
	time.Sleep(time.Minute)
	return "survived"
}

// headless touches memory in a process whose first thread has ended.
func headless(a []string) string {
	go hog(a)
	for {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
		}
		runtime.UnlockOSThread()
		time.Sleep(time.Millisecond)
	}
}

// sharer fills shared memory and lets go of each page at once: the pages stay,
// but are resident in no process.
func sharer(a []string) string {
	var mib int
	fmt.Sscan(a[0], &mib)
	b, err := unix.Mmap(-1, 0, mib<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	if err != nil {
		return name(err)
	}
	for part := b; len(part) > 0; part = part[4<<20:] {
		for i := 0; i < 4<<20; i += 4096 {
			part[i] = 1
		}
		unix.Madvise(part[:4<<20], unix.MADV_DONTNEED)
	}
	time.Sleep(2 * time.Second)
	return "survived"
}

// pairs makes sockets, which the kernel keeps memory for.
func pairs(a []string) string {
	var n int
	fmt.Sscan(a[0], &n)
	for i := range n {
		if _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); err != nil {
			return fmt.Sprintf("%d: %s", i, name(err))
		}
	}
	time.Sleep(time.Second)
	return "survived"
}

// mute ignores every request to end.
func mute([]string) string {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	time.Sleep(time.Minute)
	return "survived"
}

func tryIoctls([]string) string {
	var a []string
	for _, n := range []uintptr{unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD, unix.TIOCCONS, 0xdead, unix.TIOCSTI | 1<<32} {
		a = append(a, raw(unix.SYS_IOCTL, 0, n, 0))
	}
	return strings.Join(a, " ")
}

func tryPrctls([]string) string {
	var a []string
	for _, n := range []uintptr{unix.PR_SET_MM, unix.PR_SET_PTRACER, unix.PR_SET_SECUREBITS, unix.PR_SET_DUMPABLE, 0x1234} {
		a = append(a, raw(unix.SYS_PRCTL, n, 1))
	}
	return strings.Join(a, " ")
}

// runtimeWithCells is a runtime that starts cells and waits to be killed.
func runtimeWithCells(a []string) string {
	r, err := sandbox.New(context.Background(), sandbox.Config{})
	if err != nil {
		return err.Error()
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			r.Run(context.Background(), sandbox.Spec{CallID: fmt.Sprint(i),
				Argv: []string{"/bin/sh", "-c", "sleep " + a[0] + "; true"}}, sandbox.Discard)
		})
	}
	wg.Wait()
	return "cells ended"
}

// processes lists host processes whose command line contains marker.
func processes(marker string) (pids []string) {
	list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range list {
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(strings.ReplaceAll(string(b), "\x00", " "), marker) {
			pids = append(pids, filepath.Base(filepath.Dir(p)))
		}
	}
	return pids
}

// doctor prints which layer is missing, its fix, and what New says.
func doctor([]string) string {
	_, err := sandbox.New(context.Background(), sandbox.Config{})
	if err == nil {
		return "ready"
	}
	text := "new: " + err.Error() + "\n"
	if e, ok := errors.AsType[*sandbox.Error](err); ok {
		text += "hint: " + e.Hint + "\n"
	}
	rep := sandbox.Doctor(context.Background(), sandbox.Config{})
	for _, l := range rep.Layers {
		if l.State == sandbox.Missing {
			text += fmt.Sprintf("missing: %s: %s -> %s\n", l.Name, l.Evidence, l.Fix)
		}
	}
	if rep.OK() {
		text += "doctor says ok\n"
	}
	return text
}

// trySpecial makes set-user-id files in every way there is.
func trySpecial(a []string) string {
	dir := a[0]
	open := func(name string, flags int, mode uint32) error {
		fd, err := unix.Openat(unix.AT_FDCWD, filepath.Join(dir, name), flags, mode)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}
	plain := filepath.Join(dir, "plain")
	errs := []error{
		open("plain", unix.O_CREAT|unix.O_WRONLY, 0o755),
		open("opened", unix.O_CREAT|unix.O_WRONLY, 0o4755),
		open(".", unix.O_TMPFILE|unix.O_WRONLY, 0o4755),
		unix.Chmod(plain, 0o4755),
		unix.Fchmodat(unix.AT_FDCWD, plain, 0o2755, 0),
		unix.Fchmodat(unix.AT_FDCWD, plain, 0o6755, unix.AT_SYMLINK_NOFOLLOW),
		unix.Mknod(filepath.Join(dir, "node"), unix.S_IFREG|0o4755, 0),
		unix.Setxattr(plain, "security.capability", []byte{1, 0, 0, 2, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0),
	}
	_, open2 := unix.Openat2(unix.AT_FDCWD, filepath.Join(dir, "new"), &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o4755})
	var out []string
	for _, e := range append(errs, open2) {
		out = append(out, name(e))
	}
	return strings.Join(out, " ")
}

// tryLease asks to be told, and waited for, when others touch a file; 4 is
// DN_CREATE.
func tryLease(a []string) string {
	signal.Ignore(syscall.SIGIO)
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return name(err)
	}
	dir, err := unix.Open(filepath.Dir(a[0]), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return name(err)
	}
	set := func(fd, cmd, arg int) string {
		_, err := unix.FcntlInt(uintptr(fd), cmd, arg)
		return name(err)
	}
	return strings.Join([]string{set(fd, unix.F_SETLEASE, unix.F_RDLCK), set(fd, unix.F_SETLEASE, unix.F_UNLCK),
		set(dir, unix.F_NOTIFY, 4)}, " ")
}

// tryBuffers asks for more kernel memory per socket.
func tryBuffers([]string) string {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return name(err)
	}
	var out []string
	for _, opt := range []int{unix.SO_SNDBUF, unix.SO_RCVBUF, unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE} {
		out = append(out, name(unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, opt, 8<<20)))
	}
	return strings.Join(out, " ")
}

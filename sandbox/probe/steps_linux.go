//go:build linux && (amd64 || arm64)

package probe

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/holdfast-run/holdfast/sandbox/internal/bpf"
	"golang.org/x/sys/unix"
)

func errnoName(e syscall.Errno) string {
	if e == 0 {
		return "ok"
	}
	if s := unix.ErrnoName(e); s != "" {
		return s
	}
	return strconv.Itoa(int(e))
}

// steps by name. The first argument of each is what was given, the second the
// same filled up with empty texts.
var steps = map[string]func(args, a []string) string{
	"read": func(args, _ []string) string {
		return each(args, func(p string) string {
			f, err := os.Open(p)
			if err == nil {
				defer f.Close()
				_, err = f.Read(make([]byte, 1))
				if err != nil && err.Error() == "EOF" {
					err = nil
				}
			}
			return name(err)
		})
	},
	"cat": func(_, a []string) string {
		b, err := os.ReadFile(a[0])
		if err != nil {
			return name(err)
		}
		return string(b)
	},
	"stat": func(args, _ []string) string {
		return each(args, func(p string) string { _, err := os.Lstat(p); return name(err) })
	},
	"list": func(_, a []string) string {
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
	"create": func(args, _ []string) string {
		return each(args, func(p string) string { return opened(p, unix.O_CREAT|unix.O_WRONLY) })
	},
	"write": func(args, _ []string) string { // opens what exists, for writing
		return each(args, func(p string) string { return opened(p, unix.O_RDWR) })
	},
	"tmpfile": func(args, _ []string) string {
		return each(args, func(p string) string { return opened(p, unix.O_TMPFILE|unix.O_WRONLY) })
	},
	"put": func(_, a []string) string { return name(os.WriteFile(a[0], []byte(a[1]), 0o644)) },
	"mapshared": func(_, a []string) string {
		fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
		if err == nil {
			_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		}
		return name(err)
	},
	"procmem": procMem,
	"clonefile": func(_, a []string) string { // copy_file_range, splice and a clone onto a read-only file
		src, err := os.CreateTemp("/tmp", "src")
		if err != nil {
			return name(err)
		}
		defer src.Close()
		src.WriteString("overwritten")
		dst, err := unix.Open(a[0], unix.O_RDONLY, 0)
		if err != nil {
			return name(err)
		}
		off := int64(0)
		_, e1 := unix.CopyFileRange(int(src.Fd()), &off, dst, nil, 11, 0)
		e2 := unix.IoctlFileClone(dst, int(src.Fd()))
		e3 := unix.Fallocate(dst, 0, 0, 4096)
		return name(e1) + " " + name(e2) + " " + name(e3)
	},
	"link":    func(_, a []string) string { return name(os.Link(a[0], a[1])) },
	"symlink": func(_, a []string) string { return name(os.Symlink(a[0], a[1])) },
	"rename":  func(_, a []string) string { return name(os.Rename(a[0], a[1])) },
	"mkdir": func(args, _ []string) string {
		return each(args, func(p string) string { return name(os.MkdirAll(p, 0o755)) })
	},
	"remove": func(args, _ []string) string {
		return each(args, func(p string) string { return name(os.RemoveAll(p)) })
	},
	"mkfifo": func(_, a []string) string { return name(unix.Mkfifo(a[0], 0o666)) },
	"chmod":  func(_, a []string) string { return name(unix.Fchmodat(unix.AT_FDCWD, a[0], uint32(number(a[1])), 0)) },
	"mknod": func(_, a []string) string {
		return name(unix.Mknod(a[0], uint32(number(a[1])), int(number(a[2]))))
	},
	"attributes": func(_, a []string) string {
		return strings.Join([]string{name(os.Chmod(a[0], 0o777)), name(os.Chown(a[0], os.Getuid(), os.Getgid())),
			name(os.Chtimes(a[0], time.Now(), time.Now())), name(unix.Setxattr(a[0], "user.x", []byte("y"), 0))}, " ")
	},
	"xattr": func(_, a []string) string { return name(unix.Setxattr(a[0], a[1], []byte(a[2]), 0)) },
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
	"families": families,
	"connect": func(_, a []string) string { // kind, IPv4 address or path, port
		return name(connect(a[0], a[1], int(number(a[2]))))
	},
	"sockets": func(_, a []string) string { // many attempts, counted
		n, done := number(a[0]), 0
		for range n {
			if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err == nil {
				unix.Close(fd)
				done++
			}
		}
		return fmt.Sprintf("%d made", done)
	},
	"fds":     descriptors,
	"status":  func(args, _ []string) string { return each(args, statusField) },
	"env":     func(_, a []string) string { return os.Getenv(a[0]) },
	"environ": func([]string, []string) string { return strings.Join(os.Environ(), "\n") },
	"holds": func(args, a []string) string { // whether a file holds one of several texts
		b, err := os.ReadFile(a[0])
		if err != nil {
			return name(err)
		}
		for _, s := range args[1:] {
			if bytes.Contains(b, []byte(s)) {
				return "holds " + s
			}
		}
		return "none"
	},
	"hostname": func([]string, []string) string {
		h, err := os.Hostname()
		return h + strings.TrimPrefix(name(err), "ok")
	},
	"uptime": func([]string, []string) string {
		var i unix.Sysinfo_t
		err := unix.Sysinfo(&i)
		return fmt.Sprint(i.Uptime) + strings.TrimPrefix(name(err), "ok")
	},
	"ids":   func([]string, []string) string { return fmt.Sprintf("%d %d", os.Getuid(), os.Geteuid()) },
	"kill":  func(_, a []string) string { return name(unix.Kill(int(number(a[0])), unix.Signal(number(a[1])))) },
	"pids":  pids,
	"gain":  gain,
	"sched": priorities,
	"foreign": func(_, a []string) string { // every process in sight that is not our own
		return name(unix.Access("/proc/"+a[0], unix.R_OK))
	},
	"touch": func(_, a []string) string { // touches so many MiB
		b := make([]byte, number(a[0])<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		time.Sleep(time.Second)
		runtime.KeepAlive(b)
		return "survived"
	},
	"shared": func(_, a []string) string {
		b, err := unix.Mmap(-1, 0, int(number(a[0]))<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
		if err != nil {
			return name(err)
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		time.Sleep(time.Second)
		return "survived"
	},
	"pairs": func(_, a []string) string {
		for i := range number(a[0]) {
			if _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); err != nil {
				return fmt.Sprintf("%d %s", i, name(err))
			}
		}
		return "ok"
	},
	"opens": func(_, a []string) string { // so many descriptors
		n := 0
		for range number(a[0]) {
			if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
				return fmt.Sprintf("%d %s", n, name(err))
			}
			n++
		}
		return fmt.Sprint(n)
	},
	"files": func(_, a []string) string { // so many empty files
		for i := range number(a[1]) {
			if got := opened(filepath.Join(a[0], strconv.Itoa(int(i))), unix.O_CREAT|unix.O_WRONLY); got != "ok" {
				return fmt.Sprintf("%s after %d", got, i)
			}
		}
		return "ok"
	},
	"fill": func(_, a []string) string { // so many MiB into one file
		f, err := os.Create(a[0])
		if err != nil {
			return name(err)
		}
		defer f.Close()
		b := make([]byte, 1<<20)
		for range number(a[1]) {
			if _, err := f.Write(b); err != nil {
				return name(err)
			}
		}
		return "ok"
	},
	"fsync": func(_, a []string) string {
		f, err := os.Create(a[0])
		if err != nil {
			return name(err)
		}
		for range number(a[1]) {
			f.WriteString("x")
			if err := f.Sync(); err != nil {
				return name(err)
			}
		}
		return "ok"
	},
	"flood": func(_, a []string) string { // denied calls from many threads
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range number(a[0]) / 64 {
					raw(unix.SYS_KEYCTL)
				}
			})
		}
		wg.Wait()
		return "survived"
	},
	"inotify": func(_, a []string) string {
		fd, err := unix.InotifyInit()
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, a[0], unix.IN_ALL_EVENTS)
		}
		return name(err)
	},
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
	"output": func(_, a []string) string {
		line := bytes.Repeat([]byte("x"), 1<<16)
		for range number(a[0]) << 4 {
			os.Stderr.Write(line)
		}
		return "ok"
	},
	"sleep": func(_, a []string) string {
		time.Sleep(time.Duration(number(a[0])) * time.Millisecond)
		return "survived"
	},
	"lock": func(_, a []string) string {
		f, err := os.Open(a[0])
		if err == nil {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}
		return name(err)
	},
	"lease": func(_, a []string) string {
		f, err := os.Open(a[0])
		if err != nil {
			return name(err)
		}
		defer f.Close()
		_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
		return name(err)
	},
	"terminal": func([]string, []string) string { // the number of the terminal of this process, 0 for none
		b, err := os.ReadFile("/proc/self/stat")
		_, rest, ok := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if err != nil || !ok || len(f) < 5 {
			return "unknown " + name(err)
		}
		return f[4]
	},
	"key": func(_, a []string) string { // looks for a key of the session by its description
		_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", a[0], 0)
		return name(err)
	},
	"stopself": func([]string, []string) string { unix.Kill(os.Getpid(), unix.SIGSTOP); return "ok" },
}

func connect(kind, address string, port int) error {
	family, typ := unix.AF_INET, unix.SOCK_STREAM
	switch kind {
	case "udp":
		typ = unix.SOCK_DGRAM
	case "unix":
		family = unix.AF_UNIX
	case "vsock":
		family = unix.AF_VSOCK
	}
	fd, err := unix.Socket(family, typ, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if family == unix.AF_UNIX {
		return unix.Connect(fd, &unix.SockaddrUnix{Name: address})
	}
	if family != unix.AF_INET {
		return nil // made, which is enough; never connected
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return err
	}
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: ip.As4()})
}

// raw makes one system call.
func raw(nr uintptr, args ...uintptr) string {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return errnoName(e)
}

func opened(p string, flags int) string {
	fd, err := unix.Open(p, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return name(err)
}

func set(seen map[string]bool) string {
	var list []string
	for k := range seen {
		list = append(list, k)
	}
	return strings.Join(list, " ")
}

// families asks for sockets of every family and type, with garbage in the high
// words.
func families([]string, []string) string {
	seen := map[string]bool{}
	for f := range 64 {
		for _, high := range []uintptr{0, 1 << 32} {
			for _, typ := range []uintptr{1, 2, 3, 5} {
				seen[raw(unix.SYS_SOCKET, uintptr(f)|high, typ, 0)] = true
			}
		}
	}
	return set(seen)
}

func descriptors([]string, []string) string {
	var found []string
	for fd := 3; fd < 1024; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			continue
		}
		to, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if !strings.HasPrefix(to, "anon_inode:[event") { // the program's own scheduler
			found = append(found, fmt.Sprintf("%d=%s", fd, to))
		}
	}
	return strings.Join(found, " ")
}

func statusField(key string) string {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return name(err)
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && k == key {
			return strings.TrimSpace(v)
		}
	}
	return "absent"
}

// pids counts the processes in sight.
func pids([]string, []string) string {
	l, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(len(l))
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

// procMem writes into a private mapping of a read-only file through
// /proc/self/mem, and says whether the file shows it.
func procMem(_, a []string) string {
	fd, err := unix.Open(a[0], unix.O_RDONLY, 0)
	if err != nil {
		return name(err)
	}
	m, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return name(err)
	}
	mem, err := unix.Open("/proc/self/mem", unix.O_RDWR, 0)
	if err == nil {
		_, err = unix.Pwrite(mem, []byte("overwritten"), int64(uintptr(unsafe.Pointer(&m[0]))))
	}
	b, _ := os.ReadFile(a[0])
	if bytes.HasPrefix(b, []byte("overwritten")) {
		return "changed the file"
	}
	return name(err)
}

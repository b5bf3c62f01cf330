//go:build linux && (amd64 || arm64)

package probe

import (
	"bytes"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fileSteps try files: to read them, to make them, to change them and what is known of them.
var fileSteps = map[string]step{
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
	"inotify": func(_, a []string) string {
		fd, err := unix.InotifyInit()
		if err == nil {
			_, err = unix.InotifyAddWatch(fd, a[0], unix.IN_ALL_EVENTS)
		}
		return name(err)
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
}

func opened(p string, flags int) string {
	fd, err := unix.Open(p, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o644)
	if err == nil {
		unix.Close(fd)
	}
	return name(err)
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

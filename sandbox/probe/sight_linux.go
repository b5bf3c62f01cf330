//go:build linux && (amd64 || arm64)

package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sightSteps say what a process in a cell sees of itself and of others.
var sightSteps = map[string]step{
	"fds":     descriptors,
	"status":  func(args, _ []string) string { return each(args, statusField) },
	"env":     func(_, a []string) string { return os.Getenv(a[0]) },
	"environ": func([]string, []string) string { return strings.Join(os.Environ(), "\n") },
	"hostname": func([]string, []string) string {
		h, err := os.Hostname()
		return h + strings.TrimPrefix(name(err), "ok")
	},
	"uptime": func([]string, []string) string {
		var i unix.Sysinfo_t
		err := unix.Sysinfo(&i)
		return fmt.Sprint(i.Uptime) + strings.TrimPrefix(name(err), "ok")
	},
	"ids":  func([]string, []string) string { return fmt.Sprintf("%d %d", os.Getuid(), os.Geteuid()) },
	"pids": pids,
	"foreign": func(_, a []string) string { // every process in sight that is not our own
		return name(unix.Access("/proc/"+a[0], unix.R_OK))
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

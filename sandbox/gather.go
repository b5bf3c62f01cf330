//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// rootPaths are the system entries that a cell shows, where the host has them.
// /etc holds only what programs need to start.
var rootPaths = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime", certificates,
}

// gather reads the machine. It builds nothing.
func gather(c Config) (Facts, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Facts{}, fmt.Errorf("read kernel release: %w", err)
	}
	f := Facts{
		Kernel: unix.ByteSliceToString(u.Release[:]), Arch: runtime.GOARCH,
		UID: os.Getuid(), GID: os.Getgid(), Config: c, Memory: "approximate",
		Sources: map[string]Source{},
	}
	status, err := statusOf("self")
	if err != nil {
		return f, fmt.Errorf("read own status: %w", err)
	}
	// kernels before 5.9 do not say; they are below the floor anyway
	f.Filters, err = strconv.Atoi(status["Seccomp_filters"])
	if err != nil {
		return f, &RefusedError{"kernel", "Linux 5.13", f.Kernel}
	}
	f.PIDMax = atLeast(f.Kernel, 6, 14)
	f.LandlockABI = landlockVersion()
	f.Landlock = f.LandlockABI >= 2
	f.Overlay, f.Notify = true, true // until the probe says otherwise
	f.TimeNS, f.Boot = uptime()
	for _, p := range rootPaths {
		if e, ok := rootEntry(p); ok {
			f.Root = append(f.Root, e)
		}
	}
	return f, nil
}

// uptime tells how long the machine has been up, less a moment, in seconds, and
// whether a cell can be told otherwise.
func uptime() (bool, int64) {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil || t.Sec < 2 {
		return false, 0
	}
	_, err := os.Stat("/proc/self/timens_offsets")
	return err == nil, t.Sec - 1
}

// landlockVersion asks the kernel; 0 means that it has none in force. The first
// version forbids moving files between directories altogether.
func landlockVersion() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		return 0
	}
	return int(v)
}

// rootEntry looks at one system path without following it.
func rootEntry(p string) (RootEntry, bool) {
	st, err := os.Lstat(p)
	if err != nil {
		return RootEntry{}, false
	}
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		to, err := os.Readlink(p)
		return RootEntry{Path: p, Link: to}, err == nil
	case st.IsDir():
		return RootEntry{Path: p, Dir: true}, true
	case st.Mode().IsRegular():
		return RootEntry{Path: p}, true
	}
	return RootEntry{}, false
}

// atLeast compares the first two numbers of a kernel release.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

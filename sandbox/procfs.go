//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// nsNames are the namespaces of a cell, in the order the stage reports them.
var nsNames = []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"}

// namespacesOf reads namespaces of a process: inode numbers by name.
func namespacesOf(pid string, names []string) (map[string]uint64, error) {
	dir, err := unix.Open("/proc/"+pid+"/ns", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	m := make(map[string]uint64, len(names))
	for _, n := range names {
		b := make([]byte, 64)
		k, err := unix.Readlinkat(dir, n, b)
		if err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", n, err)
		}
		text := strings.TrimSuffix(strings.TrimPrefix(string(b[:k]), n+":["), "]")
		if m[n], err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", n, err)
		}
	}
	return m, nil
}

// statusKeys are the lines of a status that matter here.
var statusKeys = map[string]bool{"Uid": true, "Gid": true, "Threads": true, "CapInh": true,
	"CapPrm": true, "CapEff": true, "CapBnd": true, "CapAmb": true, "NoNewPrivs": true,
	"Seccomp": true, "Seccomp_filters": true, "Groups": true, "PPid": true, "State": true}

// procBuffers hold what procfs says while it is read.
var procBuffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// readProc reads a file of procfs in as few calls as the kernel needs: several
// are read for each cell, and a general reader, which knows no size, makes dozens.
func readProc(name string) ([]byte, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	b, err := readAll(fd)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return b, nil
}

// readAll reads what procfs has behind a descriptor.
func readAll(fd int) ([]byte, error) {
	buf := procBuffers.Get().(*[]byte)
	defer procBuffers.Put(buf)
	for at := 0; ; {
		n, err := unix.Read(fd, (*buf)[at:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return bytes.Clone((*buf)[:at]), nil
		}
		if at += n; at == len(*buf) {
			*buf = append(*buf, make([]byte, len(*buf))...)
		}
	}
}

// statusFile is /proc/<pid>/status, held open: it is that of one process, whatever
// becomes of its number.
type statusFile struct{ fd int }

func openStatus(pid int) (*statusFile, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/status", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &statusFile{fd}, nil
}

// read reads the status as it is now, as keys and values. Of a process that is
// gone there is none.
func (s *statusFile) read() (map[string]string, error) {
	buf := procBuffers.Get().(*[]byte)
	defer procBuffers.Put(buf)
	for {
		n, err := unix.Pread(s.fd, *buf, 0) // far longer than any
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		return parseStatus((*buf)[:n]), nil
	}
}

// close lets go of the file. A nil statusFile has none.
func (s *statusFile) close() {
	if s != nil {
		unix.Close(s.fd)
	}
}

// statusOf reads /proc/<pid>/status as keys and values.
func statusOf(pid string) (map[string]string, error) {
	b, err := readProc("/proc/" + pid + "/status")
	if err != nil {
		return nil, err
	}
	return parseStatus(b), nil
}

func parseStatus(b []byte) map[string]string {
	m := make(map[string]string, 16)
	for line := range bytes.Lines(b) {
		k, v, ok := bytes.Cut(line, []byte(":"))
		if ok && statusKeys[string(k)] {
			m[string(k)] = string(bytes.TrimSpace(v))
		}
	}
	return m
}

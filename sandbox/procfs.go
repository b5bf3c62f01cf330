//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// nsNames are the namespaces of a cell, in the order the stage reports them.
var nsNames = []string{"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"}

// namespacesOf reads the namespaces of a process: inode numbers by name.
func namespacesOf(pid string) (map[string]uint64, error) {
	m := map[string]uint64{}
	for _, n := range nsNames {
		s, err := os.Readlink("/proc/" + pid + "/ns/" + n)
		if err != nil {
			return nil, err
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(s, n+":["), "]"), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read namespace %s: %w", n, err)
		}
		m[n] = inode
	}
	return m, nil
}

// statusKeys are the lines of a status that matter here.
var statusKeys = map[string]bool{"Uid": true, "Gid": true, "Threads": true, "CapInh": true,
	"CapPrm": true, "CapEff": true, "CapBnd": true, "CapAmb": true, "NoNewPrivs": true,
	"Seccomp": true, "Seccomp_filters": true, "Groups": true}

// statusOf reads /proc/<pid>/status as keys and values.
func statusOf(pid string) (map[string]string, error) {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return nil, err
	}
	m := make(map[string]string, 16)
	for line := range strings.Lines(string(b)) {
		k, v, ok := strings.Cut(line, ":")
		if ok && statusKeys[k] {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m, nil
}

// memoryBelow adds up the resident memory of all descendants of a process, in
// bytes. Processes that end meanwhile count nothing.
func memoryBelow(pid int) int64 {
	var sum int64
	seen := map[int]bool{pid: true}
	for queue := []int{pid}; len(queue) > 0 && len(seen) < 1<<16; {
		p := queue[0]
		queue = queue[1:]
		sum += residentOf(p)
		for _, child := range childrenOf(p) {
			if !seen[child] {
				seen[child] = true
				queue = append(queue, child)
			}
		}
	}
	return sum
}

func residentOf(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// childrenOf lists the children of every thread of a process.
func childrenOf(pid int) []int {
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil
	}
	var list []int
	for _, t := range threads {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		if err != nil {
			continue
		}
		for _, f := range bytes.Fields(b) {
			if n, err := strconv.Atoi(string(f)); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

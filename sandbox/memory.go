//go:build linux && (amd64 || arm64)

package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Where no cgroup counts a cell, its memory is added up from outside, some
// times a second. What is counted: private pages, resident or swapped out, page
// tables, shared anonymous memory by the size of its mapping (its pages stay
// when no process has them resident), and sockets by the most that each can
// hold. Files are not: their pages can be given back, and those of the scratch
// file systems have a bound of their own.

const (
	// maxMaps bounds what is read of one list of mappings; a process with more
	// is taken at its whole resident size.
	maxMaps = 1 << 20
	// socketWorth is the most that one socket holds: its send buffer, which
	// cannot be enlarged, and one message that went over it.
	socketWorth = (208 << 10) * 3 / 2
)

// overMemory reports whether the processes below a process hold more than
// limit bytes. The cheap sum counts twice what processes share since a fork;
// only if it is above the limit is the dear and exact one made.
func overMemory(pid int, limit int64) bool {
	return memoryBelow(pid, false) > limit && memoryBelow(pid, true) > limit
}

// memoryBelow adds up the memory of a process and all its descendants, in
// bytes. Processes that end meanwhile count nothing.
func memoryBelow(pid int, exact bool) int64 {
	sum := socketsOf(pid) * socketWorth
	shared := map[string]int64{} // the end of each shared object, by inode
	seen := map[int]bool{pid: true}
	for queue := []int{pid}; len(queue) > 0 && len(seen) < 1<<16; {
		p := queue[0]
		queue = queue[1:]
		sum += memoryOf(p, exact, shared)
		for _, child := range childrenOf(p) {
			if !seen[child] {
				seen[child] = true
				queue = append(queue, child)
			}
		}
	}
	for _, n := range shared {
		sum += n
	}
	return sum
}

// memoryOf returns what a process holds by itself and notes what it shares.
func memoryOf(pid int, exact bool, shared map[string]int64) int64 {
	dir, v := liveTask(pid)
	if v == nil {
		return 0
	}
	if !sharedMaps(dir, shared) {
		return v["VmRSS"] + v["VmSwap"] + v["VmPTE"]
	}
	if exact {
		if p := sizes(dir+"/smaps_rollup", "Pss_Anon", "SwapPss"); len(p) == 2 {
			return p["Pss_Anon"] + p["SwapPss"] + v["VmPTE"]
		}
	}
	return v["RssAnon"] + v["VmSwap"] + v["VmPTE"]
}

// liveTask returns the directory of a thread that still has the memory of the
// process, and its sizes. The first thread may have ended before the others,
// and shows nothing then. It returns nil sizes for a process that is gone.
func liveTask(pid int) (string, map[string]int64) {
	read := func(dir string) map[string]int64 {
		v := sizes(dir+"/status", "VmRSS", "VmSwap", "VmPTE", "RssAnon")
		if len(v) != 4 {
			return nil
		}
		return v
	}
	dir := fmt.Sprintf("/proc/%d", pid)
	if v := read(dir); v != nil {
		return dir, v
	}
	threads, _ := filepath.Glob(dir + "/task/*")
	for _, t := range threads {
		if v := read(t); v != nil {
			return t, v
		}
	}
	return "", nil
}

// sizes reads lines of the form "Key: 12 kB", in bytes.
func sizes(file string, keys ...string) map[string]int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	m := map[string]int64{}
	for line := range strings.Lines(string(b)) {
		k, rest, _ := strings.Cut(line, ":")
		for _, want := range keys {
			if k != want {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err == nil {
				m[k] = n << 10
			}
		}
	}
	return m
}

// sharedMaps notes the shared anonymous objects that a process has mapped. It
// returns false if they cannot be told.
func sharedMaps(dir string, shared map[string]int64) bool {
	f, err := os.Open(dir + "/maps")
	if err != nil {
		return false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMaps))
	if err != nil || len(b) == maxMaps {
		return false
	}
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("/dev/zero (deleted)\n")) {
			continue
		}
		if inode, end, ok := sharedMap(string(line)); ok {
			shared[inode] = max(shared[inode], end)
		}
	}
	return true
}

// sharedMap reads one line of a list of mappings: which object is mapped, and
// how far into it.
func sharedMap(line string) (inode string, end int64, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 {
		return "", 0, false
	}
	from, to, _ := strings.Cut(f[0], "-")
	a, err1 := strconv.ParseUint(from, 16, 64)
	b, err2 := strconv.ParseUint(to, 16, 64)
	off, err3 := strconv.ParseUint(f[2], 16, 62)
	if err1 != nil || err2 != nil || err3 != nil || b < a {
		return "", 0, false
	}
	return f[4], int64(off) + int64(b-a), true
}

// socketsOf counts the sockets of the network namespace of a process.
func socketsOf(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/sockstat", pid))
	if err != nil {
		return 0
	}
	var n int64
	if _, err := fmt.Sscanf(string(b), "sockets: used %d", &n); err != nil {
		return 0
	}
	return n
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

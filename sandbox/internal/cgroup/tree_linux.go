package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// prefix begins the name of the directory that holds the groups of a process.
const prefix = "holdfast-"

// Tree is where a process makes the groups of its cells.
type Tree struct {
	kind Kind
	dirs map[string]string // by controller; for version 2 all are the same
	kill string            // where groups can be ended as a whole; "" if nowhere
}

// mkdir makes the directory of a group, which the kernel fills with files. Tests
// that have no such kernel do it in its place.
var mkdir = os.Mkdir

// made counts the groups of this process, whose trees may share a place.
var made atomic.Int64

// scope is how a person gives a process a group of its own.
const scope = "start holdfast in a group of its own: systemd-run --user --scope -p Delegate=yes holdfast ..."

// Open finds what this process may use. v1 says whether hierarchies of version 1
// will do, which cost tens of milliseconds a cell. The error is a *MissingError.
func Open(v1 bool) (*Tree, error) {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, &MissingError{err.Error(), "use a kernel with control groups, and mount procfs"}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, &MissingError{err.Error(), "mount procfs at /proc"}
	}
	return open(find(string(self), string(mounts)), os.Getpid(), v1)
}

func open(places []place, pid int, v1 bool) (*Tree, error) {
	var unified *place
	for i := range places {
		if places[i].version == 2 {
			unified = &places[i]
		}
	}
	if len(places) == 0 {
		return nil, &MissingError{"no hierarchy is mounted", "mount cgroup2 at /sys/fs/cgroup"}
	}
	var why *MissingError
	if unified != nil {
		t, err := openV2(*unified, pid)
		if err == nil {
			return t, nil
		}
		why, _ = errors.AsType[*MissingError](err)
	}
	if v1 {
		t, err := openV1(places, unified, pid)
		if err == nil || why == nil {
			return t, err
		}
		return nil, &MissingError{why.Why + "; " + err.Error(), why.Fix}
	}
	if why == nil {
		why = &MissingError{"the unified hierarchy is not mounted", "mount cgroup2, or require control groups, which then may be of version 1"}
	}
	return nil, why
}

// needed are the controllers that a group must have.
var needed = []string{"memory", "pids"}

// openV2 uses the unified hierarchy, if it has controllers and the own group was
// delegated.
func openV2(p place, pid int) (*Tree, error) {
	have := read(p.dir, "cgroup.controllers")
	for _, n := range needed {
		if !slices.Contains(have, n) {
			return nil, &MissingError{fmt.Sprintf("%s offers no %s controller", p.dir, n),
				"boot with all controllers in the unified hierarchy (systemd.unified_cgroup_hierarchy=1, cgroup_no_v1=all), and delegate it; " + scope}
		}
	}
	if unix.Access(p.dir, unix.W_OK) != nil || unix.Access(filepath.Join(p.dir, "cgroup.subtree_control"), unix.W_OK) != nil {
		return nil, &MissingError{p.dir + " is not delegated to this user", scope}
	}
	base := filepath.Join(p.dir, prefix+strconv.Itoa(pid))
	if !p.top {
		if err := alone(p.dir, pid); err != nil {
			return nil, err
		}
		base = filepath.Join(p.dir, "cells")
	}
	want := "+memory +pids"
	if slices.Contains(have, "cpu") {
		want += " +cpu"
	}
	if err := set(p.dir, "cgroup.subtree_control", want); err != nil {
		return nil, &MissingError{fmt.Sprintf("enable controllers in %s: %v", p.dir, err), scope}
	}
	if err := makeDir(base); err != nil {
		return nil, &MissingError{err.Error(), scope}
	}
	if err := set(base, "cgroup.subtree_control", want); err != nil {
		return nil, &MissingError{fmt.Sprintf("enable controllers in %s: %v", base, err), scope}
	}
	t := &Tree{kind: V2, dirs: map[string]string{"memory": base, "pids": base}, kill: base}
	if strings.Contains(want, "cpu") {
		t.dirs["cpu"] = base
	}
	return t, nil
}

// alone moves this process into a group below its own, since a group with
// members can give its children no controllers. With others in it, that is not
// for this process to do.
func alone(dir string, pid int) error {
	members := read(dir, "cgroup.procs")
	if len(members) == 0 {
		return nil // the process was moved before
	}
	if len(members) != 1 || members[0] != strconv.Itoa(pid) {
		return &MissingError{dir + " is shared with other processes", scope}
	}
	sub := filepath.Join(dir, "runtime")
	if err := makeDir(sub); err != nil {
		return &MissingError{err.Error(), scope}
	}
	if err := set(sub, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return &MissingError{fmt.Sprintf("move into %s: %v", sub, err), scope}
	}
	return nil
}

// openV1 uses a hierarchy for each controller, and the unified one, if it can be
// written, for ending all at once.
func openV1(places []place, unified *place, pid int) (*Tree, error) {
	t := &Tree{kind: V1, dirs: map[string]string{}}
	name := prefix + strconv.Itoa(pid)
	for _, c := range []string{"memory", "pids", "cpu"} {
		i := slices.IndexFunc(places, func(p place) bool { return p.version == 1 && slices.Contains(p.controllers, c) })
		if i < 0 {
			if c == "cpu" {
				continue
			}
			return nil, &MissingError{"there is no " + c + " hierarchy of version 1 either", "enable the " + c + " controller in the kernel"}
		}
		sweep(places[i].dir)
		dir := filepath.Join(places[i].dir, name)
		if err := makeDir(dir); err != nil {
			t.Close()
			return nil, &MissingError{err.Error(), "run holdfast as root, or have " + places[i].dir + " delegated to this user"}
		}
		t.dirs[c] = dir
	}
	if unified != nil {
		sweep(unified.dir)
		if dir := filepath.Join(unified.dir, name); makeDir(dir) == nil && exists(dir, "cgroup.kill") {
			t.kill = dir
		}
	}
	return t, nil
}

func exists(dir, file string) bool {
	_, err := os.Stat(filepath.Join(dir, file))
	return err == nil
}

func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return nil
}

// sweep removes the empty groups of processes that have died.
func sweep(dir string) {
	list, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
	for _, base := range list {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(base), prefix))
		if err != nil || pid <= 0 || unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		groups, _ := os.ReadDir(base)
		for _, g := range groups {
			if g.IsDir() {
				unix.Rmdir(filepath.Join(base, g.Name()))
			}
		}
		unix.Rmdir(base)
	}
}

// Kind returns what the tree is made of.
func (t *Tree) Kind() Kind { return t.kind }

// Close removes the directories that Open made. Groups that are left keep
// theirs.
func (t *Tree) Close() {
	if t.kind == V2 {
		return // it holds no more than its settings
	}
	for _, d := range t.dirs {
		unix.Rmdir(d)
	}
	if t.kill != "" {
		unix.Rmdir(t.kill)
	}
}

// Group is the group of one cell.
type Group struct {
	tree *Tree
	name string
	dirs []string // distinct
}

// New makes a group with the given limits.
func (t *Tree) New(l Limits) (*Group, error) {
	g := &Group{tree: t, name: strconv.FormatInt(made.Add(1), 10)}
	for _, base := range append([]string{t.dirs["memory"], t.dirs["pids"], t.dirs["cpu"]}, t.kill) {
		dir := filepath.Join(base, g.name)
		if base == "" || slices.Contains(g.dirs, dir) {
			continue
		}
		if t.kind == V1 {
			makeDir(base) // another tree of this process may have been closed
		}
		if err := mkdir(dir, 0o755); err != nil {
			g.Remove(0)
			return nil, fmt.Errorf("make control group: %w", err)
		}
		g.dirs = append(g.dirs, dir)
	}
	if err := g.limit(l); err != nil {
		g.Remove(0)
		return nil, fmt.Errorf("limit control group: %w", err)
	}
	return g, nil
}

func (g *Group) dir(controller string) string {
	if base := g.tree.dirs[controller]; base != "" {
		return filepath.Join(base, g.name)
	}
	return ""
}

const period = 100_000 // microseconds

func (g *Group) limit(l Limits) error {
	mem, pids, cpu := g.dir("memory"), g.dir("pids"), g.dir("cpu")
	bytes, quota := strconv.FormatInt(l.Memory, 10), strconv.Itoa(l.CPU*period/100)
	errs := []error{set(pids, "pids.max", strconv.Itoa(l.Processes))}
	if g.tree.kind == V1 {
		errs = append(errs, set(mem, "memory.limit_in_bytes", bytes))
		if exists(mem, "memory.memsw.limit_in_bytes") {
			errs = append(errs, set(mem, "memory.memsw.limit_in_bytes", bytes))
		}
		if cpu != "" {
			errs = append(errs, set(cpu, "cpu.cfs_period_us", strconv.Itoa(period)), set(cpu, "cpu.cfs_quota_us", quota))
		}
		return errors.Join(errs...)
	}
	errs = append(errs, set(mem, "memory.max", bytes), set(mem, "memory.oom.group", "1"))
	if exists(mem, "memory.swap.max") {
		errs = append(errs, set(mem, "memory.swap.max", "0"))
	}
	if cpu != "" {
		errs = append(errs, set(cpu, "cpu.weight", "20"), set(cpu, "cpu.max", quota+" "+strconv.Itoa(period)))
	}
	return errors.Join(errs...)
}

// Doors returns the files through which a process enters the group, by writing
// "0". Their number depends on the tree alone.
func (g *Group) Doors() ([]*os.File, error) {
	var list []*os.File
	for _, d := range g.dirs {
		f, err := os.OpenFile(filepath.Join(d, "cgroup.procs"), os.O_WRONLY, 0)
		if err != nil {
			for _, f := range list {
				f.Close()
			}
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// Doors returns how many files every group of the tree is entered through.
func (t *Tree) Doors() int {
	seen := map[string]bool{}
	for _, d := range t.dirs {
		seen[d] = true
	}
	if t.kill != "" {
		seen[t.kill] = true
	}
	return len(seen)
}

// Holds reports whether the text of a process's /proc/<pid>/cgroup puts it into
// this group in every hierarchy.
func (g *Group) Holds(text string) bool {
	n := 0
	for _, d := range g.dirs {
		suffix := "/" + filepath.Base(filepath.Dir(d)) + "/" + g.name
		for line := range strings.Lines(text) {
			if strings.HasSuffix(strings.TrimSuffix(line, "\n"), suffix) {
				n++
				break
			}
		}
	}
	return n == len(g.dirs) && strings.Count(text, "/"+g.name+"\n") == len(g.dirs)
}

// Kill ends every process of the group at once, where the kernel offers that.
func (g *Group) Kill() {
	if g.tree.kill != "" {
		_ = set(filepath.Join(g.tree.kill, g.name), "cgroup.kill", "1")
	}
}

// Usage reads what the group used. What a kernel does not tell is 0.
func (g *Group) Usage() Usage {
	var u Usage
	mem, pids, cpu := g.dir("memory"), g.dir("pids"), g.dir("cpu")
	u.Refused = field(pids, "pids.events", "max")
	if g.tree.kind == V1 {
		u.Peak = field(mem, "memory.max_usage_in_bytes", "")
		u.Killed = field(mem, "memory.oom_control", "oom_kill")
		return u
	}
	u.Peak = field(mem, "memory.peak", "")
	u.Killed = field(mem, "memory.events", "oom_kill")
	u.CPU = field(cpu, "cpu.stat", "usage_usec")
	return u
}

// field reads the number after a key, or the first word without one.
func field(dir, file, key string) int64 {
	if dir == "" {
		return 0
	}
	words := read(dir, file)
	if key != "" {
		i := slices.Index(words, key)
		words = words[max(i+1, 0):]
		if i < 0 {
			return 0
		}
	}
	if len(words) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(words[0], 10, 64)
	return n
}

// Remove removes the group, waiting up to patience for its last processes to be
// gone. It reports whether it is.
func (g *Group) Remove(patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for {
		left := g.dirs[:0:0]
		for _, d := range g.dirs {
			if err := unix.Rmdir(d); err != nil && err != unix.ENOENT {
				left = append(left, d)
			}
		}
		g.dirs = left
		if len(left) == 0 {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		g.Kill()
		time.Sleep(time.Millisecond)
	}
}

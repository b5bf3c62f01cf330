package cgroup

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unified are the files of a group of version 2, as a kernel makes them.
var unified = map[string]string{"cgroup.procs": "", "cgroup.kill": "", "memory.max": "max", "memory.swap.max": "max", "memory.oom.group": "0",
	"memory.peak": "123\n", "memory.events": "low 0\nhigh 0\nmax 4\noom 2\noom_kill 2\noom_group_kill 1\n",
	"pids.max": "max", "pids.events": "max 7\n", "cpu.max": "max 100000", "cpu.weight": "100", "cpu.stat": "usage_usec 4500\nuser_usec 4000\n"}

// asKernel opens a tree of version 2 whose groups get these files, but none of
// those that are left out.
func asKernel(t *testing.T, without ...string) (tree *Tree, groups string) {
	t.Helper()
	dir := fake(t, map[string]string{"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": "", "cgroup.procs": ""})
	mkdir = func(d string, mode os.FileMode) error {
		err := os.Mkdir(d, mode)
		for name, text := range unified {
			if !slices.Contains(without, name) {
				err = errors.Join(err, os.WriteFile(filepath.Join(d, name), []byte(text), 0o644))
			}
		}
		return err
	}
	t.Cleanup(func() { mkdir = os.Mkdir })
	tree, err := open([]place{{version: 2, dir: dir}}, os.Getpid(), false)
	if err != nil {
		t.Fatal(err)
	}
	return tree, filepath.Join(dir, "cells")
}

func TestGroupOfVersion2(t *testing.T) {
	tree, cells := asKernel(t)
	g, err := tree.New(Limits{Memory: 64 << 20, Processes: 8, CPU: 50})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cells, g.name)
	want := map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "8",
		"cpu.max": "50000 100000", "cpu.weight": "20"}
	for name, text := range want {
		// the kernel takes one value whole; a file keeps what is behind it
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.HasPrefix(string(b), text) {
			t.Errorf("%s: %q %v, want %s", name, b, err, text)
		}
	}
	if u := g.Usage(); u != (Usage{Peak: 123, Killed: 2, Refused: 7, CPU: 4500}) {
		t.Errorf("usage %+v", u)
	}
	doors, err := g.Doors()
	if err != nil || len(doors) != 1 || doors[0].Name() != filepath.Join(dir, "cgroup.procs") {
		t.Errorf("doors %v, %v", doors, err)
	}
	for _, d := range doors {
		d.Close()
	}
	g.Kill()
	if b, _ := os.ReadFile(filepath.Join(dir, "cgroup.kill")); string(b) != "1" {
		t.Errorf("told to end: %q", b)
	}
	for text, want := range map[string]bool{
		"0::/user.slice/cells/" + g.name + "\n":                                 true,
		"1:name=systemd:/user.slice\n0::/user.slice/cells/" + g.name + "\n":     true,
		"0::/user.slice/cells/" + g.name + "0\n":                                false,
		"0::/user.slice/cells\n":                                                false,
		"0::/user.slice/other/" + g.name + "\n":                                 false,
		"0::/user.slice/cells/" + g.name + "/deeper\n":                          false,
		"5:memory:/cells/" + g.name + "\n0::/user.slice/cells/" + g.name + "\n": false,
		"": false,
	} {
		if g.Holds(text) != want {
			t.Errorf("%q: holds %v", text, !want)
		}
	}
}

// TestNoGroupWithoutItsLimits takes each file away by which a limit is set: no
// group is made then, so no cell.
func TestNoGroupWithoutItsLimits(t *testing.T) {
	for name := range maps.Keys(unified) {
		t.Run(name, func(t *testing.T) {
			tree, _ := asKernel(t, name)
			g, err := tree.New(Limits{Memory: 64 << 20, Processes: 8, CPU: 50})
			limits := []string{"memory.max", "memory.oom.group", "pids.max", "cpu.max", "cpu.weight"}
			if refused := err != nil; refused != slices.Contains(limits, name) {
				t.Fatalf("group %v, %v", g, err)
			}
			if name == "cgroup.procs" {
				if _, err := g.Doors(); err == nil {
					t.Error("there is a way in")
				}
			}
		})
	}
}

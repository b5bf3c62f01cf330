//go:build linux && (amd64 || arm64)

package sandbox

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
)

// attest asks the kernel about the process at the barrier and compares every
// answer with the plan. Process 1 was examined before, while the other process
// was still on its way.
func (c *cell) attest(report message) (Attestation, error) {
	a := Attestation{CallID: c.spec.CallID, PID: report.pid, Init: c.watch, Prepared: c.prepared, Degraded: degraded(c.facts)}
	pid := strconv.Itoa(report.pid)
	status := c.now
	if status == nil {
		var err error
		if status, err = c.asked.status.read(); err != nil {
			return a, &AttestError{"status", "a readable process", err.Error()}
		}
	}
	if err := a.fill(status); err != nil {
		return a, err
	}
	if err := a.check(c); err != nil {
		return a, err
	}
	if err := c.attestGroup(pid); err != nil {
		return a, err
	}
	if err := a.namespaces(c, report); err != nil {
		return a, err
	}
	if err := a.files(c); err != nil {
		return a, err
	}
	if err := a.mounts(c, pid); err != nil {
		return a, err
	}
	a.Digest = a.digest()
	return a, nil
}

// digest is that of every other field, each followed by a separator that none
// of them holds.
func (a *Attestation) digest() [32]byte {
	b := make([]byte, 0, 4<<10)
	put := func(list ...string) {
		for _, s := range list {
			b = append(append(b, s...), 0)
		}
	}
	num := func(list ...uint64) {
		for _, n := range list {
			b = append(strconv.AppendUint(b, n, 16), 0)
		}
	}
	put(a.CallID, a.Groups, a.NamespacesBy, strconv.FormatBool(a.Prepared))
	num(uint64(a.PID), uint64(a.UID), uint64(a.GID), uint64(a.NoNewPrivs), uint64(a.Seccomp), uint64(a.SeccompFilters), uint64(a.Threads))
	num(a.Caps[:]...)
	for _, n := range append(slices.Clone(nsNames), "time") {
		num(a.Namespaces[n])
	}
	put(a.FilesBy)
	for _, f := range a.Files {
		num(uint64(f.FD), f.Dev, f.Ino)
	}
	for _, m := range a.Mounts {
		put(m.Point, m.Type, m.Options)
	}
	num(uint64(a.Init.PID), a.Init.Caps, uint64(a.Init.NoNewPrivs), uint64(a.Init.Seccomp))
	for _, d := range a.Degraded {
		put(d.Layer, d.State, d.Why)
	}
	return sha256.Sum256(append(b, a.MountDigest[:]...))
}

var capNames = [5]string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}

// number parses one field of a status; a field that is missing is an error.
func number(status map[string]string, key string, base int) (uint64, error) {
	n, err := strconv.ParseUint(status[key], base, 64)
	if err != nil {
		return 0, &AttestError{key, "a number", fmt.Sprintf("%q", status[key])}
	}
	return n, nil
}

// fill parses what the kernel says.
func (a *Attestation) fill(status map[string]string) error {
	for i, name := range capNames {
		n, err := number(status, name, 16)
		if err != nil {
			return err
		}
		a.Caps[i] = n
	}
	for key, to := range map[string]*int{"NoNewPrivs": &a.NoNewPrivs, "Seccomp": &a.Seccomp,
		"Seccomp_filters": &a.SeccompFilters, "Threads": &a.Threads} {
		n, err := number(status, key, 10)
		if err != nil {
			return err
		}
		*to = int(n)
	}
	for key, to := range map[string]*int{"Uid": &a.UID, "Gid": &a.GID} {
		id, err := single(key, status[key])
		if err != nil {
			return err
		}
		*to = id
	}
	a.Groups = status["Groups"]
	return nil
}

// single returns the one id that real, effective, saved and file system ids
// must all be.
func single(key, s string) (int, error) {
	f := strings.Fields(s)
	if len(f) != 4 || f[0] != f[1] || f[0] != f[2] || f[0] != f[3] {
		return 0, &AttestError{key, "four equal ids", s}
	}
	return strconv.Atoi(f[0])
}

func (a *Attestation) check(c *cell) error {
	want := c.plan.want
	for i, name := range capNames {
		if a.Caps[i] != 0 {
			return &AttestError{name, "0", fmt.Sprintf("%x", a.Caps[i])}
		}
	}
	for _, f := range []struct {
		name      string
		want, got int
	}{
		{"Uid", want.uid, a.UID}, {"Gid", want.gid, a.GID},
		{"NoNewPrivs", 1, a.NoNewPrivs}, {"Seccomp", 2, a.Seccomp},
		{"Seccomp_filters", c.facts.Filters + 1, a.SeccompFilters}, {"Threads", 1, a.Threads},
	} {
		if f.want != f.got {
			return &AttestError{f.name, strconv.Itoa(f.want), strconv.Itoa(f.got)}
		}
	}
	if c.facts.UID == 0 && a.Groups != "" {
		return &AttestError{"Groups", "none of root's", a.Groups}
	}
	return nil
}

// namespaces must all differ from the runner's. The kernel shows them to a
// runner that may inspect the process; else the stage's own word is taken, and
// marked as such.
func (a *Attestation) namespaces(c *cell, report message) error {
	a.NamespacesBy, a.Namespaces = "kernel", c.spaces
	if c.spaces == nil {
		a.NamespacesBy, a.Namespaces = "stage", map[string]uint64{}
		for i, n := range nsNames {
			a.Namespaces[n] = report.data[i]
		}
	}
	for _, n := range slices.Sorted(maps.Keys(a.Namespaces)) {
		if id := a.Namespaces[n]; id == 0 || id == c.runner.own[n] {
			return &AttestError{"namespace " + n, "one of its own", strconv.FormatUint(id, 10)}
		}
	}
	return nil
}

// attestInit checks the process that supervises the tool from inside.
func attestInit(pid int) (InitFact, error) {
	status, err := statusOf(strconv.Itoa(pid))
	if err != nil {
		return InitFact{}, &AttestError{"init status", "a readable process", err.Error()}
	}
	if status["PPid"] != strconv.Itoa(os.Getpid()) {
		return InitFact{}, &AttestError{"init PPid", "the runner", status["PPid"]}
	}
	for _, f := range []struct {
		key  string
		base int
		want uint64
	}{{"CapPrm", 16, 0}, {"CapEff", 16, 0}, {"CapBnd", 16, 0}, {"NoNewPrivs", 10, 1}, {"Seccomp", 10, 2}} {
		got, err := number(status, f.key, f.base)
		if err != nil {
			return InitFact{}, err
		}
		if got != f.want {
			return InitFact{}, &AttestError{"init " + f.key, strconv.FormatUint(f.want, 10), strconv.FormatUint(got, 10)}
		}
	}
	return InitFact{PID: pid, NoNewPrivs: 1, Seccomp: 2}, nil
}

// mounts compares the cell's mount table with the plan: nothing is missing,
// nothing is there that was not planned, nothing is looser.
func (a *Attestation) mounts(c *cell, pid string) error {
	t := c.table
	if t == nil || t.changed() {
		var err error
		if t, err = readCellMounts(pid); err != nil {
			return err
		}
		c.table.close()
		c.table = t
	}
	a.MountDigest, a.Mounts = t.digest, t.mounts
	if err := compareMounts(a.Mounts, c.plan.want.mounts); err != nil {
		return err
	}
	return holdFiles(a.Mounts, c.plan.want.mounts)
}

// holdFiles refuses what has come to be mounted inside a source and shows the
// kernel rather than files. The planned points themselves were approved.
func holdFiles(found []MountFact, want []wantMount) error {
	var d disks
	for _, m := range found {
		if want[plannedAt(m, want)].point == m.Point {
			continue
		}
		if d == nil {
			var err error
			if d, err = readDisks(); err != nil {
				return &AttestError{"file systems", "a readable list", err.Error()}
			}
		}
		if !d.holdsFiles(m.Type) {
			return &AttestError{"mount " + m.Point, "a file system that holds files", m.Type}
		}
	}
	return nil
}

func compareMounts(found []MountFact, want []wantMount) error {
	met := make([]bool, len(want))
	for _, m := range found {
		i := plannedAt(m, want)
		if i < 0 {
			return &AttestError{"mount " + m.Point, "none", m.Type + " " + m.Options}
		}
		w := want[i]
		if m.Point == w.point {
			if met[i] {
				return &AttestError{"mount " + m.Point, "one", "several"}
			}
			met[i] = true
		}
		if w.fstype != "" && m.Type != w.fstype {
			return &AttestError{"mount " + m.Point, w.fstype, m.Type}
		}
		have := "," + m.Options + ","
		for _, o := range w.options {
			if !strings.Contains(have, ","+o+",") {
				return &AttestError{"mount " + m.Point, o, m.Options}
			}
		}
	}
	for i, w := range want {
		if !met[i] {
			return &AttestError{"mount " + w.point, "present", "absent"}
		}
	}
	return nil
}

// plannedAt finds the planned mount that m is, or lies below in the same tree.
func plannedAt(m MountFact, want []wantMount) int {
	for i, w := range want {
		if w.point == m.Point {
			return i
		}
	}
	for i, w := range want {
		if w.recursive && within(m.Point, w.point) {
			return i
		}
	}
	return -1
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// prove builds one cell and runs a program of a few bytes in it.
func (r *Runner) prove(ctx context.Context) error {
	image, err := NewImage(probeProgram)
	if err != nil {
		return err
	}
	defer image.release()
	res, err := r.Run(ctx, Spec{CallID: "probe", Argv: []string{"probe"}, Helper: image, Profile: r.facts.tightest(), probe: true}, Discard)
	if err != nil {
		return err
	}
	if res.Exit != probeExit || res.Signal != 0 {
		return fmt.Errorf("probe ended with %d", res.Exit)
	}
	return nil
}

// diagnose looks for the commonest reasons why cells cannot be built, most
// telling first. It returns nil if none is found.
func diagnose(f Facts) *Layer {
	user := "user namespace"
	lost := "every profile"
	read := func(p string) string {
		b, err := os.ReadFile(p)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	switch {
	case !atLeast(f.Kernel, 5, 13):
		return &Layer{"kernel", Missing, "Linux " + f.Kernel, lost, "use Linux 5.13 or newer"}
	case read("/proc/sys/vm/memfd_noexec") == "2":
		return &Layer{imageLayerName, Missing, "vm.memfd_noexec = 2", lost, "sysctl -w vm.memfd_noexec=1"}
	case read("/proc/sys/user/max_user_namespaces") == "0":
		return &Layer{user, Missing, "user.max_user_namespaces = 0", lost,
			"sysctl -w user.max_user_namespaces=15000"}
	case f.UID != 0 && read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
		return &Layer{user, Missing, "kernel.unprivileged_userns_clone = 0", lost,
			"sysctl -w kernel.unprivileged_userns_clone=1"}
	case f.UID != 0 && read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
		return &Layer{user, Missing, "kernel.apparmor_restrict_unprivileged_userns = 1", lost, apparmorFix()}
	}
	return nil
}

// apparmorFix is a profile for this program alone; switching the restriction
// off for everyone is not offered.
func apparmorFix() string {
	exe, err := os.Executable()
	if err != nil {
		exe = "/usr/local/bin/holdfast"
	}
	return fmt.Sprintf(`write to /etc/apparmor.d/holdfast and run "apparmor_parser -r /etc/apparmor.d/holdfast":
abi <abi/4.0>,
include <tunables/global>
profile holdfast %s flags=(unconfined) {
  userns,
}`, exe)
}

// Doctor examines the machine, layer by layer, for runners of c. It builds cells
// that run a program of a few bytes and changes nothing.
func Doctor(ctx context.Context, c Config) Report {
	f, err := gather(c)
	rep := Report{Facts: f}
	if err != nil {
		rep.Layers = []Layer{{"kernel", Missing, err.Error(), "every profile", "use Linux 5.13 or newer with procfs at /proc"}}
		return rep
	}
	rep.Layers = append(rep.Layers, Layer{Name: "kernel", State: Ready, Evidence: "Linux " + f.Kernel})
	r, err := open(c)
	if err == nil {
		defer r.Close()
		err = r.probe(ctx)
		f = r.facts
		rep.Facts = f
	}
	rep.Layers = append(rep.Layers, cellLayers(f, err)...)
	rep.Layers = append(rep.Layers, idmapLayer(r, f)...)
	rep.Layers = append(rep.Layers, stateLayer(c, f.UID))
	return optional(rep, f)
}

// optional adds the layers that not every profile requires. Partial means that
// cells run without, not that a layer is half there.
func optional(rep Report, f Facts) Report {
	lacking := map[string]Degraded{}
	for _, d := range degraded(f) {
		lacking[d.Layer] = d
	}
	for _, o := range optionalLayers {
		l := Layer{Name: o.name, State: Ready, Evidence: o.evidence}
		if d, ok := lacking[o.name]; ok {
			l = Layer{o.name, Partial, d.State + ": " + d.Why, o.lost, o.fix}
		}
		rep.Layers = append(rep.Layers, l)
	}
	return rep
}

// optionalLayers are what cells may lack: what a machine that has them showed,
// what is lost without, and what helps.
var optionalLayers = []struct{ name, evidence, lost, fix string }{
	{workspaceLayerName, "a layer took the changes of a cell",
		"calls that write: they are refused", "use Linux 6.6 or newer with overlay file systems"},
	{"landlock", "in force for changes", "a second line of defence behind the mount view",
		"use a kernel with Landlock and name it in the lsm= line of its command"},
	{"time namespace", "a cell was given clocks of its own", "hiding how long the machine has been up", ""},
	{"pid_max", "a setting of each pid namespace", "a second bound on the number of processes", "use Linux 6.14 or newer"},
	{denialLayerName, "a cell gave its listener to the runner", "every call under Strict; under Standard, a record of the system calls that were denied",
		"run holdfast outside of what listens to its system calls"},
	{"cgroup", "control groups can be made for cells", "exact memory accounting, kernel memory in it, and a bound on CPU time of the cell as a whole",
		"start holdfast in a group of its own: systemd-run --user --scope -p Delegate=yes holdfast ..."},
}

// cellLayerNames are the layers that building a cell proves, in order.
var cellLayerNames = []string{"user namespace", "mount view", procLayerName, "identity", "seccomp", "attestation", imageLayerName}

// cellEvidence is what the cell that was built showed of each.
var cellEvidence = map[string]string{
	"user namespace": "a cell was built in namespaces of its own",
	"mount view":     "its mount table is as planned",
	procLayerName:    "it has a read-only proc of its own",
	"identity":       "it runs without capabilities, as an ordinary user",
	"seccomp":        "its system-call filter is in force",
	"attestation":    "what the kernel says of it is as planned",
	imageLayerName:   "it executed a program from memory",
}

// imageLayerName is the layer that executes programs from memory.
const imageLayerName = "program image"

// cellLayers explains a failed probe by the step that failed.
func cellLayers(f Facts, err error) []Layer {
	names := cellLayerNames
	bad := -1
	var why Layer
	if err != nil {
		bad, why = blame(f, err)
	}
	var list []Layer
	for i, n := range names {
		switch {
		case i == bad:
			list = append(list, why)
		case n == procLayerName && f.NoProc:
			list = append(list, Layer{n, Partial, "/proc is masked here: cells have none", "the profiles strict and standard; reduced is allowed", procFix})
		case bad >= 0 && i > bad:
			list = append(list, Layer{n, Missing, "not reached", "every profile", ""})
		default:
			list = append(list, Layer{Name: n, State: Ready, Evidence: cellEvidence[n]})
		}
	}
	return list
}

// blame returns the layer that an error of a probe belongs to, and its index
// in cellLayerNames.
func blame(f Facts, err error) (int, Layer) {
	l := Layer{State: Missing, Evidence: err.Error(), Lost: "every profile"}
	i := 5
	if d := diagnose(f); d != nil {
		l.Evidence, l.Fix = d.Evidence+" ("+err.Error()+")", d.Fix
		i = max(slices.Index(cellLayerNames, d.Name), 0)
	} else if e, ok := errors.AsType[*SetupError](err); ok {
		i, l.Fix = blameStep(e.Op)
	}
	l.Name = cellLayerNames[i]
	return i, l
}

// blameStep says which layer a failed step of the plan belongs to, and what
// commonly helps.
func blameStep(op string) (int, string) {
	switch op {
	case "SETID":
		return 0, "run holdfast as an ordinary user, or in a container whose user namespace maps more than root"
	case "UNSHARE", "MAP", "BOUNDS", "stage":
		return 0, "in a container, allow user namespaces: its seccomp profile must permit clone, unshare and mount"
	case "PROC":
		return 2, procFix
	case "KEYRING", "RLIMIT", "CAPS", "NNP", "CLOSE", "UMASK", "CHDIR":
		return 3, "in a container, its seccomp profile must permit keyctl and prctl"
	case "SECCOMP":
		return 4, "use a kernel with CONFIG_SECCOMP_FILTER"
	}
	return 1, "in a container, its seccomp profile must permit the mount calls"
}

// idmapFix is what helps a runner that is root and a workspace that is root's,
// on a file system whose mounts cannot be shifted.
const idmapFix = "give the workspace to an ordinary user (chown -R), whom the cell then runs as, " +
	"or move it to a file system with idmapped mounts, such as ext4, xfs or btrfs, not overlay"

// idmapLayer tells a root runner whether root's workspaces can be shifted: it
// shifts a directory, which is never attached anywhere.
func idmapLayer(r *Runner, f Facts) []Layer {
	if f.UID != 0 || r == nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "holdfast-doctor")
	if err == nil {
		defer os.Remove(dir)
		err = r.tryShift(dir)
	}
	parent := filepath.Dir(dir)
	if err != nil {
		return []Layer{{idmapLayerName, Partial, err.Error(), "workspaces that belong to root, on file systems like that of " + parent,
			idmapFix}}
	}
	return []Layer{{Name: idmapLayerName, State: Ready, Evidence: "a directory in " + parent + " was shifted; other file systems may refuse"}}
}

// tryShift makes a shifted mount of dir and lets go of it.
func (r *Runner) tryShift(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	fd, err := r.detach(passed{source: dir, attr: attrTree}, Facts{
		Identity: Identity{nobody, nobody}, Sources: map[string]Source{dir: {Shifted: true}}})
	if err == nil {
		unix.Close(fd)
	}
	return err
}

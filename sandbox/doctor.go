//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// prove builds one cell and runs a program of a few bytes in it.
func (r *Runner) prove(ctx context.Context) error {
	image, err := NewImage(probeProgram)
	if err != nil {
		return err
	}
	defer image.release()
	res, err := r.Run(ctx, Spec{CallID: "probe", Argv: []string{"probe"}, Helper: image}, Discard)
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

// Doctor examines the machine, layer by layer. It builds cells that run a
// program of a few bytes and changes nothing.
func Doctor(ctx context.Context) Report {
	f, err := gather(Config{})
	rep := Report{Facts: f}
	if err != nil {
		rep.Layers = []Layer{{"kernel", Missing, err.Error(), "every profile", "use Linux 5.13 or newer with procfs at /proc"}}
		return rep
	}
	rep.Layers = append(rep.Layers, Layer{Name: "kernel", State: Ready, Evidence: "Linux " + f.Kernel})
	r, err := open(Config{})
	if err == nil {
		defer r.Close()
		err = r.probe(ctx)
		f = r.facts
		rep.Facts = f
	}
	rep.Layers = append(rep.Layers, cellLayers(f, err)...)
	rep.Layers = append(rep.Layers, idmapLayer(r, f)...)
	return optional(rep, f)
}

// optional adds the optional layers, none of which is built yet or complete.
func optional(rep Report, f Facts) Report {
	if f.Memory == "approximate" {
		rep.Layers = append(rep.Layers, Layer{"cgroup", Partial, "no delegated cgroup in use",
			"exact memory accounting; data-size limits and sampling stand in", ""})
	}
	for _, d := range degraded(f) {
		if d.State == "absent" {
			rep.Layers = append(rep.Layers, Layer{d.Layer, Partial, d.Why, "a second line of defence", ""})
		}
	}
	return rep
}

// cellLayerNames are the layers that building a cell proves, in order.
var cellLayerNames = []string{"user namespace", "mount view", "proc", "identity", "seccomp", "attestation", imageLayerName}

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
		case bad >= 0 && i > bad:
			list = append(list, Layer{n, Missing, "not reached", "every profile", ""})
		default:
			list = append(list, Layer{Name: n, State: Ready, Evidence: "a cell was built and inspected"})
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
		return 2, "in a container, /proc is masked: start it with --security-opt systempaths=unconfined"
	case "KEYRING", "RLIMIT", "CAPS", "NNP", "CLOSE", "UMASK", "CHDIR":
		return 3, "in a container, its seccomp profile must permit keyctl and prctl"
	case "SECCOMP":
		return 4, "use a kernel with CONFIG_SECCOMP_FILTER"
	}
	return 1, "in a container, its seccomp profile must permit the mount calls"
}

// idmapLayer tells a root runner whether root's workspaces can be shifted.
func idmapLayer(r *Runner, f Facts) []Layer {
	if f.UID != 0 || r == nil {
		return nil
	}
	const name = idmapLayerName
	if _, err := r.idmaps.get(r.launcher, Identity{nobody, nobody}); err != nil {
		return []Layer{{name, Partial, err.Error(), "workspaces that belong to root",
			"run holdfast as an ordinary user"}}
	}
	return []Layer{{Name: name, State: Ready, Evidence: "an id mapping was made"}}
}

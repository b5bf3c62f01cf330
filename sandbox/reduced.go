//go:build linux && (amd64 || arm64)

package sandbox

import "fmt"

// procLayerName is the layer that shows a cell its own processes and nobody else's.
const procLayerName = "proc"

// procFix is what helps where no proc can be mounted.
const procFix = "in a container, /proc is masked: start it with --security-opt systempaths=unconfined (podman: unmask=ALL); " +
	"or, as an ordinary user, allow cells without /proc: HOLDFAST_ALLOW_REDUCED=1"

// reducedLandlock is the version of Landlock that Reduced needs: the first in which signals and
// abstract sockets stay in the cell by it too.
const reducedLandlock = 6

// mayReduce is the reason why a runner may not use the reduced profile, nil if it may.
func (f Facts) mayReduce() error {
	switch {
	case !f.Config.AllowReduced:
		return &RefusedError{"reduced profile", "a person who allowed it in the configuration", "none"}
	case f.UID == 0:
		return &RefusedError{"reduced profile", "an ordinary user", "root"}
	case !f.Landlock || f.LandlockABI < reducedLandlock:
		return &RefusedError{"reduced profile", fmt.Sprintf("Landlock in version %d", reducedLandlock), fmt.Sprintf("version %d", f.LandlockABI)}
	}
	return nil
}

// checkReduced refuses Reduced where it is not allowed, and the others where only it is left.
func checkReduced(s Spec, f Facts) error {
	if s.Profile == Reduced {
		return f.mayReduce()
	}
	if f.NoProc {
		return &RefusedError{procLayerName, "a proc of the cell's own, for " + s.Profile.String(), "none on this machine"}
	}
	return nil
}

// tightest is the tightest profile that there can be cells of.
func (f Facts) tightest() Profile {
	if f.NoProc {
		return Reduced
	}
	return Strict
}

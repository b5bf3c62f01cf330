//go:build linux && (amd64 || arm64)

package sandbox

// SmallLauncher reports whether r starts cells from the launcher rather than
// from the whole program.
func (r *Runner) SmallLauncher() bool { return r.launcher.fd >= 0 }

// WholeProgram makes r start cells from the whole program.
func (r *Runner) WholeProgram() { r.launcher.close() }

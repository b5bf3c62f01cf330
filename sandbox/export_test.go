//go:build linux && (amd64 || arm64)

package sandbox

import (
	"context"
	"net/netip"
	"time"
)

// SmallLauncher reports whether r starts cells from the launcher rather than
// from the whole program.
func (r *Runner) SmallLauncher() bool { return r.launcher.small() }

// WholeProgram makes r start cells from the whole program.
func (r *Runner) WholeProgram() { r.launcher.close() }

// ELF wraps machine code for this machine in a program.
func ELF(code []byte) []byte {
	return elfProgram(uint16(probeProgram[18])|uint16(probeProgram[19])<<8, code)
}

// Rewrite makes r change every encoded plan before it is recorded and used.
func (r *Runner) Rewrite(f func([]byte) []byte) { r.rewrite = f }

// Opened makes r call f whenever a tool was let go.
func (r *Runner) Opened(f func()) { r.opened = f }

// ScanAtMost lowers the bound of what is looked through in a workspace.
func (r *Runner) ScanAtMost(n int) { r.most = n }

// Lenient makes r let cells start that are not as planned, so that what they do
// without a layer can be seen; Strictly takes that back.
func (r *Runner) Lenient()  { r.lenient = true }
func (r *Runner) Strictly() { r.lenient = false }

// ReleaseAll makes r commit what a person should see first.
func (r *Runner) ReleaseAll() { r.facts.Config.Release = []string{"*"} }

// WithoutOverlay makes r mount workspaces as they are.
func (r *Runner) WithoutOverlay() { r.facts.Overlay, r.facts.Config.AllowDirectWrite = false, true }

// WithoutLandlock makes r build cells as on a kernel that has none.
func (r *Runner) WithoutLandlock() { r.facts.Landlock = false }

// Ready waits until nothing of r's pool is being built or ended, and returns how
// many cells wait in it.
func (r *Runner) Ready() int {
	r.pool.work.Wait()
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	return len(r.pool.ready)
}

// Cleared waits until nothing of r's cells is being closed.
func (r *Runner) Cleared() { r.cleared() }

// Waiting returns the processes of the cells that wait for a call.
func (r *Runner) Waiting() []int {
	r.pool.mu.Lock()
	defer r.pool.mu.Unlock()
	var list []int
	for _, s := range r.pool.ready {
		list = append(list, s.cell.watch.PID, s.cell.report.pid)
	}
	return list
}

// PoolAge changes how long a cell waits for a call.
func (r *Runner) PoolAge(d time.Duration) { r.pool.age = d }

// Resolve makes r's gates look names up by f.
func (r *Runner) Resolve(f func(context.Context, string) ([]netip.Addr, error)) { r.resolve = f }

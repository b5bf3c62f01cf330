package sandbox

import (
	"context"
	"errors"
)

// Runner starts cells within the bounds of one Config. It is safe for
// concurrent use.
type Runner struct {
	config Config
	facts  Facts
}

// New examines the machine and returns a Runner, or an *Error wrapping
// ErrRefused that names the layer that is missing.
func New(ctx context.Context, c Config) (*Runner, error) {
	return nil, &Error{Op: "open sandbox", Err: &RefusedError{"stage", "a cell", "none"}}
}

// Close releases what the Runner holds. Running cells are not affected.
func (r *Runner) Close() error { return nil }

// Run builds one cell, runs the command of s in it and waits until nothing of
// it is left. rec must not be nil. When ctx ends, the cell is stopped and the
// Result says so.
func (r *Runner) Run(ctx context.Context, s Spec, rec Recorder) (Result, error) {
	if rec == nil {
		return Result{}, &Error{Op: "run cell", Err: &SpecError{"Recorder", "is nil"}}
	}
	return Result{}, &Error{Op: "run cell", Err: errors.ErrUnsupported}
}

// Compile makes the plan for s on the machine of f. It is pure: it reads
// nothing but its arguments.
func Compile(s Spec, f Facts) (Plan, error) {
	return Plan{}, &Error{Op: "compile plan", Err: errors.ErrUnsupported}
}

// Doctor examines the machine, layer by layer.
func Doctor(ctx context.Context) Report { return Report{} }

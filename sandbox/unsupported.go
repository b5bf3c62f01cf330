//go:build !linux || !(amd64 || arm64)

package sandbox

import (
	"context"
	"io"
	"runtime"
)

// refusal is the answer of every function on systems without cells.
func refusal(op string) error {
	return &Error{Op: op, Hint: "run holdfast on Linux, on amd64 or arm64",
		Err: &RefusedError{"kernel", "Linux on amd64 or arm64", runtime.GOOS + " on " + runtime.GOARCH}}
}

// Runner cannot be made on this system.
type Runner struct{}

// New refuses: there are no cells on this system.
func New(context.Context, Config) (*Runner, error) { return nil, refusal("open sandbox") }

// Run refuses.
func (*Runner) Run(context.Context, Spec, Recorder) (Result, error) {
	return Result{}, refusal("run cell")
}

// Start refuses.
func (*Runner) Start(context.Context, Spec, Recorder) (*Running, error) {
	return nil, refusal("run cell")
}

// Running cannot be on this system.
type Running struct{}

// Stdin is none.
func (*Running) Stdin() io.WriteCloser { return nil }

// Stdout is none.
func (*Running) Stdout() io.Reader { return nil }

// Resize refuses.
func (*Running) Resize(Size) error { return refusal("resize terminal") }

// Stop does nothing.
func (*Running) Stop() {}

// Wait refuses.
func (*Running) Wait() (Result, error) { return Result{}, refusal("run cell") }

// Close does nothing.
func (*Runner) Close() error { return nil }

// Facts returns nothing.
func (*Runner) Facts() Facts { return Facts{} }

// Plan cannot be made on this system.
type Plan struct{}

// Compile refuses.
func Compile(Spec, Facts) (Plan, error) { return Plan{}, refusal("compile plan") }

// Bytes returns nothing.
func (Plan) Bytes() []byte { return nil }

// Digest returns zero.
func (Plan) Digest() [32]byte { return [32]byte{} }

// Undo refuses.
func (*Runner) Undo(context.Context, string) error { return refusal("undo commit") }

// StateDir returns nothing.
func (*Runner) StateDir() string { return "" }

// Recovered returns nothing.
func (*Runner) Recovered() []Recovered { return nil }

// Image cannot be made on this system.
type Image struct{}

// NewImage refuses.
func NewImage([]byte) (*Image, error) { return nil, refusal("load image") }

// Digest returns zero.
func (*Image) Digest() [32]byte { return [32]byte{} }

// Doctor reports that this system has no cells.
func Doctor(context.Context, Config) Report {
	err := refusal("examine machine").(*Error)
	return Report{Layers: []Layer{{"kernel", Missing, err.Err.Error(), "every profile", err.Hint}}}
}

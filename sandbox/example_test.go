//go:build linux && (amd64 || arm64)

package sandbox_test

import (
	"context"
	"fmt"

	"github.com/holdfast-run/holdfast/sandbox"
)

// One command in one cell, with a recorder that keeps nothing. It prints
// nothing where cells cannot run.
func ExampleRunner_Run() {
	ctx := context.Background()
	r, err := sandbox.New(ctx, sandbox.Config{})
	if err != nil {
		return // err names the missing layer, its Hint the fix
	}
	defer r.Close()
	res, err := r.Run(ctx, sandbox.Spec{
		CallID: "call-1",
		Argv:   []string{"/bin/sh", "-c", "tr a-z A-Z"},
		Stdin:  []byte("hello\n"),
	}, sandbox.Discard)
	if err != nil {
		return
	}
	fmt.Printf("%d %s", res.Exit, res.Stdout.Bytes())
}

package tools

import (
	_ "embed"
	"sync"

	"github.com/holdfast-run/holdfast/sandbox"
)

// The program is not kept in the repository; it is built from this one.
//
//go:generate env CGO_ENABLED=0 go build -buildvcs=false -trimpath "-ldflags=-s -w" -o toolbox.bin ./toolbox/holdfast-toolbox

// program is the static helper that carries out file tools inside a cell.
//
//go:embed toolbox.bin
var program []byte

// image is the helper as cells are given it, made once for the process.
var image = sync.OnceValues(func() (*sandbox.Image, error) {
	return sandbox.NewImage(program)
})

// Program returns a copy of the helper, for records and for the sandbox's own
// proof of a machine.
func Program() []byte { return append([]byte(nil), program...) }

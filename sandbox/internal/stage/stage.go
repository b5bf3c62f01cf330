//go:build linux && (amd64 || arm64)

// Package stage holds the C constructor that builds a cell. Linking it in is
// all there is to do: a process started as "holdfast-cell" never reaches Go.
//
// It carries out plans and decides nothing. Check may be called from any
// goroutine.
package stage

// #cgo CFLAGS: -O2 -Wall -Wextra -D_GNU_SOURCE
// #include "stage.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// Name is the argv[0] under which the constructor acts.
const Name = "holdfast-cell"

// Check says whether the stage would accept an encoded plan.
//
// Wraps stage_check.
func Check(plan []byte) error {
	// a copy that is aligned as the mapped file is
	aligned := make([]uint64, len(plan)/8+1)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&aligned[0])), len(aligned)*8), plan)
	var index C.int
	reason := C.stage_check(unsafe.Pointer(&aligned[0]), C.uint64_t(len(plan)), &index)
	if reason == 0 {
		return nil
	}
	return fmt.Errorf("op %d: %s", int(index), reasons[reason])
}

var reasons = [...]string{
	1: "not a plan of this version",
	2: "sizes out of bounds",
	3: "malformed operation",
	4: "operation outside its phase",
	5: "required steps missing or out of order",
	6: "plan does not end in seccomp, report and exec or barrier",
}

//go:build linux

package sandbox_test

// foreignCode is empty: a 64-bit program of arm64 cannot call the 32-bit
// interface.
var foreignCode = map[string][]byte{}

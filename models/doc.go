// Package models finds, imports, checks, describes and verifies model files, and
// holds the embedded reference model.
//
// A GGUF file is untrusted input: Inspect reads nothing but its header and refuses
// what is truncated, contradictory or built to hurt, before llama.cpp maps the
// file. The package never loads a model, never writes outside a Store and never opens a
// connection; it imports the standard library alone. Its functions and values may
// be used by several goroutines at once.
package models

import "errors"

// What can be wrong with a model; match with errors.Is.
var (
	ErrNotFound = errors.New("no such model")
	ErrFormat   = errors.New("not a usable GGUF file")
	ErrDigest   = errors.New("digest does not match")
	ErrName     = errors.New("cannot be the name of a model")
)

// Error is a failed operation on a model. It wraps Err.
type Error struct {
	Op   string // verb phrase with the model: "read model x.gguf"
	Hint string // what the operator can do; "" if nothing
	Err  error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

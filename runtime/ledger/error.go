package ledger

import (
	"errors"
	"fmt"

	"github.com/mattn/go-sqlite3"
)

// Error is a failed ledger operation. It wraps Err.
type Error struct {
	Op   string // verb phrase: "open ledger"
	Hint string // what the operator can do; "" if nothing
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrDamaged means stored rows contradict each other, their hashes or the schema.
	ErrDamaged = errors.New("ledger is damaged")
	// ErrRefused means the event would break a rule of the ledger, for example a call
	// that starts without an allowing decision. Nothing was recorded.
	ErrRefused = errors.New("event refused")
	// ErrUnusable means an earlier commit or sync of this handle failed, so what the
	// file holds is not known. Reopen the ledger.
	ErrUnusable = errors.New("ledger handle is unusable after a failed commit")
	// ErrReadOnly means the ledger was opened for reading.
	ErrReadOnly = errors.New("ledger is open for reading only")
	// ErrClosed means the ledger or the run was closed.
	ErrClosed = errors.New("closed")
	// ErrNotFound means no run has the given identifier or prefix.
	ErrNotFound = errors.New("no such run")
	// ErrAmbiguous means several runs have the given prefix.
	ErrAmbiguous = errors.New("more than one run has this prefix")
	// ErrOwned means another process or Run is writing the run.
	ErrOwned = errors.New("run is being written by another owner")
	// ErrEnded means the run has ended and cannot go on.
	ErrEnded = errors.New("run has ended")
)

func fail(op, hint string, err error) error { return &Error{Op: op, Hint: hint, Err: err} }

// classify gives an error of SQLite the sentinel that callers branch on.
func classify(err error) error {
	se, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return err
	}
	switch se.Code {
	case sqlite3.ErrConstraint:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// transient reports whether the error says nothing about the file: a lock was not
// free, memory was short, or the caller gave up.
func transient(err error) bool {
	se, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return false
	}
	switch se.Code {
	case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrInterrupt, sqlite3.ErrNomem:
		return true
	}
	return false
}

// clean reports whether a statement that failed this way left the transaction in a
// state that a rollback undoes for sure.
func clean(err error) bool {
	se, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return false
	}
	switch se.Code {
	case sqlite3.ErrConstraint, sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrTooBig,
		sqlite3.ErrMismatch, sqlite3.ErrInterrupt:
		return true
	}
	return false
}

func hintFor(err error) string {
	se, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return ""
	}
	switch se.Code {
	case sqlite3.ErrFull:
		return "the disk is full: free some space, then run again"
	case sqlite3.ErrBusy:
		return "another process holds the ledger's write lock: wait for it, or end it"
	case sqlite3.ErrNotADB:
		return "the file is no ledger: name another, or put it aside and begin a new one"
	case sqlite3.ErrCorrupt:
		return "copy the file aside, then run `holdfast log verify`"
	case sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrPerm:
		return "the user who runs this must be able to read and write the file and its folder"
	case sqlite3.ErrIoErr:
		return "check the disk and its quota, then reopen the ledger"
	}
	return ""
}

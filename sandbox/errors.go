package sandbox

import (
	"errors"
	"fmt"
	"syscall"
)

// The kinds of failure; match them with errors.Is and find the details with
// errors.AsType.
var (
	ErrSpec    = errors.New("invalid spec")              // *SpecError
	ErrRefused = errors.New("cell refused")              // *RefusedError
	ErrSetup   = errors.New("cell setup failed")         // *SetupError
	ErrAttest  = errors.New("cell is not as planned")    // *AttestError
	ErrRecord  = errors.New("record not accepted")       // *RecordError
	ErrExec    = errors.New("command cannot be started") // *ExecError

	ErrNoCommit = errors.New("no commit of that name is kept") // to be undone
)

// Error is a failed sandbox operation. It wraps Err.
type Error struct {
	Op   string // verb phrase: "build cell"
	Hint string // what the operator can do; "" if nothing
	Err  error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// SpecError names the field of a Spec or Config that is contradictory or out
// of bounds.
type SpecError struct{ Field, Reason string }

func (e *SpecError) Error() string        { return "spec " + e.Field + ": " + e.Reason }
func (e *SpecError) Is(target error) bool { return target == ErrSpec }

// RefusedError is a layer that the cell needs and this machine does not give.
type RefusedError struct{ Layer, Need, Have string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("layer %s: need %s, have %s", e.Layer, e.Need, e.Have)
}
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// SetupError is a step of the plan that failed in the stage. The tool did not
// start.
type SetupError struct {
	Op    string // name of the operation, or "stage" outside of any
	Index int    // in the plan; -1 outside of any
	Errno syscall.Errno
	What  string // the operation's text argument, such as a path in the cell
}

func (e *SetupError) Error() string {
	s := fmt.Sprintf("step %d %s", e.Index, e.Op)
	if e.What != "" {
		s += " " + e.What
	}
	if e.Errno == 0 {
		return s + ": ended without a report"
	}
	return s + ": " + e.Errno.Error()
}
func (e *SetupError) Is(target error) bool { return target == ErrSetup }

// Unwrap returns the errno.
func (e *SetupError) Unwrap() error { return e.Errno }

// AttestError is a field in which the built cell differs from its plan. The
// tool did not start.
type AttestError struct{ Field, Want, Got string }

func (e *AttestError) Error() string {
	return fmt.Sprintf("%s: want %s, got %s", e.Field, e.Want, e.Got)
}
func (e *AttestError) Is(target error) bool { return target == ErrAttest }

// RecordError is a step the Recorder did not accept.
type RecordError struct {
	Step string // "planned", "attested", "finished"
	Err  error
}

func (e *RecordError) Error() string        { return "record " + e.Step + ": " + e.Err.Error() }
func (e *RecordError) Is(target error) bool { return target == ErrRecord }

// Unwrap returns the recorder's error.
func (e *RecordError) Unwrap() error { return e.Err }

// ExecError says that the cell was ready but the command could not be executed
// in it, commonly because no such program or working directory exists there.
type ExecError struct {
	Path  string // Argv[0], or the working directory
	Errno syscall.Errno
}

func (e *ExecError) Error() string        { return "execute " + e.Path + ": " + e.Errno.Error() }
func (e *ExecError) Is(target error) bool { return target == ErrExec }

// Unwrap returns the errno.
func (e *ExecError) Unwrap() error { return e.Errno }

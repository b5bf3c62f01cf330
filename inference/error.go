package inference

// Error is a failed operation of the engine. It wraps Err.
type Error struct {
	Op   string // verb phrase: "load model"
	Hint string // what the operator can do; "" if nothing
	Err  error
}

// Error returns the operation and its cause.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

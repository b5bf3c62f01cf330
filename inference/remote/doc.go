// Package remote generates on a model server: an Ollama server, or one with the chat
// endpoint of OpenAI. An [Engine] implements the Generator of package agent, so that the
// same loop, judge and ledger serve a model that runs elsewhere.
//
// A server is not trusted. What it sends is bounded in size and in silence, read strictly
// and checked; whatever does not fit is an error or a turn that could not be parsed, never
// a call and never a verdict. Of the contract that a model in this process keeps, a server
// cannot be held to all:
//
//   - Constrained output. A schema is sent, and a grammar in the form of the schema that
//     holds its documents; a grammar that has none is an error. What comes back is
//     validated here, and [Open] refuses a server that does not obey at all.
//   - Label probabilities come from the log-probabilities a server lists. What it does not
//     list counts as malicious. A server that lists none gives none: Turn.Probs stays nil.
//   - Tokens. There are no ids. Turn.Tokens.Told holds what the server says it counted,
//     charged at no less than the text can be.
//   - Control tokens. The server joins content and template into one text. Spellings of
//     control tokens in the content are broken up visibly, those of the model's vocabulary
//     where the server shows it and those of common templates in any case.
//   - The prompt is not cut: an Ollama server is told so, and one too old to obey is
//     refused. Others are trusted in this.
//   - The model. Ollama tells a digest, which is recorded as what the server said.
//
// The package connects to the one address it is given, without a proxy unless asked,
// follows no redirect, sends no credential but the one it is given, and does nothing until
// [Open]. It judges nothing and executes nothing. An Engine holds no conversation and is
// safe for concurrent use.
package remote

import "errors"

// What can be wrong with a server; match with errors.Is.
var (
	ErrAddress = errors.New("not the address of a model server")
	ErrReach   = errors.New("the server cannot be reached")
	ErrServer  = errors.New("the server refused")
	ErrAnswer  = errors.New("the server's answer cannot be used")
	ErrSilent  = errors.New("the server fell silent")
)

// Error is a failed operation with a server. It wraps Err.
type Error struct {
	Op   string // verb phrase with the server: "ask ollama at 127.0.0.1:11434"
	Hint string // what the operator can do; "" if nothing
	Err  error
}

// Error returns the operation and its cause.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

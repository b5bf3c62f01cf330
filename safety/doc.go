// Package safety judges: the user's request before the first turn, every call before it
// runs, and every tool response before the model reads it.
//
// A call goes through three stages, each of which may only lower what the one before
// left standing:
//
//	arguments --provenance--> who wrote what directs the effect
//	          --Decide------> one table, one row a rule; the strictest vote stands
//	          --review------> the model's own label, on a fork of the conversation
//
// The table is in decide.go and is a pure, total function of a small value. Provenance
// and written rules are the first line; the model is the second, and its label can make
// a verdict stricter but never looser. Whatever cannot be judged is denied: an answer
// that does not parse, an engine that errs, arguments that are not one plain object.
//
// A call of a tool that writes counts as a write only if it loses nothing; all else it may
// do to what exists always asks, though it can be undone for a while: naming a file is not
// ordering its change (decision 0005). What a call is aimed at is the user's only to the byte. Once somebody else
// has spoken, nothing leaves unseen but the user's words (decision 0080).
//
// A tool response is labelled as a whole. A malicious one is labelled again piece by
// piece, the malicious pieces are held back, and what is left is labelled once more; if
// that is still malicious, the model sees none of it.
//
// The package starts nothing, writes nothing, and remembers nothing that would change a
// verdict. It protects a run only as far as its tools are declared rightly.
package safety

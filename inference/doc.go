// Package inference runs a local model through llama.cpp inside the process.
//
// An [Engine] owns one loaded model. A [Session] is one conversation on it and implements the Generator interface of
// package agent. What a session adds to llama.cpp:
//
//   - Prefix reuse. A prompt is compared, byte for byte and control token for control token, with what is already in
//     the KV cache; only what follows is evaluated. Generated tokens stay as they were generated: a turn that comes back
//     in the history is recognised and not read again, even where the template would print it a little differently.
//   - Forks. Requests that must leave the conversation alone run on a sequence of their own that shares the cells of the
//     common prefix.
//   - Content cannot forge control tokens. Spellings of special tokens in whatever users, tools and models wrote are
//     replaced by random words before the template sees them, and come back as plain text afterwards.
//   - Constrained output, strict from the first token or lazy after a tool call began; exact token records; label
//     probabilities.
//
// It never edits a conversation, never truncates a prompt and never judges a call. An Engine may be used by many
// goroutines at once; a Session by one. Computation of all sessions of an engine is serialised.
package inference

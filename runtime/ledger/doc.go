// Package ledger keeps every run in one append-only SQLite file.
//
// [Open] gives a [Ledger], [Ledger.Begin] a [Run], and [Run.Append] commits one
// event before it returns: a run's rows are a hash chain, the tips of all runs are
// a second one. Text from users, models and tools lies beside the events as salted
// blobs, so that it can be erased without breaking a chain. The schema itself
// refuses an effect without an allowing decision for exactly that call.
//
// [Ledger.Runs] and [Ledger.Events] read, also while another process writes, and
// [Ledger.Verify] says whether what lies there is whole. A run that did not end is
// continued or closed through [Ledger.Recover], which never repeats a call.
//
// [Ledger.Sign] makes a note over all heads, of which a copy kept elsewhere shows later
// whether any of it was replaced or cut. [Ledger.Redact] erases texts and says so,
// [Ledger.Merge] copies other ledgers in, [Ledger.Rotate] puts the file aside for a new
// one that goes on from it, [Ledger.Pending] lists the questions that
// suspended runs wait for.
//
// The package interprets nothing: it does not judge, display or replay, starts no
// process and opens no connection. It shows accidents and unskilled edits; rows newer
// than the last copy of a head kept elsewhere can be removed by whoever may write
// the file, and nothing here holds against root.
//
// A Ledger may be used by any number of goroutines, and a file by any number of
// processes on one machine. Each run has one owner at a time.
package ledger

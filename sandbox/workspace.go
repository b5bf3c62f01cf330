package sandbox

import (
	"fmt"

	"github.com/holdfast-run/holdfast/sandbox/internal/overlay"
)

// Change is one difference that a call made in its workspace. Held says why it
// was not committed.
type Change = overlay.Change

// CommitState is what became of a call's changes to its workspace.
type CommitState uint8

const (
	CommitNone     CommitState = iota // there was nothing to commit
	CommitDone                        // all that were not held back were made
	CommitConflict                    // somebody else had changed the workspace; none was made
	CommitDropped                     // a limit or the caller stopped the tool; none was made
	CommitFailed                      // none was made, or Why says what could not be taken back
)

// String returns the name used in records.
func (s CommitState) String() string {
	switch s {
	case CommitNone:
		return "none"
	case CommitDone:
		return "done"
	case CommitConflict:
		return "conflict"
	case CommitDropped:
		return "dropped"
	case CommitFailed:
		return "failed"
	}
	return "unknown"
}

// Recovered is a commit that a process did not live to finish, and that
// [Runner.New] finished or took back.
type Recovered struct {
	Commit, Call, Dir string
	Finished          bool     // all of its changes are made; else none
	Missing           bool     // its workspace is not there; it is settled once it is
	Left              []string // paths left as they are: somebody else changed them, or took away what was kept beside them
	Kept              string   // the folder with what is known of Left: the journal, and what files held before
}

// Held returns how many changes wait for a person.
func (r Result) Held() int {
	n := 0
	for _, c := range r.Changes {
		if c.Held != "" {
			n++
		}
	}
	return n
}

// commitLine is what the model is told about its changes: a stable code and a
// fixed remedy.
func (r Result) commitLine() string {
	switch r.Commit {
	case CommitConflict:
		return "workspace conflict: somebody else changed the same files; nothing of this call was kept. Read them again."
	case CommitFailed:
		return "workspace failed: the changes could not be made; nothing of this call was kept."
	}
	if n := r.Held(); n > 0 {
		return fmt.Sprintf("workspace held: %d changes were left out; a person has to make them.", n)
	}
	return ""
}

package sandbox

import (
	"fmt"
	"time"
)

// Capture is what was kept of one output stream: its first and its last bytes.
// The bytes are raw; whoever shows them must make them inert.
type Capture struct {
	Head  []byte
	Tail  []byte // empty when everything fitted in Head
	Total int64  // bytes the tool wrote
}

// Omitted returns how many bytes between Head and Tail were dropped.
func (c Capture) Omitted() int64 { return c.Total - int64(len(c.Head)) - int64(len(c.Tail)) }

// Bytes returns Head and Tail with a marker line between them where bytes are
// missing.
func (c Capture) Bytes() []byte {
	if c.Omitted() <= 0 {
		return append(append([]byte(nil), c.Head...), c.Tail...)
	}
	b := append([]byte(nil), c.Head...)
	b = fmt.Appendf(b, "\n[... %d bytes omitted ...]\n", c.Omitted())
	return append(b, c.Tail...)
}

// Usage is what the whole cell consumed, as far as the kernel tells.
type Usage struct {
	User, System time.Duration
	MaxRSS       int64 // bytes, largest single process; 0 if unknown
	Peak         int64 // bytes of the whole cell at most; 0 without a control group
	Refused      int64 // attempts to start more processes than allowed, as a control group counts them
}

// Timings are the parts of one run, from the start of Run.
type Timings struct {
	Planned  time.Duration // plan compiled and recorded
	Ready    time.Duration // stage stopped at the barrier
	Started  time.Duration // attested, recorded, executing
	Finished time.Duration // everything of the cell gone
}

// Result is how a call ended. A tool that fails, is stopped or meets a limit
// is a Result; an error from Run means that the tool did not run, or that its
// end could not be recorded.
type Result struct {
	Exit    int       // exit code; 128+Signal when a signal ended it
	Signal  int       // 0 if the tool exited by itself
	Limit   LimitKind // which limit stopped it, if any
	Stuck   bool      // a process of the cell hangs in the kernel and is still there
	Stdout  Capture
	Stderr  Capture
	Usage   Usage
	Denials []Denial  // system calls that were denied, one row for each call and errno
	Conns   []NetConn // what it tried to reach, in the order in which it ended
	// ConnsDropped is how many of those there was no room for.
	ConnsDropped int
	Limits       Limits // as applied, defaults filled
	Commit       CommitState
	CommitID     string   // for [Runner.Undo]; "" if nothing was committed
	Changes      []Change // what the tool changed in the workspace, committed or held
	Why          string   // why nothing was committed, if something could have been
	Plan         [32]byte // digest of the plan
	Attested     [32]byte // digest of the attestation
	Timings      Timings
}

// Line returns the one structured line the model is told about the end of the
// call, or "" when there is nothing to say. It has a stable code and a fixed
// remedy and holds nothing of the call's data.
func (r Result) Line() string {
	switch r.Limit {
	case LimitTime:
		return fmt.Sprintf("limit time: stopped after %s. Split the work or make it shorter.", r.Limits.Time)
	case LimitMemory:
		return fmt.Sprintf("limit memory: stopped at %s. Process the data in smaller parts.", size(r.Limits.Memory))
	case LimitDenials:
		return fmt.Sprintf("limit denials: stopped after %d denied system calls. The program cannot work here.", maxDenials)
	case LimitCancelled:
		return "limit cancelled: the run was stopped."
	case LimitFileSize:
		return fmt.Sprintf("limit filesize: a file grew past %s. Write less.", size(r.Limits.FileSize))
	}
	if l := r.commitLine(); l != "" {
		return l
	}
	if l := r.denialLine(); l != "" {
		return l
	}
	if r.Stdout.Omitted() > 0 || r.Stderr.Omitted() > 0 {
		return fmt.Sprintf("limit output: %s of each stream were kept. Select less output.", size(r.Limits.Output))
	}
	return ""
}

// size writes a byte count in the largest unit that divides it.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB"}
	i := 0
	for i < len(units)-1 && n >= 1024 && n%1024 == 0 {
		n /= 1024
		i++
	}
	return fmt.Sprintf("%d %s", n, units[i])
}

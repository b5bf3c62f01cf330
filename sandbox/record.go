package sandbox

import "context"

// Recorder is told of each step of one call. It is given per call, so that a
// record can be bound to the decision that allowed exactly this call. The
// methods are called in the order they are declared, from one goroutine.
type Recorder interface {
	// Planned is called before the stage is given the plan. An error ends the
	// call with [ErrRecord]; no cell is built.
	Planned(context.Context, PlanRecord) error
	// Attested is called after the cell was found to be as planned and before
	// the tool may execute. An error kills the cell with [ErrRecord].
	Attested(context.Context, Attestation) error
	// Deciding is called when the tool has ended, its changes to the workspace
	// are prepared, and none is made. An error drops them; the call ends with
	// [ErrRecord]. It is not called when there is nothing to change.
	Deciding(context.Context, CommitRecord) error
	// Finished is called when nothing of the cell is left. It is called for
	// each call whose Planned succeeded, also when the tool never started; its
	// context is not cancelled by the caller's.
	Finished(context.Context, ResultRecord) error
}

// PlanRecord is what a cell is meant to be.
type PlanRecord struct {
	CallID   string
	Profile  Profile
	Decision string     // from Grants
	Hosts    []HostRule // that may be reached; the plan has their ports alone
	Secrets  []string   // names of those that are given
	Plan     []byte     // encoded; see Plan.Bytes
	Digest   [32]byte   // of Plan
	Argv     []string
	Helper   [32]byte // digest of the image that is executed, or zero; also in the plan
	Stdin    [32]byte // digest of what the tool is given to read
	Facts    Facts
	Degraded []Degraded // optional layers this cell lacks, never empty in silence
}

// CommitRecord is what a call is about to change in its workspace.
type CommitRecord struct {
	CallID    string
	Decision  string // from Grants
	Commit    string // identity, for [Runner.Undo]
	Workspace string // host path
	Changes   []Change
}

// Degraded is an optional layer that a cell lacks or has only in part.
type Degraded struct {
	Layer string // "landlock", "cgroup", "time namespace", ...
	State string // "absent", "approximate", "partial"
	Why   string
}

// Attestation is what the kernel said of the process at the barrier. Every
// field was compared with the plan before the record is made.
type Attestation struct {
	CallID         string
	PID            int // of the tool to be, in the runner's pid namespace
	UID, GID       int
	Groups         string    // supplementary, as the kernel prints them
	Caps           [5]uint64 // inheritable, permitted, effective, bounding, ambient
	NoNewPrivs     int
	Seccomp        int
	SeccompFilters int
	Threads        int
	Namespaces     map[string]uint64 // inode numbers, all unlike the runner's
	NamespacesBy   string            // "kernel" if read from outside, else "stage"
	Files          []FileFact        // its descriptors; empty where the kernel does not show them
	FilesBy        string            // as NamespacesBy
	Mounts         []MountFact       // as found, in order
	MountDigest    [32]byte          // of the raw mountinfo
	Init           InitFact
	Prepared       bool // the cell was built before its call was known
	Degraded       []Degraded
	Digest         [32]byte // of all of the above
}

// MountFact is one mount found in a cell.
type MountFact struct {
	Point, Type string
	Options     string // per-mount options: "ro,nosuid,nodev"
}

// FileFact is one descriptor of a cell's process.
type FileFact struct {
	FD       int
	Dev, Ino uint64 // of what it is
}

// InitFact is what the kernel said of process 1 of the cell.
type InitFact struct {
	PID        int
	Caps       uint64 // effective
	NoNewPrivs int
	Seccomp    int
}

// ResultRecord is how a call ended.
type ResultRecord struct {
	CallID  string
	Started bool // whether the tool was executed
	Result  Result
	Err     string // why it did not start; "" if it did
}

// Discard is a Recorder that keeps nothing, for commands that have no ledger,
// such as the doctor's own probes. A runtime that acts for a model never uses it.
var Discard Recorder = discard{}

type discard struct{}

func (discard) Planned(context.Context, PlanRecord) error    { return nil }
func (discard) Attested(context.Context, Attestation) error  { return nil }
func (discard) Deciding(context.Context, CommitRecord) error { return nil }
func (discard) Finished(context.Context, ResultRecord) error { return nil }

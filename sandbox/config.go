package sandbox

// Identity is the host user a cell runs as when the runner itself is root. The
// zero value means: the owner of the workspace, or 65534 when that is root.
type Identity struct{ UID, GID int }

// Config is the upper bound for every Spec of a Runner. The zero Config is
// usable: system programs are visible, nothing else is.
type Config struct {
	ToolTrees []Mount  // shown in each cell besides the system's
	EnvAllow  []string // names a Spec may set
	RunAs     Identity // only for a runner that is root
	MaxLimits Limits   // zero fields: four times DefaultLimits
	// RequireCgroup refuses to run where memory can only be bounded
	// approximately, by data size and sampling. Without it control groups of
	// version 1 are not used either, since entering one takes tens of
	// milliseconds.
	RequireCgroup bool
	// StateDir is where the journals of changed workspaces lie, and what they
	// held before. It must belong to this user alone and lie in no workspace.
	// Empty means holdfast/sandbox below XDG_STATE_HOME or ~/.local/state, or,
	// where this user cannot write there or others could change what these names
	// mean, a directory of this user's below /var/tmp.
	StateDir string
	// UndoBytes bounds what is kept for undoing, in bytes; 0 means 1 GiB. The
	// oldest commits are forgotten for the next. A call that replaces or removes
	// more than that by itself is not committed.
	UndoBytes int64
	// Protect names more paths of a workspace whose changes wait for a person,
	// and Release names some that need not, as patterns: without a slash an
	// entry anywhere, with one a path from the workspace.
	Protect, Release []string
	// AllowDirectWrite lets a call that may write change the workspace itself
	// where no layer can take its changes: then nothing can be undone, and half
	// of a call's changes can be left. Without it such a call is refused.
	AllowDirectWrite bool
	// AllowReduced allows cells under [Reduced], where a machine has no others. A runner that
	// is root has none of them, and they need Landlock in version 6.
	AllowReduced bool
	// Hosts are the hosts that calls may be given, or that a call may be given one of;
	// none means that no call has a network.
	Hosts []HostRule
	// Pool is how many cells at most are built before their call is known, like
	// those that calls used before: such a call starts in a third of the time.
	// Each is used once. Zero keeps none.
	Pool int
	// PoolAlways builds every cell in the way of those, on the spot where none is
	// ready, which takes longer. It serves to try what such cells withstand.
	PoolAlways bool
}

// maxLimits returns the bounds with all fields filled.
func (c Config) maxLimits() Limits {
	d := DefaultLimits()
	d.Time *= 4
	d.Memory *= 4
	d.Processes *= 4
	d.Files *= 4
	d.FileSize *= 4
	d.Scratch *= 4
	d.Output *= 4
	d.Workspace *= 4
	return c.MaxLimits.orElse(d)
}

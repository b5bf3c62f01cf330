package sandbox

// Facts is all that Compile may know besides the Spec: the machine, the bounds
// of the configuration, and the sources that were approved for this call.
type Facts struct {
	Kernel string // release
	Arch   string // GOARCH
	UID    int    // real user of the runner
	GID    int
	Config Config

	// Root lists the system entries of the cell's root directory.
	Root []RootEntry
	// Filters is the number of seccomp filters the runner itself is under.
	Filters int
	// PIDMax says whether pid_max is a setting of each pid namespace.
	PIDMax bool
	// Landlock says whether the kernel bounds by path what may be written, and
	// LandlockABI what else it knows.
	Landlock    bool
	LandlockABI int
	// NoProc says that a cell can have no proc of its own: only Reduced is left then.
	NoProc bool
	// Overlay says whether a workspace can be shown through a layer of the cell's
	// own, which takes its changes.
	Overlay bool
	// TimeNS says whether a cell gets clocks of its own, and Boot how many
	// seconds they hide.
	TimeNS bool
	Boot   int64
	// Notify says whether denied system calls can be recorded.
	Notify bool
	// Memory says how memory is bounded: "cgroup2", "cgroup1", or "approximate",
	// and NoGroups why it is the last.
	Memory   string
	NoGroups string
	// Doors is how many control groups a cell enters.
	Doors int

	// Sources holds every mount source and workspace of this call by its path.
	Sources map[string]Source
	// Unscanned says that a workspace to be written could not be looked through
	// in whole for set-user-id files of others.
	Unscanned bool
	// Identity is the host user the cell runs as.
	Identity Identity
}

// RootEntry is one system path shown in a cell: a symbolic link, a file, or a
// directory tree.
type RootEntry struct {
	Path string // "/bin"
	Link string // target of the link; "" for a file or tree
	Dir  bool
}

// Source is an approved host path, by identity.
type Source struct {
	Dev, Ino uint64
	UID, GID int
	Dir      bool
	// Below says that something is mounted below the directory, which then no
	// layer can cover.
	Below bool
	// FD says that the runner passes the source as a detached mount, which it
	// made itself, instead of letting the cell open the path.
	FD bool
	// Shifted says that root's files appear as the cell's identity.
	Shifted bool
}

package sandbox

// Profile is how much a cell may be given. The zero value is the tightest.
type Profile uint8

const (
	// Strict is for calls whose context holds untrusted data: the workspace is
	// read-only unless [Spec.Grants] says otherwise.
	Strict Profile = iota
	// Standard is for clean calls: the workspace may be writable.
	Standard
	// Reduced is Strict without what a machine cannot give: where every cell of it lacks a
	// proc, only this profile is left. A person must have allowed it ([Config].AllowReduced),
	// and it is never chosen in place of another.
	Reduced
)

// String returns the name used in records and configuration.
func (p Profile) String() string {
	switch p {
	case Strict:
		return "strict"
	case Standard:
		return "standard"
	case Reduced:
		return "reduced"
	}
	return "unknown"
}

// granted reports whether the profile gives a call nothing that its own decision did not.
func (p Profile) granted() bool { return p != Standard }

// Mount shows one directory or file of the host inside the cell, always
// read-only, without setuid programs and devices.
type Mount struct {
	Source string // absolute host path, free of symbolic links
	Target string // absolute path in the cell; "" means the same as Source
	Exec   bool   // whether programs in it may be executed
}

// Workspace is the directory a call works on, shown at [WorkDir].
type Workspace struct {
	Dir   string // absolute host path, free of symbolic links
	Write bool   // false shows it read-only
	Drop  bool   // with Write: what the call changes is dropped when it is over
}

// Grants widens Strict for one call, by decision. The zero value grants nothing.
type Grants struct {
	Decision string // identity of the committed decision; required with the others
	Write    bool   // the workspace may be writable under Strict
	Hosts    bool   // the hosts of Spec.Network may be reached under Strict
	Secrets  bool   // Spec.Secrets may be given under Strict
}

// Size is that of a terminal, in characters. Both are 1 at least.
type Size struct{ Rows, Cols uint16 }

// Secret is a file in [SecretDir] that the tool alone can read. Its name is in the
// records, its value in none, nor how long it is.
type Secret struct {
	Name  string // small letters, digits and . _ -, at most 64
	Value []byte // at most 64 KiB
}

// Paths inside every cell.
const (
	WorkDir   = "/work"        // the workspace
	HomeDir   = "/home/agent"  // HOME, an empty tmpfs
	TempDir   = "/tmp"         // TMPDIR, an empty tmpfs
	SecretDir = "/run/secrets" // a file for each secret, where there are any
)

// Spec describes one call. The zero Spec runs nothing and allows nothing.
type Spec struct {
	CallID  string // identity of the call in the records; required
	Profile Profile

	// Argv is the command; Argv[0] is an absolute path in the cell, except
	// with Helper, where it is a free name.
	Argv []string
	// Dir is the working directory: WorkDir, TempDir or HomeDir, or a path
	// below one of them. Empty means WorkDir with a Workspace, else TempDir.
	Dir string
	// Env adds variables named in Config.EnvAllow to the fixed environment.
	Env map[string]string
	// Stdin is given to the tool, followed by end of file.
	Stdin []byte

	Mounts    []Mount    // shown besides Config.ToolTrees
	Workspace *Workspace // nil: WorkDir does not exist
	Grants    Grants

	// Helper, if set, is executed in place of a file at Argv[0]. It is passed
	// as a sealed memory file that the tool can neither see nor change.
	Helper *Image

	Network NetPolicy // the zero value is no network
	Secrets []Secret  // files in SecretDir
	// PTY gives the tool a terminal of the cell's own, of this size, as its input and its
	// outputs; only for [Runner.Start].
	PTY    *Size
	Limits Limits // zero fields take the defaults

	// probe makes the cell of the runner's own proof, which tries a layer over
	// nothing.
	probe bool
}

package stage

// Layout of an encoded plan; the same numbers stand in stage.h.
const (
	Magic      = 0x314c4c4543465448
	Version    = 1
	HeaderSize = 64
	OpSize     = 64
	MaxOps     = 512
	MaxBlob    = 8 << 20
	MaxFDs     = 32
	MaxArgs    = 4096
	MaxSecret  = 64 << 10
)

// HeaderNoProc says in a header that the plan makes no proc.
const HeaderNoProc = 1

// Code names one operation of a plan.
type Code uint32

// Operations that this stage carries out.
const (
	Unshare  Code = 1
	Map      Code = 2
	TimeNS   Code = 3
	PIDMax   Code = 4
	Tree     Code = 5
	Root     Code = 7
	Tmpfs    Code = 8
	Mkdir    Code = 9
	Symlink  Code = 10
	File     Code = 11
	Overlay  Code = 12
	Proc     Code = 13
	Hostname Code = 16
	Lo       Code = 17
	Route    Code = 18
	Listen   Code = 19
	Pivot    Code = 20
	Barrier  Code = 22
	Keyring  Code = 23
	Rlimit   Code = 24
	Caps     Code = 25
	NNP      Code = 26
	Landlock Code = 27
	Close    Code = 28
	Seccomp  Code = 29
	Report   Code = 30
	Exec     Code = 31
	SetID    Code = 32
	Umask    Code = 33
	Chdir    Code = 34
	Bounds   Code = 35
	Nice     Code = 36
	Join     Code = 37
	Secret   Code = 38
	PTY      Code = 39
	TTY      Code = 40
)

var names = map[Code]string{
	Unshare: "UNSHARE", Map: "MAP", PIDMax: "PIDMAX", Tree: "TREE", Root: "ROOT", Tmpfs: "TMPFS",
	Mkdir: "MKDIR", Symlink: "SYMLINK", File: "FILE", Proc: "PROC", Hostname: "HOSTNAME",
	Pivot: "PIVOT", Keyring: "KEYRING", Rlimit: "RLIMIT", Caps: "CAPS", NNP: "NNP", Close: "CLOSE",
	Seccomp: "SECCOMP", Report: "REPORT", Exec: "EXEC", SetID: "SETID", Umask: "UMASK", Chdir: "CHDIR",
	Bounds: "BOUNDS", Landlock: "LANDLOCK", Nice: "NICE",
	TimeNS: "TIMENS", Overlay: "OVERLAY", Join: "JOIN", Barrier: "BARRIER",
	Lo: "LO", Route: "ROUTE", Listen: "LISTEN", Secret: "SECRET",
	PTY: "PTY", TTY: "TTY",
}

// String returns the name used in errors, "stage" for no operation.
func (c Code) String() string {
	if s, ok := names[c]; ok {
		return s
	}
	return "stage"
}

// Codes returns every operation, for tests.
func Codes() map[Code]string { return names }

// Flags of an operation.
const (
	FlagFD     = 1 << 8
	FlagUpper  = 1 << 9
	FlagNotify = 1 << 10
	FlagFail   = 1 << 31
)

// Descriptors the stage is started with.
const (
	FDControl = 3
	FDBarrier = 4
	FDPlan    = 5
	FDExtra   = 6
)

// Kinds of message.
const (
	MsgFail     = 1
	MsgReady    = 2
	MsgReport   = 3
	MsgNoExec   = 4
	MsgExit     = 5
	MsgLayer    = 6
	MsgSocket   = 7
	MsgListener = 8
	MsgPTY      = 9
	MsgSize     = 80
)

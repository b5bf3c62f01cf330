// Package sandbox runs one command in one cell: fresh namespaces, a root made
// of nothing but what the call needs, no capabilities, a system-call
// allow-list, limits and a deadline. The cell is described by data first (a
// [Plan], recorded by digest), built by a small C stage that carries the plan
// out, inspected from outside, and only then may the tool start.
//
// # What it promises
//
//   - No process starts outside a cell, and there is no switch that skips one.
//
//   - Any layer that cannot be built refuses the call; nothing is retried with
//     less protection. Where a cell can have no proc, [Reduced] is left, if the
//     configuration allows it; every record says so. Which optional layers this machine lacks, [New] finds out
//     once, and every record says it.
//
//   - The [Recorder] is asked before the stage learns the plan and again before
//     the tool may execute. An error from it prevents the effect.
//
//   - No process, mount or file descriptor of a cell outlives its [Runner.Run],
//     or the end of the [Running] that [Runner.Start] returned. Cells that wait
//     for a call ([Config].Pool) hold nothing of any call and end with the Runner.
//
//   - A call reaches the hosts that it was given ([Spec].Network), through a gate
//     in this process, and nothing else; without any there is no socket at all.
//
//   - A secret ([Secret]) is a file of the one cell that it was given to. Its value is
//     in no plan and no record, and never in a cell that waits for a call.
//
//   - What a call changes in its workspace is committed as a whole or not at
//     all, also if this process is killed on the way: the next [New] settles it.
//
// # What it does not promise
//
// The kernel is shared. Without a control group, memory is bounded by sampling,
// which a cell can outrun for an instant, and kernel memory but for sockets is
// not counted. Where no layer can cover a workspace ([Config].AllowDirectWrite),
// what a granted call writes is neither undone nor bounded. The cell of a
// runner that is not root keeps that user's supplementary groups, which the
// attestation records: they cannot be dropped in a user namespace.
// docs/decisions/0006 has the whole list.
//
// It never reads configuration from a workspace, never interprets a command
// line, and never takes policy from a [Spec] text field: argv, stdin and the
// values of the environment are opaque bytes.
//
// # How one run goes
//
// [Compile] turns a [Spec] and the [Facts] of this machine into a [Plan]. The
// runner seals it in a memory file and starts /proc/self/exe again under the
// name "holdfast-cell"; a constructor in internal/stage acts before the Go
// runtime exists, builds the cell and stops at a barrier. The runner compares
// what the kernel says of that process with what was planned, and opens the
// barrier. Process 1 of the cell reports the exit status over a socket that
// the tool has never held. While it runs, the runner answers for each denied
// system call and counts it. At the end it reads the layer that took the
// changes, holds back what a person should see first, and commits the rest.
//
// A Runner is safe for concurrent use. Linux only, on amd64, and on arm64 from
// the same code; other systems refuse.
package sandbox

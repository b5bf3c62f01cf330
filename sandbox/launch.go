//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
)

// launcher is the program that becomes a cell: the stage alone, as a sealed
// memory file, or this whole program, in which the same code is a constructor.
// The zero launcher is the whole program.
type launcher struct{ file *os.File }

// newLauncher makes the small launcher.
func newLauncher() (launcher, error) {
	fd, err := sealedMemfd("holdfast-cell", stage.Launcher(), true)
	if err != nil {
		return launcher{}, err
	}
	return launcher{os.NewFile(uintptr(fd), "holdfast-cell")}, nil
}

// small reports whether this is the stage alone.
func (l launcher) small() bool { return l.file != nil }

func (l *launcher) close() {
	if l.small() {
		l.file.Close()
		l.file = nil
	}
}

// start starts the stage by plain vfork and exec: namespace flags here would
// copy the runner's page tables, which may describe a model. The launcher is
// given along as the last descriptor, which the stage closes first: while the
// child puts its descriptors in order any other number may come to mean another
// file. The stage leads a process group, by which everything it starts is found.
func (l launcher) start(args []string, given []*os.File) (*os.Process, error) {
	program := "/proc/self/exe"
	if l.small() {
		program = fmt.Sprintf("/proc/self/fd/%d", len(given))
		given = append(slices.Clip(given), l.file)
	}
	return os.StartProcess(program, append([]string{stage.Name}, args...),
		&os.ProcAttr{Dir: "/", Env: []string{}, Files: given, Sys: &syscall.SysProcAttr{Setpgid: true}})
}

//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"

	"github.com/holdfast-run/holdfast/sandbox/internal/stage"
	"golang.org/x/sys/unix"
)

// launcher is the program that becomes a cell: the stage alone, as a sealed
// memory file, or this whole program, in which the same code is a constructor.
type launcher struct {
	fd int // -1 for the whole program
}

// lowestFD is above every descriptor a stage is given, so that the number is
// still the launcher's when the child executes it.
const lowestFD = 100

// newLauncher makes the small launcher.
func newLauncher() (launcher, error) {
	fd, err := sealedMemfd("holdfast-cell", stage.Launcher(), true)
	if err != nil {
		return launcher{-1}, err
	}
	defer unix.Close(fd)
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, lowestFD)
	if err != nil {
		return launcher{-1}, err
	}
	return launcher{high}, nil
}

func (l launcher) path() string {
	if l.fd < 0 {
		return "/proc/self/exe"
	}
	return fmt.Sprintf("/proc/self/fd/%d", l.fd)
}

func (l *launcher) close() {
	if l.fd >= 0 {
		unix.Close(l.fd)
		l.fd = -1
	}
}

// start starts the stage by plain vfork and exec: namespace flags here would
// copy the runner's page tables, which may describe a model.
func (l launcher) start(args []string, given []*os.File) (*os.Process, error) {
	return os.StartProcess(l.path(), append([]string{stage.Name}, args...),
		&os.ProcAttr{Dir: "/", Env: []string{}, Files: given})
}

package sandbox

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// seals make a memory file immutable for everyone, for ever. The stage refuses
// a plan that lacks one of them.
const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// sealedMemfd returns a read-only, close-on-exec descriptor of a sealed memory
// file holding b.
func sealedMemfd(name string, b []byte, exec bool) (int, error) {
	fd, err := createMemfd(name, exec)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	for off := 0; off < len(b); {
		n, err := unix.Write(fd, b[off:])
		if err != nil {
			return -1, err
		}
		off += n
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return -1, err
	}
	return unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_RDONLY|unix.O_CLOEXEC, 0)
}

// createMemfd states whether the file may be executed, where the kernel knows
// the question (Linux 6.3).
func createMemfd(name string, exec bool) (int, error) {
	const base = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	mode := unix.MFD_NOEXEC_SEAL
	if exec {
		mode = unix.MFD_EXEC
	}
	fd, err := unix.MemfdCreate(name, base|mode)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, base)
	}
	return fd, err
}

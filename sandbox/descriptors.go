//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// filesOf reads the descriptors of a process. The kernel shows them to a runner
// that may inspect it.
func filesOf(pid int) ([]FileFact, error) {
	dir, err := os.Open("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	list := make([]FileFact, 0, len(names))
	for _, n := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(int(dir.Fd()), n, &st, 0); err != nil {
			return nil, err
		}
		fd, err := strconv.Atoi(n)
		if err != nil {
			return nil, err
		}
		list = append(list, FileFact{fd, uint64(st.Dev), st.Ino})
	}
	return list, nil
}

// streams are what a tool is given as 0, 1 and 2.
type streams [3]FileFact

// note remembers what is passed as one of them.
func (s *streams) note(fd int, f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	s[fd] = FileFact{fd, uint64(st.Dev), st.Ino}
	return nil
}

// files must be the three streams that the tool was given, the barrier, and the
// program if it is executed by descriptor; the last two close when it is. Where
// the kernel does not show them, the stage's own word is taken, and marked as
// such: how many it kept.
func (a *Attestation) files(c *cell) error {
	kept := 4
	if c.spec.Helper != nil {
		kept = 5
	}
	a.FilesBy, a.Files = "kernel", c.open
	if c.open == nil {
		a.FilesBy = "stage"
		if n := c.report.data[7]; n != uint64(kept) {
			return &AttestError{"descriptors", strconv.Itoa(kept), strconv.FormatUint(n, 10)}
		}
		return nil
	}
	if len(c.open) != kept {
		return &AttestError{"descriptors", strconv.Itoa(kept), fmt.Sprint(c.open)}
	}
	for _, f := range c.open {
		if f.FD >= kept {
			return &AttestError{"descriptors", "none but the first " + strconv.Itoa(kept), fmt.Sprint(c.open)}
		}
		if f.FD < len(c.given) && f != c.given[f.FD] {
			return &AttestError{"descriptor " + strconv.Itoa(f.FD), fmt.Sprint(c.given[f.FD]), fmt.Sprint(f)}
		}
	}
	return nil
}

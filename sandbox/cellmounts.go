//go:build linux && (amd64 || arm64)

package sandbox

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cellMounts is that of a cell, as it was read, with the descriptor by which the
// kernel tells whether it changed since. The descriptor holds on to the mounts:
// the kernel takes them down when it is closed, not while process 1 ends.
type cellMounts struct {
	fd     int
	digest [32]byte
	mounts []MountFact
}

func readCellMounts(pid string) (*cellMounts, error) {
	fd, err := unix.Open("/proc/"+pid+"/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &AttestError{"mountinfo", "a readable table", err.Error()}
	}
	t := &cellMounts{fd: fd}
	raw, err := readAll(fd)
	if err != nil {
		err = &AttestError{"mountinfo", "a readable table", err.Error()}
	} else {
		t.digest = sha256.Sum256(raw)
		t.mounts, err = parseMounts(string(raw))
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// changed reports whether anything was mounted, unmounted or remounted since the
// table was read.
func (t *cellMounts) changed() bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLPRI}}, 0)
	return err != nil || n != 0
}

// close lets go of the table. A nil table holds nothing.
func (t *cellMounts) close() {
	if t != nil && t.fd >= 0 {
		unix.Close(t.fd)
		t.fd = -1
	}
}

// parseMounts reads the fields of mountinfo that matter here.
func parseMounts(s string) ([]MountFact, error) {
	var list []MountFact
	for line := range strings.Lines(s) {
		// the kernel escapes a space in a name, but no other white space
		head, tail, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		f, g := strings.Split(head, " "), strings.Split(tail, " ")
		if !ok || len(f) < 6 || g[0] == "" {
			return nil, &AttestError{"mountinfo", "well-formed lines", strconv.Quote(line)}
		}
		if len(f) > 6 {
			return nil, &AttestError{"mount " + unescape(f[4]), "private", strings.Join(f[6:], " ")}
		}
		list = append(list, MountFact{Point: unescape(f[4]), Type: g[0], Options: f[5]})
	}
	return list, nil
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

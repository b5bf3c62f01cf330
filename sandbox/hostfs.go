//go:build linux && (amd64 || arm64)

package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// storage are the file systems without a device of their own that hold files.
// Every other one without a device is a face of the kernel: proc, sysfs,
// devtmpfs, cgroups, tracefs and whatever comes next. Writing there, and often
// reading, acts on the host, whichever namespaces the writer is in.
var storage = map[string]bool{
	"tmpfs": true, "ramfs": true, "rootfs": true, "overlay": true, "aufs": true, "fuse": true, "9p": true,
	"virtiofs": true, "nfs": true, "nfs4": true, "cifs": true, "smb3": true, "ceph": true, "afs": true,
	"zfs": true, "btrfs": true, "bcachefs": true, "ubifs": true, "jffs2": true, "ecryptfs": true,
	"vboxsf": true, "vmhgfs": true, "drvfs": true, "lustre": true, "gpfs": true, "beegfs": true,
	"glusterfs": true, "orangefs": true, "shiftfs": true, "hostfs": true, "prl_fs": true,
	"fakeowner": true, "erofs": true, "coda": true, "pvfs2": true,
}

// disks are the file systems that this kernel keeps on a device, by name.
type disks map[string]bool

// readDisks asks the kernel.
func readDisks() (disks, error) {
	b, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return nil, err
	}
	m := disks{}
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "\t"); ok {
			m[strings.TrimSuffix(name, "\n")] = true
		}
	}
	return m, nil
}

// holdsFiles reports whether a cell may be shown a file system of this type.
// What is not known to hold files does not.
func (d disks) holdsFiles(fstype string) bool {
	base, _, _ := strings.Cut(fstype, ".") // "fuse.sshfs"
	return d[base] || storage[base] || base == "fuseblk"
}

// hostMount is one mount of the runner's own namespace.
type hostMount struct {
	id            uint64
	fs, root      string // which file system, and which folder of it
	point, fstype string
}

// hostMounts reads the runner's mount table.
func hostMounts() ([]hostMount, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseHostMounts(string(b))
}

func parseHostMounts(s string) ([]hostMount, error) {
	var list []hostMount
	for line := range strings.Lines(s) {
		head, tail, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		f, g := strings.Split(head, " "), strings.Split(tail, " ")
		if !ok || len(f) < 6 {
			return nil, fmt.Errorf("malformed mount table: %q", line)
		}
		id, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("malformed mount table: %q", line)
		}
		list = append(list, hostMount{id, f[2], unescape(f[3]), unescape(f[4]), g[0]})
	}
	return list, nil
}

// onFiles refuses a source that is, or has mounted below it, something that
// does not hold files. The source is open at fd and stands at p.
func (t *mountTable) onFiles(fd int, p string) error {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return err
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return fmt.Errorf("the kernel does not say on which mount it is")
	}
	found := false
	for _, m := range t.mounts {
		own := m.id == st.Mnt_id
		found = found || own
		if (own || within(m.point, p)) && !t.disks.holdsFiles(m.fstype) {
			return fmt.Errorf("%s is a file system of the kernel (%s)", m.point, m.fstype)
		}
	}
	if !found {
		return fmt.Errorf("its mount is not in the mount table")
	}
	return nil
}

// below reports whether something is mounted below p.
func (t *mountTable) below(p string) bool {
	return slices.ContainsFunc(t.mounts, func(m hostMount) bool { return m.point != p && within(m.point, p) })
}

// mountTable is what the approval of one call knows of the host's mounts.
type mountTable struct {
	disks  disks
	mounts []hostMount
}

func readMountTable() (*mountTable, error) {
	d, err := readDisks()
	if err != nil {
		return nil, err
	}
	m, err := hostMounts()
	if err != nil {
		return nil, err
	}
	return &mountTable{d, m}, nil
}

package overlay

import (
	"strings"

	"golang.org/x/sys/unix"
)

// item is a change with what is needed to carry it out and to take it back.
type item struct {
	Change
	// Of what stands at the path before: inode, mode, owner; 0 if nothing.
	PreIno  uint64 `json:"pre_ino,omitempty"`
	PreMode uint32 `json:"pre_mode,omitempty"`
	PreUID  uint32 `json:"pre_uid,omitempty"`
	PreGID  uint32 `json:"pre_gid,omitempty"`
	PreType Type   `json:"pre_type,omitempty"`
	PreLink string `json:"pre_link,omitempty"`
	PreSize int64  `json:"pre_size,omitempty"`
	// Staged is the inode that will stand at the path.
	Staged uint64 `json:"staged,omitempty"`
	// Kept says that the content before was kept for an undo.
	Kept bool `json:"kept,omitempty"`

	preChanged unix.Timespec
	modified   unix.Timespec
}

// before notes what stands at the path of a change.
func (it *item) before(st *unix.Stat_t) {
	it.PreIno, it.PreMode, it.PreUID, it.PreGID = st.Ino, st.Mode, st.Uid, st.Gid
	it.PreType, it.preChanged = typeOf(st.Mode), st.Ctim
	if it.PreType == File {
		it.PreSize = st.Size
	}
}

// soften takes away write access of others that was not there before. Bits
// beyond the nine of access are never taken over.
func (it *item) soften(low *unix.Stat_t) {
	had := uint32(0)
	if low != nil {
		had = low.Mode
	}
	if it.Type != Link {
		it.Mode &^= 0o022 &^ had
	}
	if it.Type == Dir {
		it.Mode |= 0o700 // a directory that its owner cannot enter cannot be filled or taken back
	}
}

// rank puts removals first, directories before what lies in them, modes last.
func rank(it item) int {
	switch {
	case it.Op == Remove:
		return 0
	case it.Op == Create && it.Type == Dir:
		return 1
	case it.Op == Create:
		return 2
	case it.Op == Replace:
		return 3
	}
	return 4
}

func order(a, b item) int {
	if r := rank(a) - rank(b); r != 0 {
		return r
	}
	deep := strings.Count(a.Path, "/") - strings.Count(b.Path, "/")
	if a.Op == Remove || a.Op == Chmod {
		deep = -deep
	}
	if deep != 0 {
		return deep
	}
	return strings.Compare(a.Path, b.Path)
}

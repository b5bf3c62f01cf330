package overlay

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// dirent is one entry of a directory, with its type as the directory has it.
type dirent struct {
	name string
	kind uint8 // unix.DT_REG and so on, never DT_UNKNOWN
}

// readDirectory lists an open directory with types, which costs no look at each
// entry. It stops beyond most entries.
func readDirectory(dir, most int) ([]dirent, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 32<<10)
	var list []dirent
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, fmt.Errorf("read directory: %w", err)
		}
		if n <= 0 {
			return list, nil
		}
		if list, err = parseDirents(list, buf[:n], fd); err != nil {
			return nil, err
		}
		if len(list) > most {
			return list, nil
		}
	}
}

// parseDirents reads struct linux_dirent64: inode, offset, length of the record,
// type, name.
func parseDirents(list []dirent, b []byte, dir int) ([]dirent, error) {
	const fixed = 19
	for len(b) >= fixed {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size < fixed || size > len(b) {
			return nil, fmt.Errorf("read directory: malformed entry")
		}
		name, kind := b[fixed:size], b[18]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		b = b[size:]
		e := dirent{string(name), kind}
		if e.name == "." || e.name == ".." {
			continue
		}
		if kind == unix.DT_UNKNOWN {
			st, err := lstat(dir, e.name)
			if err != nil {
				return nil, err
			}
			if st == nil {
				continue
			}
			e.kind = uint8(st.Mode & unix.S_IFMT >> 12)
		}
		list = append(list, e)
	}
	return list, nil
}

//go:build linux && (amd64 || arm64)

package sandbox

// expect notes a planned mount for the attestation.
func (b *builder) expect(point, fstype string, attr uint64, recursive bool) {
	w := wantMount{point: point, fstype: fstype, recursive: recursive, writable: attr&attrRO == 0}
	for _, o := range []struct {
		bit  uint64
		name string
	}{{attrRO, "ro"}, {attrNoSUID, "nosuid"}, {attrNoDev, "nodev"}, {attrNoExec, "noexec"}} {
		if attr&o.bit != 0 {
			w.options = append(w.options, o.name)
		}
	}
	b.want.mounts = append(b.want.mounts, w)
}

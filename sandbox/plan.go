//go:build linux && (amd64 || arm64)

package sandbox

import (
	"crypto/sha256"
	"strings"
)

// Plan is what one cell will be: an encoded list of operations for the stage.
// Equal inputs give equal plans. A Plan is immutable.
type Plan struct {
	bytes  []byte
	digest [32]byte
	passed []passed
	want   expectation
	limits Limits
	layer  bool     // the runner is sent the directory that takes the changes
	ports  []uint16 // what listens in the cell, and the runner is sent
	pty    bool     // the runner is sent a terminal
}

// Bytes returns the encoded plan, for records. The caller must not change it.
func (p Plan) Bytes() []byte { return p.bytes }

// Digest returns the SHA-256 of the encoded plan.
func (p Plan) Digest() [32]byte { return p.digest }

// holding returns p with another encoding.
func (p Plan) holding(bytes []byte) Plan {
	p.bytes, p.digest = bytes, sha256.Sum256(bytes)
	return p
}

// expectation is what the attestation of the cell must show.
type expectation struct {
	mounts []wantMount
	uid    int
	gid    int
}

// wantMount is one planned mount.
type wantMount struct {
	point     string
	fstype    string // "" for any
	options   []string
	recursive bool // mounts below point must have the same options
	writable  bool
}

// passed is a descriptor the stage is given besides its own: a way into a
// control group, a detached mount of a source, a secret, or the helper image.
type passed struct {
	source string // "" for the helper
	secret int    // 1 and up for those of the call
	attr   uint64
	door   int // 1 and up for the files through which control groups are entered
}

// text returns the text argument of operation i, for messages.
func (p Plan) text(i int) string {
	ops, err := decodeOps(p.bytes)
	if err != nil || i < 0 || i >= len(ops) || strings.ContainsRune(ops[i].text, 0) {
		return ""
	}
	return ops[i].text
}

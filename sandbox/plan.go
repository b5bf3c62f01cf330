package sandbox

import "crypto/sha256"

// Plan is what one cell will be: an encoded list of operations for the stage.
// Equal inputs give equal plans. A Plan is immutable.
type Plan struct {
	bytes []byte
	nfds  int
	want  expectation
}

// Bytes returns the encoded plan, for records. The caller must not change it.
func (p Plan) Bytes() []byte { return p.bytes }

// Digest returns the SHA-256 of the encoded plan.
func (p Plan) Digest() [32]byte { return sha256.Sum256(p.bytes) }

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

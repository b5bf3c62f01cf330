//go:build linux && (amd64 || arm64)

package sandbox

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Image is an executable that is not a file: it is passed to cells as a sealed
// memory file. Make one per program and keep it; it is safe for concurrent use
// and lives as long as the process.
type Image struct {
	digest [32]byte
	size   int
	fd     int
}

// NewImage copies b, which must be a statically linked program for this
// machine, into a sealed memory file.
func NewImage(b []byte) (*Image, error) {
	if len(b) < 4 || string(b[:4]) != "\x7fELF" {
		return nil, &Error{Op: "load image", Err: errors.New("not an ELF program")}
	}
	fd, err := sealedMemfd("holdfast-image", b, true)
	if err != nil {
		return nil, &Error{Op: "load image", Err: fmt.Errorf("seal memory file: %w", err)}
	}
	return &Image{digest: sha256.Sum256(b), size: len(b), fd: fd}, nil
}

// Digest returns the SHA-256 of the program.
func (i *Image) Digest() [32]byte { return i.digest }

// release gives the memory file back. The image must not be used after.
func (i *Image) release() { unix.Close(i.fd) }

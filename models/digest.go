package models

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest returns the SHA-256 of a file in hex, reading it once. progress, unless
// nil, is told after each piece how many bytes of how many are done. It stops with
// the context's error when ctx ends.
func Digest(ctx context.Context, file string, progress func(done, total int64)) (string, error) {
	f, size, err := open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := copyTo(ctx, h, f, size, progress); err != nil {
		return "", &Error{Op: "read model " + quotePath(file), Err: cause(err)}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Verify reports whether a file has the SHA-256 want, in hex, with or without
// "sha256:" before it. A want that is no such digest is an error too; all of them
// but those of the file system wrap ErrDigest.
func Verify(ctx context.Context, file, want string) error {
	op := "verify model " + quotePath(file)
	want = strings.ToLower(strings.TrimPrefix(want, "sha256:"))
	if b, err := hex.DecodeString(want); err != nil || len(b) != sha256.Size {
		return &Error{Op: op, Hint: "a digest is 64 hex digits", Err: fmt.Errorf("%w: %s is no SHA-256", ErrDigest, quote(want))}
	}
	got, err := Digest(ctx, file, nil)
	if err != nil {
		return err
	}
	if got != want {
		return &Error{Op: op, Hint: "get the file again from where the digest comes from", Err: fmt.Errorf("%w: want %s, got %s", ErrDigest, want, got)}
	}
	return nil
}

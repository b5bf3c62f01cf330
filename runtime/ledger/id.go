package ledger

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// newID makes a UUIDv7 (RFC 9562, 5.7): 48 bits of milliseconds, 74 random ones.
func newID(now time.Time) []byte {
	id := make([]byte, 16)
	rand.Read(id)
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id, ms[2:])
	id[6] = 0x70 | id[6]&0x0F
	id[8] = 0x80 | id[8]&0x3F
	return id
}

// prefixRange returns the least and the greatest identifier that begins with the hex
// digits of s. Dashes are ignored, as is case.
func prefixRange(s string) (lo, hi []byte, err error) {
	d := strings.ToLower(strings.ReplaceAll(s, "-", ""))
	if d == "" || len(d) > 32 {
		return nil, nil, fmt.Errorf("%w: %q is not a prefix of an identifier", ErrNotFound, s)
	}
	lo, err = hex.DecodeString(d + strings.Repeat("0", 32-len(d)))
	if err == nil {
		hi, err = hex.DecodeString(d + strings.Repeat("f", 32-len(d)))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %q is not hexadecimal", ErrNotFound, s)
	}
	return lo, hi, nil
}

// exactID parses a whole identifier.
func exactID(s string) ([]byte, error) {
	lo, hi, err := prefixRange(s)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(lo, hi) {
		return nil, fmt.Errorf("%w: %q is not a whole identifier", ErrNotFound, s)
	}
	return lo, nil
}

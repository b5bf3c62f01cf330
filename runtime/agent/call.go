package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// ToolCall is one call of a tool. Args holds the exact argument bytes as the
// tool will get them.
type ToolCall struct {
	ID   string // 128 random bits in hex, given by the runtime
	Tool string
	Args string // a JSON object, UTF-8, no repeated member
}

// Digest identifies the call: H("holdfast/call/1", id, tool, args).
func (c ToolCall) Digest() [32]byte {
	return Hash("holdfast/call/1", []byte(c.ID), []byte(c.Tool), []byte(c.Args))
}

// ErrArguments means a call's arguments are not one JSON object in UTF-8 whose
// members have different names. Judge and tool might read anything else
// differently, so it never becomes a Proposal.
var ErrArguments = errors.New("arguments are not one plain JSON object")

// CheckArgs reports whether Args may be put before a judge. Errors wrap
// ErrArguments.
func (c ToolCall) CheckArgs() error {
	if !utf8.ValidString(c.Args) {
		return fmt.Errorf("%w: not UTF-8", ErrArguments)
	}
	if len(c.Args) == 0 || c.Args[0] != '{' {
		return fmt.Errorf("%w: not an object", ErrArguments)
	}
	d := json.NewDecoder(bytes.NewReader([]byte(c.Args)))
	d.UseNumber()
	if err := checkValue(d, 0); err != nil {
		return fmt.Errorf("%w: %v", ErrArguments, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: text after the object", ErrArguments)
	}
	return nil
}

const maxArgDepth = 64

func checkValue(d *json.Decoder, depth int) error {
	if depth > maxArgDepth {
		return fmt.Errorf("nested deeper than %d", maxArgDepth)
	}
	t, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	names := map[string]bool{}
	for d.More() {
		if delim == '{' {
			k, err := d.Token()
			if err != nil {
				return err
			}
			name, _ := k.(string)
			if names[name] {
				return fmt.Errorf("member %q is repeated", name)
			}
			names[name] = true
		}
		if err := checkValue(d, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// Hash is the project's framed hash: SHA-256 over the tag and the fields, each as
// a 4-byte big-endian length and its bytes; a nil field is length 0xFFFFFFFF.
func Hash(tag string, fields ...[]byte) [32]byte {
	h := sha256.New()
	write := func(b []byte) {
		var n [4]byte
		if b == nil {
			binary.BigEndian.PutUint32(n[:], 0xFFFFFFFF)
		} else {
			binary.BigEndian.PutUint32(n[:], uint32(len(b)))
		}
		h.Write(n[:])
		h.Write(b)
	}
	write([]byte(tag))
	for _, f := range fields {
		write(f)
	}
	return [32]byte(h.Sum(nil))
}

// Package ggufgen writes small GGUF models with random weights, for tests and benchmarks: real architectures, a real
// byte-level vocabulary, control tokens and a chat template, and numbers that mean nothing. It never reads a model and
// needs no native code. A File is built by one goroutine.
package ggufgen

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// GGUF value types.
const (
	typeUint32  = 4
	typeInt32   = 5
	typeFloat32 = 6
	typeBool    = 7
	typeString  = 8
	typeArray   = 9
)

const alignment = 32

// File is a GGUF file under construction: metadata in the order of the calls, then tensors.
type File struct {
	meta    bytes.Buffer
	metas   uint64
	tensors []tensor
}

type tensor struct {
	name string
	dims []uint64 // fastest first
	kind Kind
	fill func(w io.Writer, k Kind, n uint64) error
}

func (f *File) key(k string, kind uint32) {
	f.metas++
	putString(&f.meta, k)
	put(&f.meta, kind)
}

// Set adds a metadata value: string, uint32, int32, float32, bool, or a slice of string, int32 or float32. Other types panic.
func (f *File) Set(key string, value any) {
	switch v := value.(type) {
	case string:
		f.key(key, typeString)
		putString(&f.meta, v)
	case uint32:
		f.key(key, typeUint32)
		put(&f.meta, v)
	case int32:
		f.key(key, typeInt32)
		put(&f.meta, v)
	case float32:
		f.key(key, typeFloat32)
		put(&f.meta, v)
	case bool:
		f.key(key, typeBool)
		put(&f.meta, v)
	case []string:
		f.key(key, typeArray)
		put(&f.meta, uint32(typeString))
		put(&f.meta, uint64(len(v)))
		for _, s := range v {
			putString(&f.meta, s)
		}
	case []float32:
		f.key(key, typeArray)
		put(&f.meta, uint32(typeFloat32))
		put(&f.meta, uint64(len(v)))
		put(&f.meta, v)
	case []int32:
		f.key(key, typeArray)
		put(&f.meta, uint32(typeInt32))
		put(&f.meta, uint64(len(v)))
		put(&f.meta, v)
	default:
		panic(fmt.Sprintf("internal error: metadata of type %T", value))
	}
}

// WriteTo writes the whole file.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	b := bufio.NewWriterSize(w, 1<<20)
	c := &counter{w: b}
	c.Write([]byte("GGUF"))
	put(c, uint32(3))
	put(c, uint64(len(f.tensors)))
	put(c, f.metas)
	c.Write(f.meta.Bytes())
	offset := uint64(0)
	for _, t := range f.tensors {
		putString(c, t.name)
		put(c, uint32(len(t.dims)))
		put(c, t.dims)
		put(c, uint32(t.kind))
		put(c, offset)
		offset += pad(t.kind.size(t.elements()))
	}
	c.Write(make([]byte, pad(uint64(c.n))-uint64(c.n)))
	for _, t := range f.tensors {
		if err := t.fill(c, t.kind, t.elements()); err != nil {
			return c.n, fmt.Errorf("write tensor %s: %w", t.name, err)
		}
		size := t.kind.size(t.elements())
		c.Write(make([]byte, pad(size)-size))
	}
	if c.err == nil {
		c.err = b.Flush()
	}
	return c.n, c.err
}

// WriteFile writes the model to path.
func (f *File) WriteFile(path string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := f.WriteTo(out); err != nil {
		out.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return out.Close()
}

// Bytes returns the model as one slice.
func (f *File) Bytes() []byte {
	var b bytes.Buffer
	if _, err := f.WriteTo(&b); err != nil { // a buffer does not fail
		panic("internal error: " + err.Error())
	}
	return b.Bytes()
}

func (t tensor) elements() uint64 {
	n := uint64(1)
	for _, d := range t.dims {
		n *= d
	}
	return n
}

func pad(n uint64) uint64 { return (n + alignment - 1) / alignment * alignment }

func put(w io.Writer, v any) {
	// The writers here keep their first error.
	_ = binary.Write(w, binary.LittleEndian, v)
}

func putString(w io.Writer, s string) {
	put(w, uint64(len(s)))
	_, _ = io.WriteString(w, s)
}

// counter counts bytes and keeps the first error.
type counter struct {
	w   io.Writer
	n   int64
	err error
}

func (c *counter) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	c.err = err
	return n, err
}

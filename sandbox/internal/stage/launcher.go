//go:build linux && (amd64 || arm64)

package stage

// #include "stage.h"
import "C"

import (
	"encoding/binary"
	"os"
	"unsafe"
)

// Launcher returns the stage as a program of its own: a static ELF file with
// nothing but the two sections the constructor consists of, at the addresses
// they have here. Starting it needs no dynamic linker and maps none of the
// rest of this program, which may be large.
func Launcher() []byte {
	text, data, entry := extent(0), extent(1), extent(2)
	page := uint64(os.Getpagesize())
	b := header(entry.at)
	segs := []segment{
		{text, 5}, // readable, executable
		{data, 6}, // readable, writable
	}
	off := page
	for i, s := range segs {
		start := s.at &^ (page - 1)
		size := s.at + s.len - start
		b = programHeader(b, s.flags, off, start, size, page)
		segs[i].at = off + s.at - start
		off += (size + page - 1) &^ (page - 1)
	}
	b = stackHeader(b)
	image := make([]byte, off)
	copy(image, b)
	copy(image[segs[0].at:], text.bytes())
	copy(image[segs[1].at:], data.bytes())
	return image
}

// span is a range of this program's memory.
type span struct {
	ptr     unsafe.Pointer
	at, len uint64
}

type segment struct {
	span
	flags uint32
}

func extent(which int) span {
	e := C.stage_extent(C.int(which))
	return span{e.at, uint64(uintptr(e.at)), uint64(e.len)}
}

func (s span) bytes() []byte { return unsafe.Slice((*byte)(s.ptr), s.len) }

// header is that of an ELF executable with three program headers.
func header(entry uint64) []byte {
	le := binary.LittleEndian
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 2) // executable at fixed addresses
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, entry)
	b = le.AppendUint64(b, 64)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, 3, 0, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	return b
}

func programHeader(b []byte, flags uint32, off, at, size, align uint64) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, 1) // PT_LOAD
	b = le.AppendUint32(b, flags)
	for _, v := range []uint64{off, at, at, size, size, align} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// stackHeader asks for a stack that cannot be executed.
func stackHeader(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, 0x6474e551) // PT_GNU_STACK
	b = le.AppendUint32(b, 6)
	for range 5 {
		b = le.AppendUint64(b, 0)
	}
	return le.AppendUint64(b, 16)
}

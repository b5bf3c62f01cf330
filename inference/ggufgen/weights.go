package ggufgen

import (
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
)

// Kind is the number format of a tensor, numbered as in ggml.
type Kind uint32

// The formats this package can write.
const (
	F32  Kind = 0
	Q4_0 Kind = 2
	Q8_0 Kind = 8
	Q4_K Kind = 12
)

// block is the number of weights of one block and its size in bytes.
func (k Kind) block() (weights, size uint64) {
	switch k {
	case Q4_0:
		return 32, 18
	case Q8_0:
		return 32, 34
	case Q4_K:
		return 256, 144
	}
	return 1, 4
}

func (k Kind) size(n uint64) uint64 {
	w, s := k.block()
	return n / w * s
}

func (f *File) random(rng *rand.Rand, name string, k Kind, deviation float32, dims ...uint64) {
	f.tensors = append(f.tensors, tensor{name, dims, k, func(w io.Writer, k Kind, n uint64) error {
		return randomWeights(w, rng, k, n, deviation)
	}})
}

func (f *File) constant(name string, v float32, dims ...uint64) {
	f.tensors = append(f.tensors, tensor{name, dims, F32, func(w io.Writer, _ Kind, n uint64) error {
		b := make([]byte, 4*n)
		for i := range n {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		}
		_, err := w.Write(b)
		return err
	}})
}

// randomWeights writes n weights of about the given standard deviation. Quantized formats get random blocks under a
// common scale; nothing is ever held in full precision, so large models are written at the speed of the disk.
func randomWeights(w io.Writer, rng *rand.Rand, k Kind, n uint64, deviation float32) error {
	per, size := k.block()
	const blocks = 1024
	buf := make([]byte, 0, blocks*size)
	for done := uint64(0); done < n; {
		buf = buf[:0]
		for i := 0; i < blocks && done < n; i++ {
			buf = appendBlock(buf, rng, k, deviation)
			done += per
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

func appendBlock(b []byte, rng *rand.Rand, k Kind, deviation float32) []byte {
	noise := func(n int) {
		for ; n >= 8; n -= 8 {
			b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
		}
	}
	switch k {
	case Q4_0: // (q-8)*d with q uniform in 0..15 has deviation 4.6 d
		b = binary.LittleEndian.AppendUint16(b, half(deviation/4.6))
		noise(16)
	case Q8_0: // q*d with q uniform in -128..127 has deviation 74 d
		b = binary.LittleEndian.AppendUint16(b, half(deviation/74))
		noise(32)
	case Q4_K: // all sub-blocks with scale 32 and minimum 32: q*32*d - 32*m with m = 7.5 d
		d := deviation / (4.6 * 32)
		b = binary.LittleEndian.AppendUint16(b, half(d))
		b = binary.LittleEndian.AppendUint16(b, half(7.5*d))
		for range 8 {
			b = append(b, 32) // sub-blocks 0-3: scale, minimum
		}
		for range 4 {
			b = append(b, 0) // low halves of scale and minimum of sub-blocks 4-7
		}
		for i := range 8 {
			b[len(b)-12+i] |= 2 << 6 // their high bits: 2<<4 = 32
		}
		noise(128)
	default:
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(rng.NormFloat64())*deviation))
	}
	return b
}

// half converts to IEEE binary16, flushing what is too small for a normal number to zero.
func half(f float32) uint16 {
	u := math.Float32bits(f)
	exp := int(u>>23&0xff) - 127 + 15
	if exp <= 0 {
		return uint16(u >> 16 & 0x8000)
	}
	if exp >= 31 {
		return uint16(u>>16&0x8000 | 0x7c00)
	}
	return uint16(u>>16&0x8000 | uint32(exp)<<10 | u>>13&0x3ff)
}

package models_test

import (
	"bytes"
	"encoding/binary"
	"math"
)

// file writes GGUF files for tests, right or wrong.
type file struct{ bytes.Buffer }

func (f *file) u32(v uint32) { binary.Write(f, binary.LittleEndian, v) }
func (f *file) u64(v uint64) { binary.Write(f, binary.LittleEndian, v) }
func (f *file) text(s string) {
	f.u64(uint64(len(s)))
	f.WriteString(s)
}

// start writes the magic, version and counts.
func (f *file) start(version uint32, tensors, keys uint64) {
	f.WriteString("GGUF")
	f.u32(version)
	f.u64(tensors)
	f.u64(keys)
}

func (f *file) keyText(key, v string) {
	f.text(key)
	f.u32(8)
	f.text(v)
}

func (f *file) keyU32(key string, v uint32) {
	f.text(key)
	f.u32(4)
	f.u32(v)
}

// keyArray writes the head of an array; the elements follow.
func (f *file) keyArray(key string, kind uint32, n uint64) {
	f.text(key)
	f.u32(9)
	f.u32(kind)
	f.u64(n)
}

func (f *file) tokens(list ...string) {
	f.keyArray("tokenizer.ggml.tokens", 8, uint64(len(list)))
	for _, t := range list {
		f.text(t)
	}
}

func (f *file) scores(n int) {
	f.keyArray("tokenizer.ggml.scores", 6, uint64(n))
	for range n {
		f.u32(math.Float32bits(-1.5))
	}
}

func (f *file) tensor(name string, kind uint32, offset uint64, shape ...uint64) {
	f.text(name)
	f.u32(uint32(len(shape)))
	for _, n := range shape {
		f.u64(n)
	}
	f.u32(kind)
	f.u64(offset)
}

// data pads to 32 bytes and writes n bytes.
func (f *file) data(n int) {
	f.Write(make([]byte, (32-f.Len()%32)%32+n))
}

// good returns a small sound file: a Q8_0 tensor of 64 x 2 values (136 bytes) and an F32
// tensor of 3.
func good() []byte {
	var f file
	f.start(3, 2, 8)
	f.keyText("general.architecture", "llama")
	f.keyText("general.name", "tiny")
	f.keyU32("general.file_type", 7)
	f.keyU32("llama.context_length", 1024)
	f.keyText("tokenizer.chat_template", "{{ messages }}")
	f.keyText("holdfast.frames", "abc")
	f.tokens("a", "", "b")
	f.scores(3)
	f.tensor("w", 8, 0, 64, 2)
	f.tensor("b", 0, 160, 3)
	f.data(172)
	return f.Bytes()
}

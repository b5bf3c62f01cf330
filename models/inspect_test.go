package models_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-run/holdfast/models"
)

func inspect(b []byte) (models.Info, error) {
	return models.Inspect(bytes.NewReader(b), int64(len(b)))
}

func TestInspectDescribesSoundFile(t *testing.T) {
	info, err := inspect(good())
	if err != nil {
		t.Fatal(err)
	}
	if info.Architecture != "llama" || info.Name != "tiny" || info.Quantisation != "Q8_0" || info.Version != 3 ||
		info.Context != 1024 || info.Parameters != 131 || info.Vocabulary != 3 || info.Tensors != 2 ||
		info.ChatTemplate != "{{ messages }}" || info.Size != int64(len(good())) {
		t.Errorf("described as %+v", info)
	}
	if info.Meta["tokenizer.ggml.scores"] != "[3 f32]" || info.Meta["llama.context_length"] != "1024" {
		t.Errorf("metadata %v", info.Meta)
	}
	if keys := info.Keys("holdfast."); len(keys) != 1 || keys[0] != "holdfast.frames" {
		t.Errorf("holdfast keys %v", keys)
	}
}

func TestInspectNamesMostCommonTypeWithoutFileType(t *testing.T) {
	var f file
	f.start(2, 2, 0)
	f.tensor("norm", 0, 0, 8)
	f.tensor("w", 12, 32, 256, 4)
	f.data(32 + 144*4)
	info, err := inspect(f.Bytes())
	if err != nil || info.Quantisation != "Q4_K" || info.Version != 2 {
		t.Errorf("described as %+v, %v", info, err)
	}
}

// hostile holds files that must be refused, with a part of the reason.
var hostile = []struct {
	name, reason string
	make         func(*file)
}{
	{"Empty", "does not begin with GGUF", func(f *file) {}},
	{"OtherMagic", "does not begin with GGUF", func(f *file) { f.WriteString("GGML\x03\x00\x00\x00") }},
	{"OnlyMagic", "truncated", func(f *file) { f.WriteString("GGUF") }},
	{"OldVersion", "version 1 is not", func(f *file) { f.start(1, 0, 0) }},
	{"NewVersion", "version 4 is not", func(f *file) { f.start(4, 0, 0) }},
	{"BigEndian", "big-endian", func(f *file) { f.start(0x03000000, 0, 0) }},
	{"ManyTensors", "tensors are more than", func(f *file) { f.start(3, 1<<60, 0) }},
	{"NegativeKeys", "keys are more than", func(f *file) { f.start(3, 0, 1<<63) }},
	{"MissingKeys", "truncated", func(f *file) { f.start(3, 0, 3); f.keyU32("a", 1) }},
	{"HugeKey", "truncated", func(f *file) { f.start(3, 0, 1); f.u64(1 << 62) }},
	{"LongKey", "longer than", func(f *file) { f.start(3, 0, 1); f.keyU32(strings.Repeat("k", 5000), 1) }},
	{"EmptyKey", "key 0 is empty", func(f *file) { f.start(3, 0, 1); f.keyU32("", 1) }},
	{"KeyTwice", "appears twice", func(f *file) { f.start(3, 0, 2); f.keyU32("a", 1); f.keyU32("a", 1) }},
	{"UnknownType", "unknown type 13", func(f *file) { f.start(3, 0, 1); f.text("a"); f.u32(13) }},
	{"NestedArray", "unknown type 9", func(f *file) { f.start(3, 0, 1); f.keyArray("a", 9, 1) }},
	{"EndlessArray", "truncated", func(f *file) { f.start(3, 0, 1); f.keyArray("a", 12, 1<<61+1) }},
	{"EndlessStrings", "truncated", func(f *file) { f.start(3, 0, 1); f.keyArray("a", 8, 1<<63) }},
	{"HugeString", "truncated", func(f *file) { f.start(3, 0, 1); f.text("a"); f.u32(8); f.u64(1<<64 - 1) }},
	{"OddAlignment", "not a power of two", func(f *file) { f.start(3, 0, 1); f.keyU32("general.alignment", 48) }},
	{"ZeroAlignment", "not a power of two", func(f *file) { f.start(3, 0, 1); f.keyU32("general.alignment", 0) }},
	{"TextAlignment", "not a power of two", func(f *file) { f.start(3, 0, 1); f.keyText("general.alignment", "32") }},
	{"TokenTwice", "repeats", func(f *file) { f.start(3, 0, 1); f.tokens("a", "b", "a") }},
	{"EmptyTokenTwice", "repeats", func(f *file) { f.start(3, 0, 1); f.tokens("", "[EMPTY_0]") }},
	{"FewScores", "[1 f32]", func(f *file) { f.start(3, 0, 2); f.tokens("a", "b"); f.scores(1) }},
	{"NoVocabulary", "no vocabulary", func(f *file) {
		f.start(3, 0, 2)
		f.keyText("tokenizer.ggml.model", "no_vocab")
		f.keyU32("llama.vocab_size", 1<<32-1)
	}},
	{"NumberTokens", "no array of strings", func(f *file) { f.start(3, 0, 1); f.keyU32("tokenizer.ggml.tokens", 1) }},
	{"ManyDimensions", "has 5 dimensions", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 0, 1, 1, 1, 1, 1) }},
	{"NoDimensions", "has 0 dimensions", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 0) }},
	{"LongName", "longer than 63", func(f *file) { f.start(3, 1, 0); f.tensor(strings.Repeat("n", 64), 0, 0, 1); f.data(4) }},
	{"RemovedType", "unknown type 4", func(f *file) { f.start(3, 1, 0); f.tensor("w", 4, 0, 32); f.data(64) }},
	{"BrokenBlock", "not a multiple of 32", func(f *file) { f.start(3, 1, 0); f.tensor("w", 8, 0, 33); f.data(64) }},
	{"EmptyTensor", "impossible shape", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 0, 4, 0); f.data(64) }},
	{"OverflowingShape", "impossible shape", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 0, 1<<32, 1<<32); f.data(64) }},
	{"OverflowingBytes", "impossible shape", func(f *file) { f.start(3, 1, 0); f.tensor("w", 28, 0, 1<<60, 4); f.data(64) }},
	{"NegativeShape", "impossible shape", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 0, 1<<64-1); f.data(64) }},
	{"TensorTwice", "appears twice", func(f *file) {
		f.start(3, 2, 0)
		f.tensor("w", 0, 0, 1)
		f.tensor("w", 0, 32, 1)
		f.data(64)
	}},
	{"Unaligned", "multiple of 32", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 4, 1); f.data(64) }},
	{"Gap", "gap before", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 32, 1); f.data(64) }},
	{"FarOffset", "gap before", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 1<<64-32, 1); f.data(64) }},
	{"Overlap", `"v" overlaps "w"`, func(f *file) {
		f.start(3, 2, 0)
		f.tensor("w", 0, 0, 16)
		f.tensor("v", 0, 32, 8)
		f.data(128)
	}},
	{"ShortData", "truncated", func(f *file) { f.start(3, 1, 0); f.tensor("w", 0, 0, 17); f.data(64) }},
	{"HugeTensor", "truncated", func(f *file) { f.start(3, 1, 0); f.tensor("w", 24, 0, 1<<61); f.data(64) }},
	{"HostileName", `"\x1b[2J\u202e"`, func(f *file) { f.start(3, 1, 0); f.tensor("\x1b[2J\u202e", 99, 0, 1) }},
}

func TestInspectRefuses(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			var f file
			c.make(&f)
			_, err := inspect(f.Bytes())
			if !errors.Is(err, models.ErrFormat) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("error %v, want one with %q", err, c.reason)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\n\x1b\u202e") {
				t.Errorf("error %q is not one plain line", err)
			}
		})
	}
}

func TestInspectRefusesEveryTruncation(t *testing.T) {
	b := good()
	for n := range b {
		if _, err := inspect(b[:n]); !errors.Is(err, models.ErrFormat) {
			t.Fatalf("the first %d of %d bytes give %v", n, len(b), err)
		}
	}
}

// faulty fails to read at and after one position.
type faulty struct {
	b  []byte
	at int64
}

var errDisk = errors.New("disk error")

func (f faulty) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.at {
		return 0, errDisk
	}
	return bytes.NewReader(f.b).ReadAt(p, off)
}

func TestInspectReportsReadErrors(t *testing.T) {
	b := good()
	if _, err := models.Inspect(faulty{b, 10}, int64(len(b))); !errors.Is(err, errDisk) || errors.Is(err, models.ErrFormat) {
		t.Errorf("error %v", err)
	}
	if _, err := models.Inspect(bytes.NewReader(b[:40]), int64(len(b))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that shrinks while it is read gives %v", err)
	}
}

// describe reads the header of a model.
func describe(l models.Location) (models.Info, error) {
	f, err := l.Open()
	if err != nil {
		return models.Info{}, err
	}
	defer f.Close()
	return f.Describe()
}

func TestDescribe(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.gguf")
	if err := os.WriteFile(path, good(), 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := describe(models.Location{Path: path}); err != nil || info.Name != "tiny" {
		t.Errorf("described as %+v, %v", info, err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"none": models.ErrNotFound, "pipe": models.ErrFormat, ".": models.ErrFormat, "text": models.ErrFormat,
	} {
		_, err := describe(models.Location{Path: filepath.Join(dir, name)})
		var e *models.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(good())
	for _, c := range hostile {
		var b file
		c.make(&b)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := inspect(b)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Fatalf("error %q is not one plain line", err)
			}
			return
		}
		if info.Size != int64(len(b)) || info.Tensors > len(b) || info.Parameters > uint64(len(b))*8 {
			t.Fatalf("a file of %d bytes is described as %+v", len(b), info)
		}
	})
}

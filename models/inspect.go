package models

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// Info is what the header of a model file says. The texts come from the file and
// may hold anything; whoever shows them makes them inert.
type Info struct {
	Size         int64  // of the file, bytes
	Version      int    // of the format: 2 or 3
	Architecture string // "llama"
	Name         string // general.name
	Parameters   uint64 // values in all tensors
	Quantisation string // of the file, or of most of its values: "Q4_K_M"
	Context      uint64 // tokens it was trained for, 0 if not said
	Layers       uint64
	Width        uint64 // of the embedding
	Tokenizer    string // tokenizer.ggml.model
	Vocabulary   uint64 // tokens
	ChatTemplate string // "" if there is none
	Tensors      int
	Meta         map[string]string // every key; arrays as "[3 f32]"
}

// Keys returns the keys of Meta that begin with prefix, sorted; with "holdfast."
// those of models made for this runtime.
func (i Info) Keys(prefix string) []string {
	var keys []string
	for k := range i.Meta {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	return keys
}

const formatHint = "get the file again and compare its digest; only GGUF files of version 2 and 3 can be loaded"

// open opens a regular file, without waiting for anything that is none.
func open(file string) (*os.File, int64, error) {
	op := "open model " + quotePath(file)
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if os.IsNotExist(err) {
		return nil, 0, &Error{Op: op, Hint: notFoundHint, Err: ErrNotFound}
	}
	if err != nil {
		return nil, 0, &Error{Op: op, Err: cause(err)}
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	if err != nil {
		f.Close()
		return nil, 0, &Error{Op: op, Err: cause(err)}
	}
	return f, st.Size(), nil
}

// cause drops the operation and path that an error of package os repeats.
func cause(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

func quotePath(file string) string { return quote(filepath.Clean(file)) }

// Inspect reads the header of a GGUF file of the given size and checks all of it:
// magic, version, counts, types, shapes, the tokenizer's arrays, and that the
// tensors lie aligned and in order inside the file. Errors wrap ErrFormat, or the
// reader's error. The layout is that of gguf.h; see gguf_init_from_reader.
func Inspect(r io.ReaderAt, size int64) (Info, error) {
	h := newHeader(r, size)
	version, tensors, keys := h.opening()
	meta := h.metadata(keys)
	align := h.alignment(meta)
	list := h.tensors(tensors)
	if h.err == nil {
		h.layout(list, pad(uint64(h.pos), align), align)
	}
	if h.err == nil {
		h.tokenizer(meta)
	}
	if h.err != nil {
		return Info{}, h.err
	}
	return describe(size, version, meta, list), nil
}

// opening reads the magic, the version and the counts.
func (h *header) opening() (version uint32, tensors, keys uint64) {
	if h.size < 4 || string(h.bytes(4, "the magic")) != "GGUF" {
		h.fail("it does not begin with GGUF")
	}
	version = h.u32("the version")
	tensors, keys = h.u64("the counts"), h.u64("the counts")
	switch {
	case h.err != nil:
	case version&0xffff == 0 && version != 0:
		h.fail("big-endian files are not supported")
	case version != 2 && version != 3:
		h.fail("version %d is not supported", version)
	case tensors > maxTensors:
		h.fail("%d tensors are more than %d", tensors, maxTensors)
	case keys > maxKeys:
		h.fail("%d keys are more than %d", keys, maxKeys)
	}
	return version, tensors, keys
}

// alignment returns general.alignment, 32 if it is not given.
func (h *header) alignment(meta map[string]value) uint64 {
	v, ok := meta["general.alignment"]
	if !ok {
		return 32
	}
	if v.list || v.kind != typeU32 || v.num == 0 || v.num&(v.num-1) != 0 || v.num > 1<<20 {
		h.fail("general.alignment is %s, not a power of two", quote(v.show()))
		return 32
	}
	return v.num
}

// tokenizer checks that the tokenizer has a score and a type for each token, if any.
// llama.cpp makes as many nameless tokens as a file says that has none of its own.
func (h *header) tokenizer(meta map[string]value) {
	tokens, ok := meta[tokensKey]
	if !ok {
		if meta["tokenizer.ggml.model"].text == "no_vocab" {
			h.fail("it has no vocabulary")
		}
		return
	}
	if !tokens.list || tokens.kind != typeString {
		h.fail("%s is no array of strings", tokensKey)
	}
	for key, kinds := range map[string][]uint32{
		"tokenizer.ggml.scores":     {typeF32, typeI32},
		"tokenizer.ggml.token_type": {typeI32},
	} {
		v, ok := meta[key]
		if ok && (!v.list || v.n < tokens.n || v.kind != kinds[0] && v.kind != kinds[len(kinds)-1]) {
			h.fail("%s is %s for %d tokens", key, quote(v.show()), tokens.n)
		}
	}
}

// describe gathers what people ask of a model.
func describe(size int64, version uint32, meta map[string]value, list []tensor) Info {
	arch := meta["general.architecture"].text
	count := func(key string) uint64 { n, _ := meta[key].integer(); return n }
	info := Info{
		Size: size, Version: int(version), Architecture: arch,
		Name:         meta["general.name"].text,
		Context:      count(arch + ".context_length"),
		Layers:       count(arch + ".block_count"),
		Width:        count(arch + ".embedding_length"),
		Tokenizer:    meta["tokenizer.ggml.model"].text,
		Vocabulary:   meta[tokensKey].n,
		ChatTemplate: meta["tokenizer.chat_template"].text,
		Tensors:      len(list),
		Meta:         make(map[string]string, len(meta)),
	}
	for k, v := range meta {
		info.Meta[k] = v.show()
	}
	values := map[string]uint64{}
	for _, t := range list {
		info.Parameters += t.values
		values[t.kind.name] += t.values
	}
	info.Quantisation = quantisation(meta, values)
	return info
}

// quantisation names the file's type, else the type of most values.
func quantisation(meta map[string]value, values map[string]uint64) string {
	if n, ok := meta["general.file_type"].integer(); ok {
		if name, ok := fileTypes[n]; ok {
			return name
		}
	}
	best := ""
	for name, n := range values {
		if best == "" || n > values[best] || n == values[best] && name < best {
			best = name
		}
	}
	return best
}

package llama

/*
#include "shim.h"
#include <stdlib.h>
*/
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/cgo"
	"strings"
	"sync"
	"unsafe"
)

// ModelParams says how a model is loaded. The zero value maps the file and keeps all layers on the CPU.
type ModelParams struct {
	GPULayers    int  // layers to offload; negative means all
	NoMap        bool // read the weights into memory instead of mapping the file
	CheckTensors bool // look for invalid numbers in the weights
	VocabOnly    bool // only the vocabulary and the metadata

	// Progress is called with 0 to 1 while weights load, from the loading thread. Returning false ends the load.
	Progress func(float32) bool
}

// Model is a loaded model. It may be used by many goroutines at once; Close it after everything made from it.
type Model struct {
	mu   sync.Mutex
	c    *C.struct_llama_model
	file *os.File // the anonymous file behind a model loaded from memory
}

// progressCall is what the progress callback finds behind its handle.
type progressCall struct {
	ctx    context.Context
	report func(float32) bool
}

//export goProgress
func goProgress(handle C.uintptr_t, p C.float) (keep C.int) {
	defer func() {
		if recover() != nil {
			keep = 0
		}
	}()
	call := cgo.Handle(handle).Value().(*progressCall)
	if call.ctx.Err() != nil || call.report != nil && !call.report(float32(p)) {
		return 0
	}
	return 1
}

// LoadModel loads the GGUF file at path. The file must have been checked before: llama.cpp trusts its header.
// It returns ctx's error when ctx ends first. Wraps llama_model_load_from_file.
func LoadModel(ctx context.Context, path string, p ModelParams) (*Model, error) {
	if strings.IndexByte(path, 0) >= 0 {
		return nil, fmt.Errorf("load model: path holds a zero byte")
	}
	start()
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	h := cgo.NewHandle(&progressCall{ctx, p.Progress})
	defer h.Delete()
	layers := int32(1 << 20) // llama.cpp clips this to the layers there are
	if p.GPULayers >= 0 && p.GPULayers < int(layers) {
		layers = int32(p.GPULayers)
	}
	var msg C.hf_text
	c := C.hf_model_load(cpath, C.int(layers), cbool(!p.NoMap), cbool(p.CheckTensors), cbool(p.VocabOnly),
		C.uintptr_t(h), &msg)
	if c == nil {
		err := failure(&msg)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("load model: %w", err)
	}
	live.Add(1)
	return &Model{c: c}, nil
}

// Close frees the model. Wraps llama_model_free.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.c == nil {
		return nil
	}
	C.llama_model_free(m.c)
	m.c = nil
	live.Add(-1)
	if m.file != nil {
		return m.file.Close()
	}
	return nil
}

// Meta returns a scalar metadata value as text. Wraps llama_model_meta_val_str.
func (m *Model) Meta(key string) (string, bool) {
	ckey := C.CString(key)
	defer C.free(unsafe.Pointer(ckey))
	defer runtime.KeepAlive(m)
	buf := make([]byte, 256)
	for {
		n := C.llama_model_meta_val_str(m.c, ckey, (*C.char)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)))
		if n < 0 {
			return "", false
		}
		if int(n) < len(buf) {
			return string(buf[:n]), true
		}
		buf = make([]byte, int(n)+1)
	}
}

// Describe returns architecture, size and quantization in words. Wraps llama_model_desc.
func (m *Model) Describe() string {
	defer runtime.KeepAlive(m)
	buf := make([]byte, 256)
	n := C.llama_model_desc(m.c, (*C.char)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)))
	return string(buf[:max(0, min(int(n), len(buf)-1))])
}

// TrainContext is the context length the model was trained with, in tokens. Wraps llama_model_n_ctx_train.
func (m *Model) TrainContext() int {
	defer runtime.KeepAlive(m)
	return int(C.llama_model_n_ctx_train(m.c))
}

// Parameters is the number of weights. Wraps llama_model_n_params.
func (m *Model) Parameters() uint64 {
	defer runtime.KeepAlive(m)
	return uint64(C.llama_model_n_params(m.c))
}

// Size is the size of all tensors in bytes. Wraps llama_model_size.
func (m *Model) Size() uint64 {
	defer runtime.KeepAlive(m)
	return uint64(C.llama_model_size(m.c))
}

// Layers is the number of layers. Wraps llama_model_n_layer.
func (m *Model) Layers() int {
	defer runtime.KeepAlive(m)
	return int(C.llama_model_n_layer(m.c))
}

// Recurrent reports whether the model keeps a state that cannot be rolled back token by token.
// Wraps llama_model_is_recurrent and llama_model_is_hybrid.
func (m *Model) Recurrent() bool {
	defer runtime.KeepAlive(m)
	return bool(C.llama_model_is_recurrent(m.c)) || bool(C.llama_model_is_hybrid(m.c))
}

// Window is the size of the sliding attention window, 0 if there is none. Wraps llama_model_n_swa.
func (m *Model) Window() int {
	defer runtime.KeepAlive(m)
	return int(C.llama_model_n_swa(m.c))
}

// HasDecoder reports whether the model generates text one token after another. Wraps llama_model_has_decoder and
// llama_model_has_encoder: encoder-decoder models do not.
func (m *Model) HasDecoder() bool {
	defer runtime.KeepAlive(m)
	return bool(C.llama_model_has_decoder(m.c)) && !bool(C.llama_model_has_encoder(m.c))
}

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

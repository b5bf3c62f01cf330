package llama

/*
#include "shim.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"unsafe"
)

// FlashAttention chooses the attention kernel. Wraps enum llama_flash_attn_type.
type FlashAttention int32

// The choices; the zero value is off.
const (
	FlashOff  FlashAttention = 0
	FlashOn   FlashAttention = 1
	FlashAuto FlashAttention = -1
)

// KVType is the number format of the KV cache. Wraps the part of enum ggml_type that a cache may have.
type KVType int32

// The formats. The zero value is not used: it is F32 in ggml, and ContextParams takes it as F16.
const (
	KVF16  KVType = C.GGML_TYPE_F16
	KVQ8_0 KVType = C.GGML_TYPE_Q8_0
	KVBF16 KVType = C.GGML_TYPE_BF16
)

// ContextParams is the shape of a context. Wraps the used part of struct llama_context_params.
type ContextParams struct {
	Tokens       int // window over all sequences; 0 takes the model's training length
	Batch        int // most tokens of one Decode; 0 means 2048
	MicroBatch   int // tokens of one graph; 0 means 512
	Sequences    int // most sequences; 0 means 1
	Threads      int // for one token; 0 means all processors
	BatchThreads int // for many tokens; 0 means Threads
	Flash        FlashAttention
	KeyType      KVType // 0 means F16
	ValueType    KVType // 0 means F16; other than F16 needs flash attention
	Unified      bool   // one KV buffer for all sequences: copies of a sequence then share cells
	FullWindow   bool   // keep all positions of sliding-window layers, so that any position can be removed
	HostKV       bool   // keep the KV cache in host memory although layers are on a GPU
}

// ErrNoSlot means that the KV cache has no room for the batch. The cache is as before the call.
var ErrNoSlot = errors.New("no room in the KV cache")

// Context is the state of evaluation of a model: KV cache, threads and the last logits. It is used by one goroutine at
// a time and must be closed before its model.
type Context struct {
	mu    sync.Mutex // guards Close against Close
	m     *Model
	c     *C.struct_llama_context
	pool  C.ggml_threadpool_t
	abort *C.int
	vocab int
	batch C.struct_llama_batch
	cap   int
}

// NewContext allocates a context. Wraps llama_init_from_model and llama_attach_threadpool.
func NewContext(m *Model, p ContextParams) (*Context, error) {
	for _, n := range []int{p.Tokens, p.Batch, p.MicroBatch, p.Sequences, p.Threads, p.BatchThreads} {
		if n < 0 || n > 1<<30 {
			return nil, fmt.Errorf("new context: size %d is out of range", n)
		}
	}
	p = p.withDefaults()
	cp := C.hf_context_params{
		n_ctx: C.uint32_t(p.Tokens), n_batch: C.uint32_t(p.Batch), n_ubatch: C.uint32_t(p.MicroBatch),
		n_seq_max: C.uint32_t(p.Sequences), n_threads: C.int32_t(p.Threads), n_threads_batch: C.int32_t(p.BatchThreads),
		flash_attn: C.int32_t(p.Flash), type_k: C.int32_t(p.KeyType), type_v: C.int32_t(p.ValueType),
		kv_unified: C.int32_t(cbool(p.Unified)), swa_full: C.int32_t(cbool(p.FullWindow)),
		offload_kqv: C.int32_t(cbool(!p.HostKV)),
	}
	x := &Context{m: m, abort: C.hf_flag_new(), vocab: m.Vocab().Len(), cap: p.Batch}
	var msg C.hf_text
	x.c = C.hf_context_new(m.c, &cp, x.abort, &x.pool, &msg)
	runtime.KeepAlive(m)
	if x.c == nil {
		C.hf_free(unsafe.Pointer(x.abort))
		return nil, fmt.Errorf("new context: %w", failure(&msg))
	}
	x.cap = min(x.cap, int(C.llama_n_batch(x.c))) // llama.cpp asserts on a larger batch
	x.batch = C.llama_batch_init(C.int32_t(x.cap), 0, 1)
	live.Add(1)
	return x, nil
}

func (p ContextParams) withDefaults() ContextParams {
	def := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	def(&p.Batch, 2048)
	def(&p.MicroBatch, 512)
	p.MicroBatch = min(p.MicroBatch, p.Batch)
	def(&p.Sequences, 1)
	def(&p.Threads, runtime.NumCPU())
	def(&p.BatchThreads, p.Threads)
	if p.KeyType == 0 {
		p.KeyType = KVF16
	}
	if p.ValueType == 0 {
		p.ValueType = KVF16
	}
	return p
}

// Close frees the context. Wraps llama_free and llama_batch_free.
func (x *Context) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.c == nil {
		return nil
	}
	C.hf_context_free(x.c, x.pool)
	C.llama_batch_free(x.batch)
	C.hf_free(unsafe.Pointer(x.abort))
	x.c = nil
	live.Add(-1)
	return nil
}

// Size is the number of tokens the KV cache holds. Wraps llama_n_ctx.
func (x *Context) Size() int { return int(C.llama_n_ctx(x.c)) }

// BatchSize is the most tokens one Decode takes. Wraps llama_n_batch.
func (x *Context) BatchSize() int { return x.cap }

// Input is one token of a batch.
type Input struct {
	Token  Token
	Pos    int32
	Seq    int32
	Logits bool // compute logits after this token
}

// Decode evaluates a batch of at most BatchSize tokens. When ctx ends during the call the computation stops at the
// next node of the graph and ctx's cause is returned; the caller then removes the batch's positions from the cache.
// The abort works on the CPU; on a GPU keep batches small. Errors other than ErrNoSlot leave the positions of the
// batch undefined. Wraps llama_decode and llama_set_abort_callback.
func (x *Context) Decode(ctx context.Context, in []Input) error {
	if x.c == nil {
		return ErrClosed
	}
	if len(in) == 0 || len(in) > x.cap {
		return fmt.Errorf("decode: batch of %d tokens, at most %d fit", len(in), x.cap)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	x.fill(in)
	C.hf_flag_set(x.abort, 0)
	set := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(set); C.hf_flag_set(x.abort, 1) })
	var msg C.hf_text
	rc := C.hf_decode(x.c, &x.batch, &msg)
	if !stop() {
		<-set // the flag is the next call's then, or freed
	}
	switch rc {
	case 0:
		return nil // whole, also where ctx ended before the abort was seen
	case 1:
		return fmt.Errorf("decode: %w", ErrNoSlot)
	case 2:
		if err := context.Cause(ctx); err != nil {
			return err
		}
		return errors.New("decode: it was aborted and nothing asked for that")
	case -100:
		return fmt.Errorf("decode: %w", failure(&msg))
	}
	return fmt.Errorf("decode: llama.cpp returned %d", int(rc))
}

func (x *Context) fill(in []Input) {
	n := len(in)
	token := unsafe.Slice(x.batch.token, n)
	pos := unsafe.Slice(x.batch.pos, n)
	count := unsafe.Slice(x.batch.n_seq_id, n)
	seq := unsafe.Slice(x.batch.seq_id, n)
	out := unsafe.Slice(x.batch.logits, n)
	for i, t := range in {
		token[i], pos[i], count[i] = C.llama_token(t.Token), C.llama_pos(t.Pos), 1
		*seq[i] = C.llama_seq_id(t.Seq)
		out[i] = 0
		if t.Logits {
			out[i] = 1
		}
	}
	x.batch.n_tokens = C.int32_t(n)
}

// ErrNoLogits means that no logits were asked for at that token of the last batch.
var ErrNoLogits = errors.New("no logits for this token")

// Logits returns the scores after token i of the last Decode: one per token of the vocabulary, natural log, before
// normalisation. Negative i counts the outputs from the end. The slice is C memory and is valid until the next Decode
// or Close. Wraps llama_get_logits_ith.
func (x *Context) Logits(i int) ([]float32, error) {
	if x.c == nil {
		return nil, ErrClosed
	}
	p := C.llama_get_logits_ith(x.c, C.int32_t(i))
	if p == nil {
		return nil, ErrNoLogits
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(p)), x.vocab), nil
}

// SetThreads sets the threads used for one token and for many. Wraps llama_set_n_threads.
func (x *Context) SetThreads(one, many int) {
	C.llama_set_n_threads(x.c, C.int32_t(one), C.int32_t(many))
}

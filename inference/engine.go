package inference

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-run/holdfast/inference/internal/llama"
)

// Options says how a model is loaded and run. The zero value is a good choice for a CPU.
type Options struct {
	Context    int // window of a conversation in tokens, output included; 0 means 8192 or the trained length if smaller
	ForkRoom   int // tokens of KV cache beyond the window, for forks; 0 means half the window, at least 2048
	Threads    int // 0 means one per processor
	Batch      int // most tokens evaluated between two looks at the context; 0 means 2048
	GPULayers  int // layers to offload; negative means all
	MaxTokens  int // of output when a request says 0; 0 means 1024
	Attention  Attention
	KVType     KVType
	Sampling   Sampling
	NoThinking bool      // ask the template not to open a reasoning block
	Now        time.Time // date_string and datetime of templates, frozen for the engine's life; zero means the time of opening

	// Template replaces the model's own chat template. Empty keeps it.
	Template string
	// RenderBudget bounds the time of one rendering, conversion or parse of untrusted text; 0 means 10 seconds.
	RenderBudget time.Duration
	// Progress is called with 0 to 1 while weights load. Returning false ends the load.
	Progress func(float32) bool
	// Logger receives llama.cpp's warnings; nil drops them. It holds for the process.
	Logger *slog.Logger
}

// Attention chooses the attention kernel. Outputs differ between kernels in the last bits only.
type Attention string

// The kernels. The empty value is plain attention on a CPU, where it is faster once the context is deep, and
// llama.cpp's own choice on a GPU.
const (
	AttentionPlain Attention = "plain"
	AttentionFlash Attention = "flash"
)

// KVType is the number format of the KV cache. It changes outputs.
type KVType string

// The formats. The empty value is f16.
const (
	KVF16  KVType = "f16"
	KVQ8_0 KVType = "q8_0" // needs flash attention
)

// Validate joins every fault of the options.
func (o Options) Validate() error {
	var errs []error
	for name, n := range map[string]int{"Context": o.Context, "ForkRoom": o.ForkRoom, "Threads": o.Threads,
		"Batch": o.Batch, "MaxTokens": o.MaxTokens} {
		if n < 0 || n > 1<<24 {
			errs = append(errs, fmt.Errorf("%s %d is out of range", name, n))
		}
	}
	if o.Attention != "" && o.Attention != AttentionPlain && o.Attention != AttentionFlash {
		errs = append(errs, fmt.Errorf("unknown attention %q", o.Attention))
	}
	switch o.KVType {
	case "", KVF16:
	case KVQ8_0:
		if o.Attention != AttentionFlash {
			errs = append(errs, errors.New("a q8_0 KV cache needs flash attention"))
		}
	default:
		errs = append(errs, fmt.Errorf("unknown KV type %q", o.KVType))
	}
	return errors.Join(append(errs, o.Sampling.validate())...)
}

// Engine is a loaded model. It is safe for concurrent use; Close it after its sessions.
type Engine struct {
	opt   Options
	model *llama.Model
	chat  *llama.Chat
	words *vocabulary
	caps  map[string]bool

	explicit  bool // the model came with a template
	alternate bool // the template refuses two user messages in a row

	gate chan struct{} // held while computing: the threads of one decode use all processors

	mu     sync.Mutex
	live   int // sessions
	closed bool
}

// Open loads the GGUF file at path, which must have been checked before: llama.cpp trusts its header.
// It returns ctx's error when ctx ends first.
func Open(ctx context.Context, path string, opt Options) (*Engine, error) {
	return open(ctx, opt, func(p llama.ModelParams) (*llama.Model, error) { return llama.LoadModel(ctx, path, p) })
}

// OpenBytes loads a GGUF image held in memory. The image is copied; nothing is written to a disk.
func OpenBytes(ctx context.Context, image []byte, opt Options) (*Engine, error) {
	return open(ctx, opt, func(p llama.ModelParams) (*llama.Model, error) { return llama.LoadModelBytes(ctx, image, p) })
}

func open(ctx context.Context, opt Options, load func(llama.ModelParams) (*llama.Model, error)) (_ *Engine, err error) {
	if err := opt.Validate(); err != nil {
		return nil, &Error{Op: "load model", Hint: "correct the inference options", Err: err}
	}
	llama.SetLogger(opt.Logger)
	m, err := load(llama.ModelParams{GPULayers: opt.GPULayers, Progress: opt.Progress})
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, &Error{Op: "load model", Hint: "run `holdfast models verify` on the file", Err: err}
	}
	e := &Engine{opt: opt.withDefaults(m), model: m, gate: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			e.free()
		}
	}()
	if !m.HasDecoder() {
		return nil, &Error{Op: "load model", Hint: "choose a model that generates text", Err: errors.New("not a decoder-only model")}
	}
	if e.words, err = readVocabulary(m.Vocab()); err != nil {
		return nil, &Error{Op: "load model", Err: err}
	}
	if err = e.openChat(); err != nil {
		return nil, &Error{Op: "load model", Hint: "give another chat template", Err: err}
	}
	return e, nil
}

func (o Options) withDefaults(m *llama.Model) Options {
	def := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	trained := m.TrainContext()
	if trained <= 0 {
		trained = 8192
	}
	def(&o.Context, min(8192, trained))
	def(&o.ForkRoom, max(2048, o.Context/2))
	def(&o.Threads, runtime.NumCPU())
	def(&o.Batch, 2048)
	def(&o.MaxTokens, 1024)
	if o.RenderBudget == 0 {
		o.RenderBudget = 10 * time.Second
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	return o
}

func (o Options) contextParams() llama.ContextParams {
	p := llama.ContextParams{
		Tokens: (o.Context + o.ForkRoom + 255) / 256 * 256, Batch: o.Batch, Threads: o.Threads,
		Sequences: sequences, Unified: true, FullWindow: true,
	}
	switch {
	case o.Attention == AttentionFlash:
		p.Flash = llama.FlashOn
	case o.Attention == "" && o.GPULayers != 0:
		p.Flash = llama.FlashAuto
	}
	if o.KVType == KVQ8_0 {
		p.KeyType, p.ValueType = llama.KVQ8_0, llama.KVQ8_0
	}
	return p
}

// budget bounds the C++ work on untrusted text.
func (e *Engine) budget() llama.Budget {
	return llama.Budget{Time: e.opt.RenderBudget, Memory: 1 << 30}
}

// Info describes an engine, for the record of a run.
type Info struct {
	Model       string // architecture, size and quantization in words
	Name        string // general.name
	Parameters  uint64
	Bytes       uint64 // of weights
	Layers      int
	Vocabulary  int
	Trained     int  // context length the model was trained with
	Context     int  // context length in use
	Template    bool // the model came with a chat template
	ToolCalls   bool // the template can express tool calls
	Alternating bool // the template refuses two user messages in a row
	Threads     int
	Attention   Attention
	KVType      KVType
	LlamaCpp    string // version
	Source      string // git tree of llama.cpp
	Build       string // key of the native build
	GPU         string // backend built in, "" for none
	System      string // instruction sets in use
}

// Info returns what is known about the model and how it is run.
func (e *Engine) Info() Info {
	name, _ := e.model.Meta("general.name")
	att, kv := e.opt.Attention, e.opt.KVType
	if att == "" && e.opt.GPULayers == 0 {
		att = AttentionPlain
	}
	if kv == "" {
		kv = KVF16
	}
	return Info{
		Model: e.model.Describe(), Name: name, Parameters: e.model.Parameters(), Bytes: e.model.Size(),
		Layers: e.model.Layers(), Vocabulary: len(e.words.pieces), Trained: e.model.TrainContext(), Context: e.opt.Context,
		Template: e.explicit, ToolCalls: e.caps["supports_tool_calls"], Alternating: e.alternate, Threads: e.opt.Threads,
		Attention: att, KVType: kv, LlamaCpp: llama.Version, Source: llama.SourceTree, Build: llama.BuildKey,
		GPU: llama.Accelerator, System: llama.SystemInfo(),
	}
}

// Piece returns the text of a token, control tokens spelled out; "" for what is not in the vocabulary.
func (e *Engine) Piece(id int32) string {
	if id < 0 || int(id) >= len(e.words.pieces) {
		return ""
	}
	return e.words.pieces[id]
}

// Close frees the model. It fails while sessions are open. It may be called twice.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	if e.live > 0 {
		return &Error{Op: "close engine", Err: fmt.Errorf("%d sessions are open", e.live)}
	}
	e.closed = true
	return e.free()
}

func (e *Engine) free() error {
	if e.chat != nil {
		e.chat.Close()
	}
	return e.model.Close()
}

// acquire waits for the right to compute.
func (e *Engine) acquire(ctx context.Context) error {
	select {
	case e.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *Engine) release() { <-e.gate }

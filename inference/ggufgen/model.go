package ggufgen

import (
	"math"
	"math/rand/v2"
)

// Spec is the shape of a generated model. The zero value is a small llama of two layers with F32 weights.
type Spec struct {
	Arch     string // llama or qwen2; empty means llama
	Width    int    // embedding length; 0 means 64
	Layers   int    // 0 means 2
	Heads    int    // 0 means 4
	KVHeads  int    // 0 means Heads/2
	FFN      int    // 0 means 2*Width
	Context  int    // trained context length; 0 means 4096
	Vocab    int    // tokens; 0 means as many as are needed
	Kind     Kind   // format of the matrices; 0 is F32. Quantized formats need widths that their blocks divide
	Seed     uint64
	Template string // chat template; empty means Template, "-" means none
	Pre      string // pre-tokenizer of byte-level BPE; empty means what models of Arch have
	AddBOS   bool

	SentencePiece bool // a vocabulary in the manner of SentencePiece instead of byte-level BPE
}

// Template is the chat template of generated models unless another is given: ChatML with reasoning and tool calls as
// JSON in <tool_call> tags.
const Template = `{%- if tools %}
{{- '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
{{- 'Tools:\n<tools>' }}
{%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\n</tools>\nCall a tool with <tool_call>\n{"name": <name>, "arguments": <object>}\n</tool_call><|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\n' }}
{%- if message.reasoning_content %}{{- '<think>\n' + message.reasoning_content + '\n</think>\n\n' }}{%- endif %}
{%- if message.content %}{{- message.content }}{%- endif %}
{%- if message.tool_calls %}
{%- for call in message.tool_calls %}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}
{{- '}\n</tool_call>' }}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
`

func (s Spec) withDefaults() Spec {
	def := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	if s.Arch == "" {
		s.Arch = "llama"
	}
	if s.Template == "" {
		s.Template = Template
	}
	def(&s.Width, 64)
	def(&s.Layers, 2)
	def(&s.Heads, 4)
	def(&s.KVHeads, max(1, s.Heads/2))
	def(&s.FFN, 2*s.Width)
	def(&s.Context, 4096)
	return s
}

// New lays out a model. The same Spec gives the same bytes.
func New(s Spec) *File {
	s = s.withDefaults()
	f := new(File)
	v := buildVocabulary(s.Vocab)
	if s.SentencePiece {
		v = buildSentencePiece(s.Vocab)
	}
	pre := map[string]string{"llama": "llama-bpe", "qwen2": "qwen2"}[s.Arch]
	if s.Pre != "" {
		pre = s.Pre
	}
	if pre == "" {
		panic("internal error: no architecture " + s.Arch)
	}
	f.Set("general.architecture", s.Arch)
	f.Set("general.name", "random "+s.Arch)
	key := func(k string, n int) { f.Set(s.Arch+"."+k, uint32(n)) }
	key("context_length", s.Context)
	key("embedding_length", s.Width)
	key("block_count", s.Layers)
	key("feed_forward_length", s.FFN)
	key("attention.head_count", s.Heads)
	key("attention.head_count_kv", s.KVHeads)
	key("rope.dimension_count", s.Width/s.Heads)
	key("vocab_size", len(v.tokens))
	f.Set(s.Arch+".attention.layer_norm_rms_epsilon", float32(1e-5))
	f.Set(s.Arch+".rope.freq_base", float32(10000))
	f.Set("tokenizer.ggml.tokens", v.tokens)
	f.Set("tokenizer.ggml.token_type", v.types)
	if s.SentencePiece {
		f.Set("tokenizer.ggml.model", "llama")
		f.Set("tokenizer.ggml.scores", v.scores)
		f.Set("tokenizer.ggml.bos_token_id", v.index("<s>"))
		f.Set("tokenizer.ggml.unknown_token_id", v.index("<unk>"))
	} else {
		f.Set("tokenizer.ggml.model", "gpt2")
		f.Set("tokenizer.ggml.pre", pre)
		f.Set("tokenizer.ggml.merges", v.merges)
		f.Set("tokenizer.ggml.bos_token_id", v.index("<|endoftext|>"))
	}
	f.Set("tokenizer.ggml.eos_token_id", v.index("<|im_end|>"))
	f.Set("tokenizer.ggml.add_bos_token", s.AddBOS)
	if s.Template != "-" {
		f.Set("tokenizer.chat_template", s.Template)
	}
	f.layers(s, uint64(len(v.tokens)))
	return f
}

func (f *File) layers(s Spec, vocab uint64) {
	rng := rand.New(rand.NewPCG(s.Seed, 0x68666c64))
	w, ffn := uint64(s.Width), uint64(s.FFN)
	kv := uint64(s.Width / s.Heads * s.KVHeads)
	dev := float32(1 / math.Sqrt(float64(s.Width)))
	f.random(rng, "token_embd.weight", s.Kind, 1, w, vocab)
	for i := range s.Layers {
		name := func(part string) string { return "blk." + itoa(i) + "." + part }
		f.constant(name("attn_norm.weight"), 1, w)
		f.random(rng, name("attn_q.weight"), s.Kind, dev, w, w)
		f.random(rng, name("attn_k.weight"), s.Kind, dev, w, kv)
		f.random(rng, name("attn_v.weight"), s.Kind, dev, w, kv)
		if s.Arch == "qwen2" {
			f.random(rng, name("attn_q.bias"), F32, 0.1, w)
			f.random(rng, name("attn_k.bias"), F32, 0.1, kv)
			f.random(rng, name("attn_v.bias"), F32, 0.1, kv)
		}
		f.random(rng, name("attn_output.weight"), s.Kind, dev, w, w)
		f.constant(name("ffn_norm.weight"), 1, w)
		f.random(rng, name("ffn_gate.weight"), s.Kind, dev, w, ffn)
		f.random(rng, name("ffn_up.weight"), s.Kind, dev, w, ffn)
		f.random(rng, name("ffn_down.weight"), s.Kind, dev, ffn, w)
	}
	f.constant("output_norm.weight", 1, w)
	f.random(rng, "output.weight", s.Kind, 2*dev, w, vocab)
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + string(rune('0'+i%10))
}

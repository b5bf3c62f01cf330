// The C face of everything in llama.cpp that may throw. No function here lets an exception out: a
// failure is a non-zero code and a message that the caller frees with hf_free.
#ifndef HOLDFAST_LLAMA_SHIM_H
#define HOLDFAST_LLAMA_SHIM_H

#if defined(__has_include)
#  if !__has_include("llama.h")
#    error "llama.cpp has not been built: run `make native` (third_party/llama.cpp/build.sh)"
#  endif
#endif

#include "llama.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Text with a length: output that may hold zero bytes. Free data with hf_free.
typedef struct {
    char * data;
    size_t size;
} hf_text;

void hf_free(void * p);

// Flags shared between Go and compute threads. A flag is read by llama.cpp's abort callback.
int *  hf_flag_new(void);
void   hf_flag_set(int * flag, int value);
int    hf_flag_get(int * flag);

void hf_log_start(int min_level);

struct llama_model * hf_model_load(const char * path, int gpu_layers, int use_mmap, int check_tensors, int vocab_only,
                                   uintptr_t progress, hf_text * err);

typedef struct {
    uint32_t n_ctx;
    uint32_t n_batch;
    uint32_t n_ubatch;
    uint32_t n_seq_max;
    int32_t  n_threads;
    int32_t  n_threads_batch;
    int32_t  flash_attn; // enum llama_flash_attn_type
    int32_t  type_k;     // enum ggml_type
    int32_t  type_v;
    int32_t  kv_unified;
    int32_t  swa_full;
    int32_t  offload_kqv;
} hf_context_params;

struct llama_context * hf_context_new(struct llama_model * model, const hf_context_params * p, int * abort_flag,
                                      ggml_threadpool_t * pool, hf_text * err);
void hf_context_free(struct llama_context * ctx, ggml_threadpool_t pool);

// llama_decode, or -100 and a message where it throws.
int hf_decode(struct llama_context * ctx, struct llama_batch * batch, hf_text * err);

int hf_tokenize(const struct llama_vocab * vocab, const char * text, size_t size, int add_special, int parse_special,
                llama_token ** out, size_t * n, hf_text * err);
int hf_piece(const struct llama_vocab * vocab, llama_token token, int special, hf_text * out, hf_text * err);

// All pieces of a vocabulary, control tokens spelled out, one after another: piece i is out[ends[i-1]:ends[i]].
int hf_vocab_dump(const struct llama_vocab * vocab, hf_text * out, uint32_t * ends, uint32_t * attrs, hf_text * err);

// Grammars. A NULL sampler with a message means that the grammar does not parse.
struct llama_sampler * hf_grammar_new(const struct llama_vocab * vocab, const char * grammar, const char * root, int lazy,
                                      const char ** patterns, size_t n_patterns, const llama_token * tokens,
                                      size_t n_tokens, hf_text * err);
struct llama_sampler * hf_sampler_clone(const struct llama_sampler * s, hf_text * err);
// waiting: bytes of text in which a lazy grammar has looked for its trigger so far, 0 for any other.
int hf_sampler_accept(struct llama_sampler * s, llama_token token, size_t waiting, hf_text * err);
// Sets allowed[i] to whether ids[i] may come next.
int hf_sampler_allows(struct llama_sampler * s, const llama_token * ids, size_t n, uint8_t * allowed, hf_text * err);

// One pass over logits: the largest, its index, and the natural log of the sum of exp(x * scale).
void hf_logits_stats(const float * x, int32_t n, float scale, float * log_sum, float * max, int32_t * argmax);
// Writes the ids of all logits >= floor to out, at most cap, and returns how many there are.
int32_t hf_logits_above(const float * x, int32_t n, float floor, int32_t * out, int32_t cap);
// Writes exp((x[id] - top) * scale) for each of n ids, top being the largest x among them.
void hf_logits_weights(const float * x, const int32_t * ids, int32_t n, float scale, float * out);

// The chat layer. Requests and answers are JSON so that one call carries a whole conversation.
typedef struct hf_chat hf_chat;

typedef struct {
    int64_t  milliseconds; // wall clock
    uint64_t bytes;        // live C++ memory
} hf_budget;

hf_chat * hf_chat_new(const struct llama_model * model, const char * tmpl, const char * bos, const char * eos,
                      hf_budget budget, hf_text * err);
void hf_chat_free(hf_chat * chat);
int  hf_chat_source(const hf_chat * chat, hf_text * out, hf_text * err);
int  hf_chat_caps(const hf_chat * chat, hf_text * out, hf_text * err);
int  hf_chat_apply(const hf_chat * chat, const char * request, hf_budget budget, hf_text * out, hf_text * err);
int  hf_chat_parse(const char * request, const char * text, size_t size, int partial, hf_budget budget, hf_text * out,
                   hf_text * err);
int  hf_schema_to_grammar(const char * schema, hf_budget budget, hf_text * out, hf_text * err);

#ifdef __cplusplus
}
#endif

#endif

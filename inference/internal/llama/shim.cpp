// Wrappers of the C++ side of llama.h: each catches what llama.cpp may throw.
#include "guard.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <vector>

#include "common.h"
#include "log.h"

extern "C" {
int  goProgress(uintptr_t handle, float progress);
void goLog(int level, char * text);
}

using hf::guarded;

void hf_free(void * p) { std::free(p); }

int * hf_flag_new(void) { return static_cast<int *>(std::calloc(1, sizeof(int))); }
void  hf_flag_set(int * flag, int value) { __atomic_store_n(flag, value, __ATOMIC_SEQ_CST); }
int   hf_flag_get(int * flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }

static bool aborted(void * flag) { return __atomic_load_n(static_cast<int *>(flag), __ATOMIC_RELAXED) != 0; }

static std::atomic<int> log_floor{ GGML_LOG_LEVEL_WARN };

static void log_line(enum ggml_log_level level, const char * text, void *) {
    static std::atomic<int> last{ GGML_LOG_LEVEL_NONE };
    int l = level;
    if (l == GGML_LOG_LEVEL_CONT) {
        l = last.load();
    } else {
        last.store(l);
    }
    if (l >= log_floor.load()) {
        goLog(l, const_cast<char *>(text));
    }
}

void hf_log_start(int min_level) {
    log_floor.store(min_level);
    llama_log_set(log_line, nullptr);
    common_log_set_verbosity_thold(-1); // the chat layer reports by exception; its prints are not for our output
}

static bool progress(float p, void * handle) { return goProgress(reinterpret_cast<uintptr_t>(handle), p) != 0; }

struct llama_model * hf_model_load(const char * path, int gpu_layers, int use_mmap, int check_tensors, int vocab_only,
                                   uintptr_t handle, hf_text * err) {
    llama_model * model = nullptr;
    guarded(err, [&] {
        llama_model_params p          = llama_model_default_params();
        p.n_gpu_layers                = gpu_layers;
        p.load_mode                   = use_mmap ? LLAMA_LOAD_MODE_MMAP : LLAMA_LOAD_MODE_NONE;
        p.check_tensors               = check_tensors != 0;
        p.vocab_only                  = vocab_only != 0;
        p.progress_callback           = progress;
        p.progress_callback_user_data = reinterpret_cast<void *>(handle);
        model                         = llama_model_load_from_file(path, p);
        if (model == nullptr) {
            throw std::runtime_error("llama.cpp refused the model");
        }
    });
    return model;
}

struct llama_context * hf_context_new(struct llama_model * model, const hf_context_params * p, int * abort_flag,
                                      ggml_threadpool_t * pool, hf_text * err) {
    llama_context * ctx = nullptr;
    *pool               = nullptr;
    guarded(err, [&] {
        llama_context_params c = llama_context_default_params();
        c.n_ctx                = p->n_ctx;
        c.n_batch              = p->n_batch;
        c.n_ubatch             = p->n_ubatch;
        c.n_seq_max            = p->n_seq_max;
        c.n_threads            = p->n_threads;
        c.n_threads_batch      = p->n_threads_batch;
        c.flash_attn_type      = static_cast<llama_flash_attn_type>(p->flash_attn);
        c.type_k               = static_cast<ggml_type>(p->type_k);
        c.type_v               = static_cast<ggml_type>(p->type_v);
        c.kv_unified           = p->kv_unified != 0;
        c.swa_full             = p->swa_full != 0;
        c.offload_kqv          = p->offload_kqv != 0;
        c.abort_callback       = aborted;
        c.abort_callback_data  = abort_flag;
        ctx                    = llama_init_from_model(model, c);
        if (ctx == nullptr) {
            throw std::runtime_error("llama.cpp refused the context parameters");
        }
        ggml_threadpool_params t = ggml_threadpool_params_default(std::max(p->n_threads, p->n_threads_batch));
        t.poll                   = 1; // spin for some milliseconds between graphs, not for a third of a second
        *pool                    = ggml_threadpool_new(&t);
        if (*pool != nullptr) {
            llama_attach_threadpool(ctx, *pool, *pool);
        }
    });
    return ctx;
}

void hf_context_free(struct llama_context * ctx, ggml_threadpool_t pool) {
    llama_free(ctx);
    if (pool != nullptr) {
        ggml_threadpool_free(pool);
    }
}

int hf_decode(struct llama_context * ctx, struct llama_batch * batch, hf_text * err) {
    int rc = -100;
    return guarded(err, [&] { rc = llama_decode(ctx, *batch); }) != 0 ? -100 : rc;
}

int hf_tokenize(const struct llama_vocab * vocab, const char * text, size_t size, int add_special, int parse_special,
                llama_token ** out, size_t * n, hf_text * err) {
    *out = nullptr;
    *n   = 0;
    return hf::deep(size, err, [&] {
        // In a vector until it is whole: what throws on the way leaves nothing behind.
        std::vector<llama_token> ids(size + 8);
        auto tokenize = [&] {
            return llama_tokenize(vocab, text, int32_t(size), ids.data(), int32_t(ids.size()), add_special != 0, parse_special != 0);
        };
        int32_t have = tokenize();
        if (have < 0 && have != std::numeric_limits<int32_t>::min()) {
            ids.resize(size_t(-have));
            have = tokenize();
        }
        if (have < 0) {
            throw std::length_error("text too long to tokenize");
        }
        const size_t bytes = sizeof(llama_token) * size_t(std::max(have, 1));
        *out               = static_cast<llama_token *>(std::malloc(bytes));
        if (*out == nullptr) {
            throw std::bad_alloc();
        }
        std::memcpy(*out, ids.data(), sizeof(llama_token) * size_t(have));
        *n = size_t(have);
    });
}

int hf_piece(const struct llama_vocab * vocab, llama_token token, int special, hf_text * out, hf_text * err) {
    return guarded(err, [&] { hf::set_text(out, common_token_to_piece(vocab, token, special != 0)); });
}

int hf_vocab_dump(const struct llama_vocab * vocab, hf_text * out, uint32_t * ends, uint32_t * attrs, hf_text * err) {
    return guarded(err, [&] {
        if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
            throw std::runtime_error("the model has none"); // its tokens have neither text nor kind
        }
        std::string all;
        const int32_t n = llama_vocab_n_tokens(vocab);
        for (int32_t i = 0; i < n; i++) {
            all += common_token_to_piece(vocab, i, true);
            if (all.size() > std::numeric_limits<uint32_t>::max()) {
                throw std::length_error("vocabulary too large");
            }
            ends[i]  = uint32_t(all.size());
            attrs[i] = uint32_t(llama_vocab_get_attr(vocab, i));
        }
        hf::set_text(out, all);
    });
}

struct llama_sampler * hf_grammar_new(const struct llama_vocab * vocab, const char * grammar, const char * root, int lazy,
                                      const char ** patterns, size_t n_patterns, const llama_token * tokens,
                                      size_t n_tokens, hf_text * err) {
    llama_sampler * s = nullptr;
    guarded(err, [&] {
        s = lazy ? llama_sampler_init_grammar_lazy_patterns(vocab, grammar, root, patterns, n_patterns, tokens, n_tokens)
                 : llama_sampler_init_grammar(vocab, grammar, root);
        if (s == nullptr) {
            throw std::runtime_error("grammar does not parse");
        }
    });
    return s;
}

struct llama_sampler * hf_sampler_clone(const struct llama_sampler * s, hf_text * err) {
    llama_sampler * c = nullptr;
    guarded(err, [&] { c = llama_sampler_clone(s); });
    return c;
}

int hf_sampler_accept(struct llama_sampler * s, llama_token token, size_t waiting, hf_text * err) {
    return hf::deep(waiting, err, [&] { llama_sampler_accept(s, token); });
}

int hf_sampler_allows(struct llama_sampler * s, const llama_token * ids, size_t n, uint8_t * allowed, hf_text * err) {
    return guarded(err, [&] {
        std::vector<llama_token_data> data(n);
        for (size_t i = 0; i < n; i++) {
            data[i] = { ids[i], 1.0f, 0.0f };
        }
        llama_token_data_array a = { data.data(), n, -1, false };
        llama_sampler_apply(s, &a);
        std::fill(allowed, allowed + n, uint8_t(0));
        // A grammar marks refused tokens and keeps their order; look at the ids all the same.
        if (a.size != n) {
            throw std::runtime_error("grammar changed the candidate list");
        }
        for (size_t i = 0; i < n; i++) {
            if (a.data[i].id != ids[i]) {
                throw std::runtime_error("grammar reordered the candidate list");
            }
            allowed[i] = a.data[i].logit != -INFINITY;
        }
    });
}

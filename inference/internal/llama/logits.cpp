// Passes over the logits of one position. They run once per token over the whole vocabulary, so they are written to
// vectorise; clones are chosen at load time by the CPU at hand.
#include "shim.h"

#include <cmath>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#    define HF_CLONES __attribute__((target_clones("default", "avx2", "arch=x86-64-v4"), optimize("O3", "no-trapping-math")))
#else
#    define HF_CLONES
#endif

// Sums and maxima are kept in as many lanes as the widest vector has floats: the order of additions is written down, so
// the compiler may use vectors without being allowed to reorder.
static const int32_t LANES = 16;

// exp(x) for x <= 0 with a relative error below 2e-7: 2^k * p(r), the polynomial from the Taylor series around zero
// on |r| <= ln2/2. Values under -87 count as -87, which is 2e-38: nothing beside the 1 of the largest.
static inline __attribute__((always_inline)) float exp_neg(float x) {
    const float   y = x < -87.0f ? -87.0f : x;
    const int32_t n = int32_t(y * 1.44269504f - 0.5f); // towards zero, so to the nearest
    const float   k = float(n);
    const float   r = (y - k * 0.693359375f) + k * 2.12194440e-4f;
    float         p = 1.0f / 5040;
    p               = p * r + 1.0f / 720;
    p               = p * r + 1.0f / 120;
    p               = p * r + 1.0f / 24;
    p               = p * r + 1.0f / 6;
    p               = p * r + 0.5f;
    p               = p * r + 1.0f;
    p               = p * r + 1.0f;
    const int32_t bits = (n + 127) << 23;
    float         scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

HF_CLONES static float largest(const float * x, int32_t n) {
    float lane[LANES];
    for (int32_t j = 0; j < LANES; j++) {
        lane[j] = -INFINITY;
    }
    int32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int32_t j = 0; j < LANES; j++) {
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
        }
    }
    float m = -INFINITY;
    for (; i < n; i++) {
        m = x[i] > m ? x[i] : m;
    }
    for (int32_t j = 0; j < LANES; j++) {
        m = lane[j] > m ? lane[j] : m;
    }
    return m;
}

HF_CLONES static float sum_exp(const float * x, int32_t n, float max, float scale) {
    float   lane[LANES] = { 0 };
    int32_t i           = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int32_t j = 0; j < LANES; j++) {
            lane[j] += exp_neg((x[i + j] - max) * scale);
        }
    }
    float s = 0;
    for (; i < n; i++) {
        s += exp_neg((x[i] - max) * scale);
    }
    for (int32_t j = 0; j < LANES; j++) {
        s += lane[j];
    }
    return s;
}

void hf_logits_stats(const float * x, int32_t n, float scale, float * log_sum, float * max, int32_t * argmax) {
    const float m = largest(x, n);
    *max          = m;
    *argmax       = -1;
    for (int32_t i = 0; i < n; i++) {
        if (x[i] == m) {
            *argmax = i;
            break;
        }
    }
    *log_sum = m * scale + std::log(sum_exp(x, n, m, scale));
}

int32_t hf_logits_above(const float * x, int32_t n, float floor, int32_t * out, int32_t cap) {
    int32_t have = 0;
    for (int32_t i = 0; i < n; i++) {
        if (x[i] >= floor) {
            if (have < cap) {
                out[have] = i;
            }
            have++;
        }
    }
    return have;
}

// Gathers first, so that both loops over the arithmetic run on vectors.
HF_CLONES void hf_logits_weights(const float * x, const int32_t * ids, int32_t n, float scale, float * out) {
    for (int32_t i = 0; i < n; i++) {
        out[i] = x[ids[i]];
    }
    const float top = largest(out, n);
    for (int32_t i = 0; i < n; i++) {
        out[i] = exp_neg((out[i] - top) * scale);
    }
}

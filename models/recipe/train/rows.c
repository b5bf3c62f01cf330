// Row-wise training kernels for CPUs with AVX-512: RMSNorm with the residual addition, SwiGLU,
// cross-entropy, embedding, AdamW. They run on the calling thread and keep no state.
// Row widths must be multiples of 16. The plain PyTorch twins are in plain.py.
#include "vec.h"

static const float EPSILON = 1e-5f;

// sum = x + delta; y = weight * sum / rms(sum); inverse [n] keeps 1/rms for the way back.
void addnorm_forward(const float *x, const bf16 *delta, const float *weight, float *sum, bf16 *y, float *inverse, int n, int dim) {
  for (int i = 0; i < n; i++) {
    size_t o = (size_t)i * dim;
    __m512 squares = _mm512_setzero_ps();
    for (int d = 0; d < dim; d += 16) {
      __m512 v = _mm512_add_ps(_mm512_loadu_ps(x + o + d), load_bf(delta + o + d));
      _mm512_storeu_ps(sum + o + d, v);
      squares = _mm512_fmadd_ps(v, v, squares);
    }
    inverse[i] = 1.f / sqrtf(_mm512_reduce_add_ps(squares) / dim + EPSILON);
    for (int d = 0; d < dim; d += 16)
      store_bf(y + o + d, _mm512_mul_ps(_mm512_mul_ps(_mm512_loadu_ps(sum + o + d), all(inverse[i])), _mm512_loadu_ps(weight + d)));
  }
}

// dx = dsum + the norm's share of dy; ddelta is the same in bf16; dweight [dim] is overwritten.
void addnorm_backward(const float *sum, const float *weight, const float *inverse, const bf16 *dy, const float *dsum, float *dx,
                      bf16 *ddelta, float *dweight, int n, int dim) {
  memset(dweight, 0, (size_t)dim * sizeof *dweight);
  for (int i = 0; i < n; i++) {
    size_t o = (size_t)i * dim;
    __m512 r = all(inverse[i]), dot = _mm512_setzero_ps();
    for (int d = 0; d < dim; d += 16) {
      __m512 unit = _mm512_mul_ps(_mm512_loadu_ps(sum + o + d), r), g = load_bf(dy + o + d);
      _mm512_storeu_ps(dweight + d, _mm512_fmadd_ps(g, unit, _mm512_loadu_ps(dweight + d)));
      dot = _mm512_fmadd_ps(_mm512_mul_ps(g, _mm512_loadu_ps(weight + d)), unit, dot);
    }
    __m512 mean = all(_mm512_reduce_add_ps(dot) / dim);
    for (int d = 0; d < dim; d += 16) {
      __m512 unit = _mm512_mul_ps(_mm512_loadu_ps(sum + o + d), r);
      __m512 g = _mm512_mul_ps(load_bf(dy + o + d), _mm512_loadu_ps(weight + d));
      __m512 v = _mm512_fmadd_ps(r, _mm512_fnmadd_ps(unit, mean, g), _mm512_loadu_ps(dsum + o + d));
      _mm512_storeu_ps(dx + o + d, v);
      store_bf(ddelta + o + d, v);
    }
  }
}

// gu [n][2][width]: gate, then up. h = silu(gate) * up.
void swiglu_forward(const bf16 *gu, bf16 *h, int n, int width) {
  for (int i = 0; i < n; i++)
    for (int f = 0; f < width; f += 16) {
      const bf16 *p = gu + (size_t)i * 2 * width + f;
      __m512 g = load_bf(p), u = load_bf(p + width);
      store_bf(h + (size_t)i * width + f, _mm512_mul_ps(_mm512_mul_ps(g, sigmoidv(g)), u));
    }
}

void swiglu_backward(const bf16 *gu, const bf16 *dh, bf16 *dgu, int n, int width) {
  for (int i = 0; i < n; i++)
    for (int f = 0; f < width; f += 16) {
      size_t o = (size_t)i * 2 * width + f;
      __m512 g = load_bf(gu + o), u = load_bf(gu + o + width), d = load_bf(dh + (size_t)i * width + f);
      __m512 sig = sigmoidv(g), silu = _mm512_mul_ps(g, sig);
      store_bf(dgu + o + width, _mm512_mul_ps(d, silu));
      __m512 slope = _mm512_fmadd_ps(silu, _mm512_sub_ps(all(1.f), sig), sig);
      store_bf(dgu + o, _mm512_mul_ps(_mm512_mul_ps(d, u), slope));
    }
}

// logits [n][vocab] become, in place, weight * (softmax - one at the target); loss [n] is the
// unweighted negative log-probability of target, hit [n] is 1 where target has the top score.
void cross_entropy(bf16 *logits, const int *target, const float *weight, float *loss, uint8_t *hit, int n, int vocab) {
  for (int i = 0; i < n; i++) {
    bf16 *l = logits + (size_t)i * vocab;
    __m512 top = all(-1e30f), sum = _mm512_setzero_ps();
    float wanted = bf_float(l[target[i]]);
    for (int v = 0; v < vocab; v += 16) top = _mm512_max_ps(top, load_bf(l + v));
    float best = _mm512_reduce_max_ps(top);
    for (int v = 0; v < vocab; v += 16) sum = _mm512_add_ps(sum, expv(_mm512_sub_ps(load_bf(l + v), all(best))));
    float total = _mm512_reduce_add_ps(sum);
    loss[i] = logf(total) + best - wanted;
    hit[i] = wanted >= best;
    for (int v = 0; v < vocab; v += 16)
      store_bf(l + v, _mm512_mul_ps(expv(_mm512_sub_ps(load_bf(l + v), all(best))), all(weight[i] / total)));
    l[target[i]] = float_bf((expf(wanted - best) / total - 1.f) * weight[i]);
  }
}

void embedding_forward(const bf16 *table, const int *id, float *out, int n, int dim) {
  for (int i = 0; i < n; i++)
    for (int d = 0; d < dim; d += 16) _mm512_storeu_ps(out + (size_t)i * dim + d, load_bf(table + (size_t)id[i] * dim + d));
}

// Adds the rows of grad to the rows id of dtable (float).
void embedding_backward(float *dtable, const int *id, const float *grad, int n, int dim) {
  for (int i = 0; i < n; i++)
    for (int d = 0; d < dim; d += 16) {
      float *p = dtable + (size_t)id[i] * dim + d;
      _mm512_storeu_ps(p, _mm512_add_ps(_mm512_loadu_ps(p), _mm512_loadu_ps(grad + (size_t)i * dim + d)));
    }
}

// One AdamW step over n floats (decoupled decay, Loshchilov and Hutter, arXiv 1711.05101).
// fix1 and fix2 undo the bias of the two moments: 1 / (1 - beta^step).
void adamw(float *p, const float *g, float *m, float *v, long n, float rate, float beta1, float beta2, float fix1, float fix2, float decay) {
  for (long i = 0; i < n; i++) {
    m[i] = beta1 * m[i] + (1 - beta1) * g[i];
    v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    p[i] -= rate * (m[i] * fix1 / (sqrtf(v[i] * fix2) + 1e-8f) + decay * p[i]);
  }
}

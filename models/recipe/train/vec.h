// Vectors of 16 floats and their bf16 storage, shared by the kernels.
#ifndef HOLDFAST_VEC_H
#define HOLDFAST_VEC_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t bf16;

static inline __m512 load_bf(const bf16 *p) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
static inline void store_bf(bf16 *p, __m512 v) { _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v)); }
static inline float bf_float(bf16 x) {
  union { uint32_t u; float f; } v = {(uint32_t)x << 16};
  return v.f;
}
static inline bf16 float_bf(float x) {
  bf16 t[16];
  store_bf(t, _mm512_set1_ps(x));
  return t[0];
}
static inline __m512 all(float x) { return _mm512_set1_ps(x); }

// 2^x for 16 floats: 2^frac(x) by a minimax polynomial of degree 5 on [0,1), then an exponent
// shift. Relative error below 3e-7; very negative x gives 0.
static inline __m512 exp2v(__m512 x) {
  __m512 f = _mm512_reduce_ps(x, 0x01);  // x - floor(x)
  __m512 p = all(1.8775746e-3f);
  p = _mm512_fmadd_ps(p, f, all(8.9893451e-3f));
  p = _mm512_fmadd_ps(p, f, all(5.5826314e-2f));
  p = _mm512_fmadd_ps(p, f, all(2.4015362e-1f));
  p = _mm512_fmadd_ps(p, f, all(6.9315307e-1f));
  p = _mm512_fmadd_ps(p, f, all(9.9999993e-1f));
  return _mm512_scalef_ps(p, x);
}
static inline __m512 expv(__m512 x) { return exp2v(_mm512_mul_ps(x, all(1.44269504f))); }
static inline __m512 sigmoidv(__m512 x) {
  return _mm512_div_ps(all(1.f), _mm512_add_ps(all(1.f), expv(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}


#endif

// Matrix products in bf16 on AMX tiles, for the shapes of a small transformer: many rows, widths
// of a few hundred. Every size is a multiple of 32. They run on the calling thread.
//
// A step of the innermost loop multiplies 32 x 32 by 32 x 32 in eight tiles: four sums, two of a,
// two of b. b is first packed into tiles (pairs of the inner axis down, columns across), which stay
// in the second-level cache while 32 rows of a at a time pass by. Where the next step would miss
// the cache, the lines are asked for in advance.
#include "tiles.h"

enum { B = 32 };  // block edge

// Packs the panel of columns col..col+31 of b^T, b [cols][inner].
static void pack_columns(const bf16 *b, int inner, int col, bf16 *panel) {
  for (int k = 0; k < inner; k += B)
    for (int half = 0; half < 2; half++, panel += 512) {
      __m512i r[16];
      for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(b + (size_t)(col + 16 * half + i) * inner + k);
      transpose16(r);
      for (int i = 0; i < 16; i++) _mm512_store_si512(panel + 32 * i, r[i]);
    }
}

// Packs the panel of columns col..col+31 of b [inner][cols].
static void pack_rows(const bf16 *b, int inner, int cols, int col, bf16 *panel) {
  for (int k = 0; k < inner; k += B, panel += 1024)
    for (int i = 0; i < 16; i++) {
      const bf16 *p = b + (size_t)(k + 2 * i) * cols + col;
      pair_rows(_mm512_loadu_si512(p), _mm512_loadu_si512(p + cols), panel + 32 * i, panel + 512 + 32 * i);
    }
}

// sum[32][32] (+)= a (32 rows, stride apart, inner long) * panel.
static inline void block(const bf16 *a, size_t stride, size_t step, const bf16 *panel, int inner, float *sum, size_t width, int add) {
  fence();
  if (add) {
    _tile_loadd(0, sum, width * 4);
    _tile_loadd(1, sum + 16, width * 4);
    _tile_loadd(2, sum + 16 * width, width * 4);
    _tile_loadd(3, sum + 16 * width + 16, width * 4);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int k = 0; k < inner; k += B, a += step, panel += 1024) {
    _tile_loadd(4, a, stride * 2);
    _tile_loadd(6, panel, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, panel + 512, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 16 * stride, stride * 2);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sum, width * 4);
  _tile_stored(1, sum + 16, width * 4);
  _tile_stored(2, sum + 16 * width, width * 4);
  _tile_stored(3, sum + 16 * width + 16, width * 4);
}

// c [rows][cols] = a [rows][inner] * b, where b is [cols][inner] (transposed, as weights are) or
// [inner][cols].
void matmul(const bf16 *a, const bf16 *b, bf16 *c, int rows, int inner, int cols, int transposed) {
  scratch_reset((size_t)inner * cols * 2 + 8192);
  bf16 *packed = take((size_t)inner * cols * 2);
  float *sum = take(B * B * 4);
  for (int j = 0; j < cols; j += B)
    transposed ? pack_columns(b, inner, j, packed + (size_t)j * inner) : pack_rows(b, inner, cols, j, packed + (size_t)j * inner);
  tiles_on();
  for (int i = 0; i < rows; i += B)
    for (int j = 0; j < cols; j += B) {
      for (int r = 0; r < B; r++) __builtin_prefetch(c + (size_t)(i + r) * cols + j, 1);
      block(a + (size_t)i * inner, inner, B, packed + (size_t)j * inner, inner, sum, B, 0);
      for (int r = 0; r < B; r++)
        _mm512_storeu_si512(c + (size_t)(i + r) * cols + j, (__m512i)_mm512_cvtne2ps_pbh(_mm512_load_ps(sum + r * B + 16), _mm512_load_ps(sum + r * B)));
    }
  _tile_release();
}

// c [m][n] = a^T * b for a [rows][m], b [rows][n]: the gradient of a weight. The rows go by in
// stretches whose packed b fits the second-level cache; sums stay float between them.
void matmul_gradient(const bf16 *a, const bf16 *b, bf16 *c, int rows, int m, int n) {
  enum { STRETCH = 512 };
  scratch_reset((size_t)STRETCH * (n + B) * 2 + (size_t)m * n * 4 + 8192);
  bf16 *packed = take((size_t)STRETCH * n * 2), *flipped = take((size_t)STRETCH * B * 2);
  float *sum = take((size_t)m * n * 4);
  tiles_on();
  for (int from = 0; from < rows; from += STRETCH) {
    int some = rows - from < STRETCH ? rows - from : STRETCH;
    for (int j = 0; j < n; j += B) pack_rows(b + (size_t)from * n, some, n, j, packed + (size_t)j * some);
    for (int i = 0; i < m; i += B) {
      for (int k = 0; k < some; k += B) transpose_block(a + (size_t)(from + k) * m + i, m, flipped + (size_t)k * B);
      for (int j = 0; j < n; j += B) {
        float *at = sum + (size_t)i * n + j;
        for (int r = 0; r < B; r++) __builtin_prefetch(at + (size_t)r * n + B, 1), __builtin_prefetch(at + (size_t)r * n + B + 16, 1);
        for (int k = (int)((long)some * j / n); k < (int)((long)some * (j + B) / n); k++) __builtin_prefetch(a + (size_t)(from + k) * m + i + B);
        block(flipped, B, B * B, packed + (size_t)j * some, some, at, n, from > 0);
      }
    }
  }
  _tile_release();
  for (size_t i = 0; i < (size_t)m * n; i += 16) store_bf(c + i, _mm512_load_ps(sum + i));
}

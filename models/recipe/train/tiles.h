// What the kernels on AMX tiles share: tile set-up, scratch memory, changes of layout.
#ifndef HOLDFAST_TILES_H
#define HOLDFAST_TILES_H

#include <stdlib.h>

#include "vec.h"

// The tile loads of GCC 12 do not tell the compiler that they read memory: stores before them
// must be finished first.
#define fence() __asm__ volatile("" ::: "memory")

// All eight tiles are 16 rows of 64 bytes.
static inline void tiles_on(void) {
  struct { uint8_t palette, start, pad[14]; uint16_t width[16]; uint8_t rows[16]; } __attribute__((aligned(64))) c;
  memset(&c, 0, sizeof c);
  c.palette = 1;
  for (int i = 0; i < 8; i++) c.width[i] = 64, c.rows[i] = 16;
  _tile_loadconfig(&c);
}

typedef struct { char *base; size_t size, used; } arena;
// One buffer a thread and file; grown, never shrunk.
static __thread arena scratch;

static inline void scratch_reset(size_t need) {
  if (scratch.size < need) {
    free(scratch.base);
    scratch.base = aligned_alloc(64, (need + 63) & ~(size_t)63);
    if (!scratch.base) abort();
    scratch.size = need;
  }
  scratch.used = 0;
}
static inline void *take(size_t n) {
  void *p = scratch.base + scratch.used;
  scratch.used += (n + 63) & ~(size_t)63;
  if (scratch.used > scratch.size) abort();
  return p;
}

// Transposes a 16 x 16 matrix of 32-bit words held in r[0..15].
static inline void transpose16(__m512i r[16]) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

// 32 rows of 32 bf16, stride apart -> out [32][32], transposed.
static inline void transpose_block(const bf16 *rows, size_t stride, bf16 *out) {
  __m512i lo[16], hi[16];
  for (int i = 0; i < 16; i++) lo[i] = _mm512_loadu_si512(rows + i * stride), hi[i] = _mm512_loadu_si512(rows + (16 + i) * stride);
  transpose16(lo);
  transpose16(hi);
  for (int i = 0; i < 16; i++) {
    __m256i a = _mm512_cvtepi32_epi16(lo[i]), b = _mm512_cvtepi32_epi16(hi[i]);
    _mm512_store_si512(out + 64 * i, _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
    a = _mm512_cvtepi32_epi16(_mm512_srli_epi32(lo[i], 16)), b = _mm512_cvtepi32_epi16(_mm512_srli_epi32(hi[i], 16));
    _mm512_store_si512(out + 64 * i + 32, _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1));
  }
}

// Two rows of 32 bf16 -> pairs (a[i], b[i]) for i in 0..15 and 16..31: the B layout of a tile.
static inline void pair_rows(__m512i a, __m512i b, void *lo, void *hi) {
  const __m512i even = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5,
                                        36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  _mm512_store_si512(lo, _mm512_permutex2var_epi16(a, even, b));
  _mm512_store_si512(hi, _mm512_permutex2var_epi16(a, _mm512_add_epi16(even, _mm512_set1_epi16(16)), b));
}

#endif

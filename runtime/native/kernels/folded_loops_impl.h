// The bodies of the folded loops, for the instruction set of the including file, which defines LERG_LANES. The rules
// of loops_impl.h hold: no inline function with external linkage, no standard header but <cstdint>.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "folded_loops.h"

namespace lerg {
namespace {

typedef float Vector __attribute__((vector_size(LERG_LANES * 4), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
inline Vector broadcast(float value) { return value - Vector{}; }

inline Vector fused(Vector a, Vector b, Vector sum) {
#if LERG_LANES == 16
  return _mm512_fmadd_ps(a, b, sum);
#elif LERG_LANES == 8
  return _mm256_fmadd_ps(a, b, sum);
#elif defined(__aarch64__)
  return vfmaq_f32(sum, a, b);
#else
  return sum + a * b;
#endif
}

// Integers of the table as floats, one vector of them.
inline Vector widen(const int8_t* from) {
#if LERG_LANES == 16
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif LERG_LANES == 8
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#elif defined(__aarch64__)
  const int8x8_t bytes = vcreate_s8(*reinterpret_cast<const uint32_t __attribute__((aligned(1), may_alias))*>(from));
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))));
#else
  Vector wide;
  for (int lane = 0; lane < LERG_LANES; ++lane) wide[lane] = from[lane];
  return wide;
#endif
}

inline Vector widen(const int16_t* from) {
#if LERG_LANES == 16
  return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
#elif LERG_LANES == 8
  return _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif defined(__aarch64__)
  return vcvtq_f32_s32(vmovl_s16(vld1_s16(from)));
#else
  Vector wide;
  for (int lane = 0; lane < LERG_LANES; ++lane) wide[lane] = from[lane];
  return wide;
#endif
}

// Adding 1.5 * 2^23 leaves no bits for a fraction: rounds to nearest, halves to even, magnitudes below 2^22.
template <class Cell>
bool quantise(const QuantiseArgs& args) {
  constexpr float kShift = 12582912.0f;
  Cell* cells = static_cast<Cell*>(args.cells);
  int32_t wrong = 0;
  for (int64_t j = 0; j < args.count; ++j) {
    float value = args.weights[j] / args.step;
    wrong |= value != value;
    value = value == value ? value : 0.0f;
    value = value < args.lowest ? args.lowest : value;
    value = value > args.highest ? args.highest : value;
    cells[j] = static_cast<Cell>(static_cast<int32_t>((value + kShift) - kShift));
  }
  return wrong == 0;
}

template <class Index, class Cell, int kVectors>
inline void fold_columns(const FoldArgs& args, int64_t first) {
  const Index* codes = static_cast<const Index*>(args.codes);
  const Cell* table = static_cast<const Cell*>(args.table) + first;
  Vector sums[kVectors];
  for (int k = 0; k < kVectors; ++k) sums[k] = Vector{};
  for (int32_t j = 0; j < args.entries; ++j) {
    const int64_t code = codes[j];
    const Cell* row = table + code * args.stride;
    const float weight = static_cast<float>(args.weights[j]);
    const Vector factor = broadcast(args.steps == nullptr ? weight : weight * args.steps[code]);
    for (int k = 0; k < kVectors; ++k) sums[k] = fused(widen(row + k * LERG_LANES), factor, sums[k]);
  }
  for (int k = 0; k < kVectors; ++k) store(args.out + first + k * LERG_LANES, sums[k] * args.factor);
}

template <class Index, class Cell>
void fold(const FoldArgs& args) {
  constexpr int kWide = 8;  // vectors of sums, which stay in registers
  constexpr int kNarrow = kFoldColumns / LERG_LANES;
  int64_t first = 0;
  for (; first + kWide * LERG_LANES <= args.columns; first += kWide * LERG_LANES)
    fold_columns<Index, Cell, kWide>(args, first);
  for (; first < args.columns; first += kFoldColumns) fold_columns<Index, Cell, kNarrow>(args, first);
}

template <class Index>
void unfold(const UnfoldArgs& args) {
  constexpr int kVectors = kFoldColumns / LERG_LANES;
  const Index* codes = static_cast<const Index*>(args.codes);
  Vector row[kVectors];
  for (int k = 0; k < kVectors; ++k) row[k] = load(args.row + k * LERG_LANES) * args.factor;
  for (int32_t j = 0; j < args.entries; ++j) {
    float* target = args.target + int64_t(codes[j]) * kFoldColumns;
    const Vector weight = broadcast(static_cast<float>(args.weights[j]));
    for (int k = 0; k < kVectors; ++k) {
      float* place = target + k * LERG_LANES;
      store(place, fused(row[k], weight, load(place)));
    }
  }
}

float dot(const float* first, const float* second, int64_t count) {
  Vector sums[2] = {Vector{}, Vector{}};
  int64_t j = 0;
  for (; j + 2 * LERG_LANES <= count; j += 2 * LERG_LANES) {
    sums[0] = fused(load(first + j), load(second + j), sums[0]);
    sums[1] = fused(load(first + j + LERG_LANES), load(second + j + LERG_LANES), sums[1]);
  }
  float total = 0;
  for (; j < count; ++j) total += first[j] * second[j];
  const Vector sum = sums[0] + sums[1];
  for (int lane = 0; lane < LERG_LANES; ++lane) total += sum[lane];
  return total;
}

}  // namespace

#define LERG_FOLDED_LOOPS                                                                            \
  {                                                                                                  \
    {quantise<int8_t>, quantise<int16_t>},                                                           \
        {{fold<uint8_t, int8_t>, fold<uint8_t, int16_t>},                                            \
         {fold<uint16_t, int8_t>, fold<uint16_t, int16_t>},                                          \
         {fold<int32_t, int8_t>, fold<int32_t, int16_t>}},                                           \
        {unfold<uint8_t>, unfold<uint16_t>, unfold<int32_t>}, dot,                                   \
  }

}  // namespace lerg

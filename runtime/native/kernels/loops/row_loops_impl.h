// The bodies of the row loops, for the instruction set of the including file, which defines LERG_LANES, and LERG_VNNI
// where there are dot products of bytes. The rules of loops_impl.h hold: no inline function with external linkage, no
// standard header but <cstdint>. No product is fused with a sum but by `fused`: the build sees to that.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "kernels/loops/row_loops.h"

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
inline float round_even(float value) {
  constexpr float kShift = 12582912.0f;
  return (value + kShift) - kShift;
}

// Written so that a NaN stays one.
inline float clip(float value, float lowest, float highest) {
  value = value < lowest ? lowest : value;
  return value > highest ? highest : value;
}

typedef int32_t Lanes __attribute__((vector_size(LERG_LANES * 4)));

template <class Cell>
bool quantise(const QuantiseArgs& args) {
  typedef Cell Cells __attribute__((vector_size(LERG_LANES * sizeof(Cell)), aligned(sizeof(Cell)), may_alias));
  Cell* cells = static_cast<Cell*>(args.cells);
  const Vector lowest = broadcast(args.lowest), highest = broadcast(args.highest), shift = broadcast(12582912.0f);
  const Cell flip = sizeof(Cell) == 1 ? static_cast<Cell>(args.flip) : Cell(0);
  Lanes wrong = {};
  int64_t j = 0;
  for (; j + LERG_LANES <= args.count; j += LERG_LANES) {
    Vector value = load(args.weights + j) / args.step;
    wrong |= value != value;
    value = value < lowest ? lowest : value;
    value = value > highest ? highest : value;
    value = (value + shift) - shift;
    const Cells narrow = __builtin_convertvector(__builtin_convertvector(value, Lanes), Cells);
    *reinterpret_cast<Cells*>(cells + j) = narrow ^ flip;
  }
  int32_t any = 0;
  for (int lane = 0; lane < LERG_LANES; ++lane) any |= wrong[lane];
  for (; j < args.count; ++j) {
    const float value = args.weights[j] / args.step;
    any |= value != value;
    const float rounded = round_even(clip(value == value ? value : 0.0f, args.lowest, args.highest));
    cells[j] = static_cast<Cell>(static_cast<Cell>(static_cast<int32_t>(rounded)) ^ flip);
  }
  return any == 0;
}

void fake_quantise(const QuantiseArgs& args) {
  float* cells = static_cast<float*>(args.cells);
  for (int64_t j = 0; j < args.count; ++j)
    cells[j] = round_even(clip(args.weights[j] / args.step, args.lowest, args.highest)) * args.step;
}

void slope_by_weight(const SlopeArgs& args) {
  for (int64_t j = 0; j < args.count; ++j) {
    const float ratio = args.weights[j] / args.step;
    const float passed = args.grad[j];  // read in either case, so that the choice is a vector select
    args.out[j] = clip(ratio, args.lowest, args.highest) == ratio ? passed : 0.0f;
  }
}

double slope_by_step(const SlopeArgs& args) {
  constexpr int kLanes = 16;  // independent sums, the same on every instruction set
  float sums[kLanes] = {0};
  const auto term = [&](int64_t j) {
    const float ratio = args.weights[j] / args.step;
    const float clipped = clip(ratio, args.lowest, args.highest);
    return args.grad[j] * (ratio == clipped ? round_even(clipped) - ratio : clipped);
  };
  int64_t j = 0;
  for (; j + kLanes <= args.count; j += kLanes)
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += term(j + lane);
  double total = 0;
  for (; j < args.count; ++j) total += term(j);
  for (int lane = 0; lane < kLanes; ++lane) total += sums[lane];
  return total;
}

void adam(const AdamArgs& args) {
  for (int64_t i = 0; i < args.count; ++i) {
    const float g = args.gradient[i] + args.decay * args.parameter[i];
    args.first[i] = args.beta1 * args.first[i] + args.rest1 * g;
    args.second[i] = args.beta2 * args.second[i] + args.rest2 * g * g;
    args.parameter[i] -= args.rate * args.first[i] / (__builtin_sqrtf(args.second[i]) * args.root + args.eps);
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
}  // namespace lerg

#include "kernels/folding/fold_impl.h"

namespace lerg {

#ifdef LERG_VNNI
#define LERG_FLIP 0x80
#else
#define LERG_FLIP 0
#endif

#define LERG_ROW_LOOPS                                                                                         \
  {                                                                                                            \
    {quantise<int8_t>, quantise<int16_t>},                                                                     \
        {{fold_int8<uint8_t>, fold<uint8_t, int16_t>},                                                         \
         {fold_int8<uint16_t>, fold<uint16_t, int16_t>},                                                       \
         {fold_int8<int32_t>, fold<int32_t, int16_t>}},                                                        \
        {unfold<uint8_t>, unfold<uint16_t>, unfold<int32_t>}, dot, fake_quantise, slope_by_weight,             \
        slope_by_step, adam, LERG_FLIP,                                                                        \
  }

}  // namespace lerg

// The bodies of the row loops, for the instruction set of the including file, which defines LERG_LANES, and LERG_VNNI
// where there are dot products of bytes. The rules of loops_impl.h hold: no inline function with external linkage, no
// standard header but <cstdint>. No product is fused with a sum but by `fused`: the build sees to that.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "row_loops.h"

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

void pairwise(const PairwiseArgs& args) {
  for (int64_t x = 0; x < args.dim; ++x) {
    const float u = args.rows[0][x], p = args.rows[1][x], n = args.rows[2][x];
    args.grads[0][x] = args.slope * (n - p) + args.decay * u;
    args.grads[1][x] = args.decay * p - args.slope * u;
    args.grads[2][x] = args.decay * n + args.slope * u;
  }
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
  constexpr int kStep = kWide * LERG_LANES < kFoldColumns ? kWide * LERG_LANES : kFoldColumns;
  int64_t first = 0;
  if (kWide * LERG_LANES > kFoldColumns)
    for (; first + kWide * LERG_LANES <= args.columns; first += kWide * LERG_LANES)
      fold_columns<Index, Cell, kWide>(args, first);
  for (; first < args.columns; first += kStep) fold_columns<Index, Cell, kStep / LERG_LANES>(args, first);
}

#ifdef LERG_VNNI
// 64 columns as four vectors of int32; vector t holds, in its quarter q, columns 16 q + 4 t to 16 q + 4 t + 3.
struct Sums {
  __m512i part[4];
};

// Adds four entries: their bytes of one column come together in one lane, whose four products are summed at once.
inline void add_four(Sums& sums, const uint8_t* const rows[4], int64_t column, __m512i weights) {
  const __m512i a = _mm512_loadu_si512(rows[0] + column), b = _mm512_loadu_si512(rows[1] + column);
  const __m512i c = _mm512_loadu_si512(rows[2] + column), d = _mm512_loadu_si512(rows[3] + column);
  const __m512i low_ab = _mm512_unpacklo_epi8(a, b), high_ab = _mm512_unpackhi_epi8(a, b);
  const __m512i low_cd = _mm512_unpacklo_epi8(c, d), high_cd = _mm512_unpackhi_epi8(c, d);
  sums.part[0] = _mm512_dpbusd_epi32(sums.part[0], _mm512_unpacklo_epi16(low_ab, low_cd), weights);
  sums.part[1] = _mm512_dpbusd_epi32(sums.part[1], _mm512_unpackhi_epi16(low_ab, low_cd), weights);
  sums.part[2] = _mm512_dpbusd_epi32(sums.part[2], _mm512_unpacklo_epi16(high_ab, high_cd), weights);
  sums.part[3] = _mm512_dpbusd_epi32(sums.part[3], _mm512_unpackhi_epi16(high_ab, high_cd), weights);
}

inline void write_sums(const Sums& sums, float factor, float* out) {
  // A transposition of four by four quarters puts the columns in order.
  const __m512i ab_low = _mm512_shuffle_i32x4(sums.part[0], sums.part[1], 0x44);
  const __m512i ab_high = _mm512_shuffle_i32x4(sums.part[0], sums.part[1], 0xee);
  const __m512i cd_low = _mm512_shuffle_i32x4(sums.part[2], sums.part[3], 0x44);
  const __m512i cd_high = _mm512_shuffle_i32x4(sums.part[2], sums.part[3], 0xee);
  const __m512i rows[4] = {
      _mm512_shuffle_i32x4(ab_low, cd_low, 0x88), _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd),
      _mm512_shuffle_i32x4(ab_high, cd_high, 0x88), _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd)};
  for (int q = 0; q < 4; ++q)
    _mm512_storeu_ps(out + 16 * q, _mm512_mul_ps(_mm512_cvtepi32_ps(rows[q]), _mm512_set1_ps(factor)));
}

// kBlocks blocks of 64 columns. The table's bytes are 128 too high; the sums start 128 times the weights too low.
template <class Index, int kBlocks>
inline void fold_bytes(const FoldArgs& args, int64_t first) {
  const Index* codes = static_cast<const Index*>(args.codes);
  const uint8_t* table = static_cast<const uint8_t*>(args.table) + first;
  int32_t total = 0;
  for (int32_t j = 0; j < args.entries; ++j) total += args.weights[j];
  Sums sums[kBlocks];
  for (int block = 0; block < kBlocks; ++block)
    for (int t = 0; t < 4; ++t) sums[block].part[t] = _mm512_set1_epi32(-128 * total);
  for (int32_t j = 0; j < args.entries; j += 4) {
    const uint8_t* rows[4];
    uint32_t packed = 0;  // a missing entry is the first one again, with weight 0
    for (int e = 0; e < 4; ++e) {
      const bool there = j + e < args.entries;
      rows[e] = table + int64_t(codes[there ? j + e : j]) * args.stride;
      if (there) packed |= uint32_t(uint8_t(args.weights[j + e])) << (8 * e);
    }
    const __m512i weights = _mm512_set1_epi32(static_cast<int32_t>(packed));
    for (int block = 0; block < kBlocks; ++block) add_four(sums[block], rows, 64 * block, weights);
  }
  for (int block = 0; block < kBlocks; ++block) write_sums(sums[block], args.factor, args.out + first + 64 * block);
}

template <class Index>
void fold_int8(const FoldArgs& args) {
  if (args.steps != nullptr) return fold<Index, int8_t>(args);
  int64_t first = 0;
  for (; first + 128 <= args.columns; first += 128) fold_bytes<Index, 2>(args, first);
  for (; first < args.columns; first += 64) fold_bytes<Index, 1>(args, first);
}
#else
template <class Index>
void fold_int8(const FoldArgs& args) {
  fold<Index, int8_t>(args);
}
#endif

// The columns past the last whole block, one at a time.
template <class Index>
void unfold_narrow(const UnfoldArgs& args) {
  const Index* codes = static_cast<const Index*>(args.codes);
  for (int64_t i = 0; i < args.count; ++i) {
    if (args.rows[i] < 0) continue;
    const int64_t first = int64_t(args.rows[i]) * args.per_row;
    for (int64_t j = first; j < first + args.per_row; ++j) {
      const float factor = args.factors[i] * static_cast<float>(args.weights[j]);
      float* target = args.target + int64_t(codes[j]) * args.stride;
      for (int32_t x = 0; x < args.columns; ++x) target[x] += factor * args.grads[i * args.stride + x];
    }
  }
}

// Everything is in locals: what is stored may alias the arguments, for all that the compiler knows.
template <class Index, int kVectors>
void unfold_block(const UnfoldArgs& args) {
  const Index* codes = static_cast<const Index*>(args.codes);
  const int8_t* weights = args.weights;
  const int32_t* rows = args.rows;
  const float *factors = args.factors, *grads = args.grads;
  float* target = args.target;
  const int64_t count = args.count, stride = args.stride;
  const int32_t per_row = args.per_row;
  for (int64_t i = 0; i < count; ++i) {
    if (rows[i] < 0) continue;
    Vector grad[kVectors];
    for (int k = 0; k < kVectors; ++k) grad[k] = load(grads + i * stride + k * LERG_LANES) * factors[i];
    const Index* own = codes + int64_t(rows[i]) * per_row;
    const int8_t* own_weights = weights + int64_t(rows[i]) * per_row;
    for (int32_t j = 0; j < per_row; ++j) {
      float* place = target + int64_t(own[j]) * stride;
      const Vector weight = broadcast(static_cast<float>(own_weights[j]));
      for (int k = 0; k < kVectors; ++k)
        store(place + k * LERG_LANES, fused(grad[k], weight, load(place + k * LERG_LANES)));
    }
  }
}

template <class Index>
void unfold(const UnfoldArgs& args) {
  if (args.columns == 2 * kUnfoldColumns) return unfold_block<Index, 2 * kUnfoldColumns / LERG_LANES>(args);
  if (args.columns == kUnfoldColumns) return unfold_block<Index, kUnfoldColumns / LERG_LANES>(args);
  unfold_narrow<Index>(args);
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
        {unfold<uint8_t>, unfold<uint16_t>, unfold<int32_t>}, dot, pairwise, fake_quantise, slope_by_weight,   \
        slope_by_step, adam, LERG_FLIP,                                                                        \
  }

}  // namespace lerg

// The bodies of the loops, for the instruction set of the including file, which defines LERG_LANES (floats in
// a vector). Nothing here may be an inline function with external
// linkage, from the standard library or elsewhere: the linker could keep the copy with the widest instructions
// for everybody. Hence the unnamed namespace and no standard header but <cstdint>, through loops.h.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "loops.h"

namespace lerg {
namespace {

typedef float Vector __attribute__((vector_size(LERG_LANES * 4), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }
inline Vector broadcast(float value) { return value - Vector{}; }  // x - 0 is x, 0 + x is not for -0

// One rounding per term where the set has a fused multiply-add; named so that every score is rounded alike.
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

// A row of W columns held in registers.
template <int W>
struct Row {
  static constexpr int kVectors = W / LERG_LANES;
  Vector part[kVectors];

  static Row zero() {
    Row row;
    for (int k = 0; k < kVectors; ++k) row.part[k] = Vector{};
    return row;
  }
  static Row at(const float* table, int64_t index) {
    Row row;
    for (int k = 0; k < kVectors; ++k) row.part[k] = load(table + index * W + k * LERG_LANES);
    return row;
  }
  void write(float* table, int64_t index) const {
    for (int k = 0; k < kVectors; ++k) store(table + index * W + k * LERG_LANES, part[k]);
  }
  Row& operator+=(const Row& other) {
    for (int k = 0; k < kVectors; ++k) part[k] += other.part[k];
    return *this;
  }
  Row times(float factor) const {
    Row row;
    for (int k = 0; k < kVectors; ++k) row.part[k] = part[k] * factor;
    return row;
  }
  void add_times(const Row& other, float factor) {
    for (int k = 0; k < kVectors; ++k) part[k] = fused(other.part[k], broadcast(factor), part[k]);
  }
};

inline int32_t row_of(const RowRange& range, int32_t place) {
  return range.listed != nullptr ? range.listed[place] : place;
}

inline bool skipped(const RowRange& range, int32_t row) {
  return range.hops != nullptr && range.hops[row] > range.level;
}

template <class Index, int W>
void compose(const ComposeArgs& args, const RowRange& range) {
  const Index* codes = static_cast<const Index*>(args.codes);
  for (int32_t place = range.begin; place < range.end; ++place) {
    const int32_t v = row_of(range, place);
    if (skipped(range, v)) continue;
    const Index* own = codes + int64_t(v) * args.per_row;
    Row<W> sum = Row<W>::at(args.codebook, own[0]).times(args.anchor);
    for (int32_t j = 1; j < args.per_row; ++j) sum.add_times(Row<W>::at(args.codebook, own[j]), args.other);
    if (args.scale != nullptr) sum = sum.times(args.scale[v]);
    sum.write(args.target, place);
  }
}

template <class Index, int W>
void gather(const GatherArgs& args, const RowRange& range) {
  const Index* indices = static_cast<const Index*>(args.indices);
  for (int32_t place = range.begin; place < range.end; ++place) {
    const int32_t v = row_of(range, place);
    if (skipped(range, v)) {
      if (!args.add) Row<W>::zero().write(args.target, place);
      continue;
    }
    Row<W> sum = Row<W>::zero();
    for (int32_t e = args.indptr[v]; e < args.indptr[v + 1]; ++e) sum += Row<W>::at(args.source, indices[e]);
    const float scale = args.scale[v];
    Row<W> result = args.add ? Row<W>::at(args.target, place) : Row<W>::zero();
    result.add_times(sum, args.squared ? scale * scale : scale);
    result.write(args.target, place);
  }
}

template <class Index, int W>
void push(const PushArgs& args, int32_t begin, int32_t end) {
  const Index* indices = static_cast<const Index*>(args.indices);
  for (int32_t v = begin; v < end; ++v) Row<W>::zero().write(args.target, v);
  for (int32_t i = 0; i < args.count; ++i) {
    const Row<W> row = Row<W>::at(args.source, i).times(args.source_scale[args.listed[i]]);
    const int32_t last = args.ends[int64_t(i) * args.stride];
    for (int32_t e = args.starts[int64_t(i) * args.stride]; e < last; ++e) {
      Row<W> sum = Row<W>::at(args.target, indices[e]);
      sum += row;
      sum.write(args.target, indices[e]);
    }
  }
  for (int32_t v = begin; v < end; ++v) {
    const float scale = args.target_scale[v];
    Row<W>::at(args.target, v).times(scale * scale).write(args.target, v);
  }
}

template <class Index, int W>
void scatter_codes(const ScatterCodesArgs& args) {
  const Index* codes = static_cast<const Index*>(args.codes);
  for (int32_t i = 0; i < args.count; ++i) {
    const int32_t u = args.listed[i];
    const Row<W> row = Row<W>::at(args.rows, i);
    for (int32_t j = 0; j < args.per_row; ++j) {
      const Index code = codes[int64_t(u) * args.per_row + j];
      Row<W> sum = Row<W>::at(args.codebook, code);
      sum.add_times(row, j == 0 ? args.anchor : args.other);
      sum.write(args.codebook, code);
    }
  }
}

template <class Index, int W>
void collect(const CollectArgs& args) {
  const Index* entities = static_cast<const Index*>(args.entities);
  for (int32_t k = args.begin; k < args.end; ++k) {
    Row<W> sum = Row<W>::zero();
    for (int32_t e = args.indptr[k]; e < args.indptr[k + 1]; ++e)
      sum.add_times(Row<W>::at(args.rows, entities[e]), args.scale[entities[e]]);
    Row<W> total = Row<W>::at(args.codebook, k);
    total.add_times(sum, args.weight);
    total.write(args.codebook, k);
  }
}

}  // namespace

#define LERG_EACH_TYPE(loop)                              \
  {                                                       \
    {loop<uint8_t, 16>, loop<uint8_t, 32>},               \
        {loop<uint16_t, 16>, loop<uint16_t, 32>},         \
        {loop<int32_t, 16>, loop<int32_t, 32>},           \
  }

}  // namespace lerg

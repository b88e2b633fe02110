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

#include "kernels/loops/loops.h"

namespace lerg {
namespace {

typedef float Vector __attribute__((vector_size(LERG_LANES * 4), aligned(4), may_alias));

}  // namespace
}  // namespace lerg

#include "kernels/loops/half.h"

namespace lerg {
namespace {

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
  template <class Cell>
  static Row at(const Cell* table, int64_t index) {
    Row row;
    for (int k = 0; k < kVectors; ++k) row.part[k] = load(table + index * W + k * LERG_LANES);
    return row;
  }
  template <class Cell>
  void write(Cell* table, int64_t index) const {
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

// Rows are gathered from tables that pass the second-level cache, in an order that no processor foresees: they are asked
// for so many indices before they are needed, past the end of one list and into the next.
constexpr int32_t kAhead = 16;

template <int W, class Cell>
inline void ask_for(const Cell* table, int64_t index) {
  const char* row = reinterpret_cast<const char*>(table + index * W);
  for (int line = 0; line < int(W * sizeof(Cell)); line += 64) __builtin_prefetch(row + line);
}

inline int32_t row_of(const RowRange& range, int32_t place) {
  return range.listed != nullptr ? range.listed[place] : place;
}

inline bool skipped(const RowRange& range, int32_t row) {
  return range.hops != nullptr && range.hops[row] > range.level;
}

template <class Target, class Index, int W>
void compose(const ComposeArgs& args, const RowRange& range) {
  const Index* codes = static_cast<const Index*>(args.codes);
  Target* target = static_cast<Target*>(args.target);
  for (int32_t place = range.begin; place < range.end; ++place) {
    const int32_t v = row_of(range, place);
    if (skipped(range, v)) continue;
    const Index* own = codes + int64_t(v) * args.per_row;
    Row<W> sum = Row<W>::at(args.codebook, own[0]).times(args.anchor);
    for (int32_t j = 1; j < args.per_row; ++j) sum.add_times(Row<W>::at(args.codebook, own[j]), args.other);
    if (args.scale != nullptr) sum = sum.times(args.scale[v]);
    sum.write(target, place - range.first);
  }
}

template <class Source, class Target, class Index, int W>
void gather(const GatherArgs& args, const RowRange& range) {
  const Index* indices = static_cast<const Index*>(args.indices);
  const Source* source = static_cast<const Source*>(args.source);
  Target* target = static_cast<Target*>(args.target);
  const bool listed = range.listed != nullptr;  // where lists do not follow one another, the end of each is the last
  const int32_t end_of_all = listed ? 0 : args.indptr[range.end];
  for (int32_t place = range.begin; place < range.end; ++place) {
    const int32_t v = row_of(range, place);
    const int32_t last = (listed ? args.indptr[v + 1] : end_of_all) - 1;
    if (skipped(range, v)) {
      if (!args.add) Row<W>::zero().write(target, place - range.first);
      continue;
    }
    Row<W> sum = Row<W>::zero();
    for (int32_t e = args.indptr[v]; e < args.indptr[v + 1]; ++e) {
      ask_for<W>(source, indices[last - e > kAhead ? e + kAhead : last]);
      sum += Row<W>::at(source, indices[e]);
    }
    const float scale = args.scale[v];
    Row<W> result = args.add ? Row<W>::at(target, place - range.first) : Row<W>::zero();
    result.add_times(sum, args.squared ? scale * scale : scale);
    result.write(target, place - range.first);
  }
}

template <class Target, class Index, int W>
void push(const PushArgs& args, int32_t begin, int32_t end) {
  const Index* indices = static_cast<const Index*>(args.indices);
  Target* target = static_cast<Target*>(args.target);
  // Sums grow as floats: in the target itself, or a few rows at a time beside it.
  constexpr bool kBeside = sizeof(Target) < sizeof(float);
  for (int32_t i = 0; kBeside && i < args.count; ++i) args.cursors[i] = args.starts[int64_t(i) * args.stride];
  const int32_t step = kBeside ? kPushRows : end - begin;
  for (int32_t first = begin; first < end; first += step) {
    const int32_t limit = end - first < step ? end : first + step;
    float* sums = kBeside ? args.sums : reinterpret_cast<float*>(target) + int64_t(first) * W;
    for (int32_t v = first; v < limit; ++v) Row<W>::zero().write(sums, v - first);
    for (int32_t i = 0; i < args.count; ++i) {
      const int32_t last = args.ends[int64_t(i) * args.stride];
      int32_t e = kBeside ? args.cursors[i] : args.starts[int64_t(i) * args.stride];
      if (e == last || static_cast<int32_t>(indices[e]) >= limit) continue;
      const Row<W> row = Row<W>::at(args.source, i).times(args.source_scale[args.listed[i]]);
      for (; e < last && (!kBeside || static_cast<int32_t>(indices[e]) < limit); ++e) {
        if (!kBeside) ask_for<W>(sums, indices[last - e > kAhead ? e + kAhead : last - 1] - int64_t(first));
        Row<W> sum = Row<W>::at(sums, indices[e] - first);
        sum += row;
        sum.write(sums, indices[e] - first);
      }
      if (kBeside) args.cursors[i] = e;
    }
    for (int32_t v = first; v < limit; ++v) {
      const float scale = args.target_scale[v];
      Row<W>::at(sums, v - first).times(scale * scale).write(target, v);
    }
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

template <class Cell, class Index, int W>
void collect(const CollectArgs& args) {
  const Index* entities = static_cast<const Index*>(args.entities);
  const Cell* rows = static_cast<const Cell*>(args.rows);
  const int32_t last = args.indptr[args.end] - 1;
  for (int32_t k = args.begin; k < args.end; ++k) {
    Row<W> sum = Row<W>::zero();
    for (int32_t e = args.indptr[k]; e < args.indptr[k + 1]; ++e) {
      ask_for<W>(rows, entities[last - e > kAhead ? e + kAhead : last]);
      sum.add_times(Row<W>::at(rows, entities[e]), args.scale[entities[e]]);
    }
    Row<W> total = Row<W>::at(args.codebook, k);
    total.add_times(sum, args.weight);
    total.write(args.codebook, k);
  }
}

}  // namespace

#define LERG_EACH_TYPE(...)                                                       \
  {                                                                               \
    {__VA_ARGS__ uint8_t, 16>, __VA_ARGS__ uint8_t, 32>},                         \
        {__VA_ARGS__ uint16_t, 16>, __VA_ARGS__ uint16_t, 32>},                   \
        {__VA_ARGS__ int32_t, 16>, __VA_ARGS__ int32_t, 32>},                     \
  }

// The part of a table of Loops that is about propagation.
#define LERG_PROPAGATION_LOOPS                                                                      \
  {LERG_EACH_TYPE(compose<float,), LERG_EACH_TYPE(compose<Half,)},                                  \
      {{LERG_EACH_TYPE(gather<float, float,), LERG_EACH_TYPE(gather<float, Half,)},                 \
       {LERG_EACH_TYPE(gather<Half, float,), LERG_EACH_TYPE(gather<Half, Half,)}},                  \
      {LERG_EACH_TYPE(push<float,), LERG_EACH_TYPE(push<Half,)}, LERG_EACH_TYPE(scatter_codes<),    \
      {LERG_EACH_TYPE(collect<float,), LERG_EACH_TYPE(collect<Half,)}

}  // namespace lerg

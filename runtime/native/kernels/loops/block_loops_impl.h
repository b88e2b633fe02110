// The bodies of the loops over blocks; what loops_impl.h says of itself holds here too.
#pragma once

#include "kernels/loops/block_loops.h"
#include "kernels/loops/loops_impl.h"

namespace lerg {
namespace {

// A table's columns are taken in granules of G, the largest of 8, 4 and 1 that divides a block: none spans two blocks,
// wherever the table begins. Past the last block there is padding, which any code has.
template <int W, int G>
struct Granules {
  static constexpr int kCount = W / G;
  int32_t code[kCount];  // which of an entity's codes

  explicit Granules(const BlockCut& cut) {
    for (int i = 0; i < kCount; ++i) {
      const int64_t block = (cut.first + i * G) / cut.width;
      code[i] = block < cut.per_row ? static_cast<int32_t>(block) : cut.per_row - 1;
    }
  }
};

template <class Target, class Index, int W, int G>
void compose_granules(const ComposeBlocksArgs& args, const RowRange& range) {
  const Granules<W, G> granules(args.cut);
  const Index* codes = static_cast<const Index*>(args.codes);
  Target* target = static_cast<Target*>(args.target);
  for (int32_t place = range.begin; place < range.end; ++place) {
    const int32_t v = row_of(range, place);
    if (skipped(range, v)) continue;
    const Index* own = codes + int64_t(v) * args.cut.per_row;
    alignas(64) float cells[W];
    for (int i = 0; i < granules.kCount; ++i) {
      const float* from = args.codebook + int64_t(own[granules.code[i]]) * W + i * G;
      for (int k = 0; k < G; ++k) cells[i * G + k] = from[k];
    }
    Row<W> row = Row<W>::at(cells, 0);
    if (args.scale != nullptr) row = row.times(args.scale[v]);
    row.write(target, place - range.first);
  }
}

template <class Cell, class Index, int W, int G>
void scatter_granules(const ScatterBlocksArgs& args) {
  const Granules<W, G> granules(args.cut);
  const Index* codes = static_cast<const Index*>(args.codes);
  const Cell* rows = static_cast<const Cell*>(args.rows);
  for (int32_t i = 0; i < args.count; ++i) {
    const int32_t u = args.listed != nullptr ? args.listed[i] : i;
    const Index* own = codes + int64_t(u) * args.cut.per_row;
    Row<W> row = Row<W>::at(rows, i);
    if (args.scale != nullptr) row = row.times(args.scale[u]);
    alignas(64) float cells[W];
    row.write(cells, 0);
    for (int g = 0; g < granules.kCount; ++g) {
      float* to = args.codebook + int64_t(own[granules.code[g]]) * W + g * G;
      for (int k = 0; k < G; ++k) to[k] += cells[g * G + k];
    }
  }
}

template <class Target, class Index, int W>
void compose_blocks(const ComposeBlocksArgs& args, const RowRange& range) {
  if (args.cut.width % 8 == 0) compose_granules<Target, Index, W, 8>(args, range);
  else if (args.cut.width % 4 == 0) compose_granules<Target, Index, W, 4>(args, range);
  else compose_granules<Target, Index, W, 1>(args, range);
}

template <class Cell, class Index, int W>
void scatter_blocks(const ScatterBlocksArgs& args) {
  if (args.cut.width % 8 == 0) scatter_granules<Cell, Index, W, 8>(args);
  else if (args.cut.width % 4 == 0) scatter_granules<Cell, Index, W, 4>(args);
  else scatter_granules<Cell, Index, W, 1>(args);
}

}  // namespace

#define LERG_BLOCK_LOOPS                                                              \
  {                                                                                   \
    {LERG_EACH_TYPE(compose_blocks<float,), LERG_EACH_TYPE(compose_blocks<Half,)}, {  \
      LERG_EACH_TYPE(scatter_blocks<float,), LERG_EACH_TYPE(scatter_blocks<Half,)     \
    }                                                                                 \
  }

}  // namespace lerg

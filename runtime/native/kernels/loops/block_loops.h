// Loops over rows that are made of blocks: an entity's columns are cut into equal blocks, each of which lies in the
// codebook row of a code of its own. Compiled once for each instruction set and chosen when the library runs; see
// loops.h, whose blocks of columns are something else: what a table holds of a row, [W] floats or halves.
#pragma once

#include <cstdint>

#include "kernels/loops/loops.h"

namespace lerg {

// Which code a column of a table belongs to: column k is column `first` + k of the whole row, and code j of an entity's
// `per_row` codes gives the columns [j * width, (j + 1) * width). `first` is a multiple of 16.
struct BlockCut {
  int32_t per_row;
  int64_t width;
  int64_t first;
};

// target[v][k] = scale[v] * codebook[codes[v][j]][k], j the code of column k.
struct ComposeBlocksArgs {
  const void* codes;  // [rows, per_row]
  BlockCut cut;
  const float* codebook;  // [codes, W]
  const float* scale;     // [rows], or null for 1
  void* target;           // [rows, W] cells
};

// codebook[codes[u][j]][k] += scale[u] * rows[i][k] for i = 0 .. count - 1 in order, u = listed[i], or i where `listed`
// is null.
struct ScatterBlocksArgs {
  const void* codes;
  BlockCut cut;
  const int32_t* listed;
  int32_t count;
  const void* rows;    // [count, W] cells
  const float* scale;  // or null for 1
  float* codebook;
};

struct BlockLoops {
  // By the cells of the target, or of the rows.
  void (*compose[kCellTypes][kIndexTypes][kBlockWidths])(const ComposeBlocksArgs&, const RowRange&);
  void (*scatter[kCellTypes][kIndexTypes][kBlockWidths])(const ScatterBlocksArgs&);
};

extern const BlockLoops kGenericBlockLoops;
#if defined(__x86_64__)
extern const BlockLoops kAvx2BlockLoops;
extern const BlockLoops kAvx512BlockLoops;
#endif

// Those of the instruction set that loops() has.
const BlockLoops& block_loops();

}  // namespace lerg

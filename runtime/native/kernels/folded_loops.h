// The arithmetic loops of folded propagation, compiled once for each instruction set; see loops.h.
//
// The codebook is held as integers, rows padded with zeros to whole multiples of kFoldColumns, so that what a row
// gathers stays in the second-level cache. Sums of weights times integers of 8 bits are exact in float32, in any
// order, so that every instruction set gives the same rows.
#pragma once

#include <cstdint>

#include "loops.h"

namespace lerg {

constexpr int kFoldColumns = 32;

enum CellType : int { kInt8 = 0, kInt16 = 1 };
constexpr int kCellTypes = 2;

// cells[j] = round(clip(weights[j] / step)), halves to even; returns whether every weight is a number.
struct QuantiseArgs {
  const float* weights;
  int64_t count;
  float step;
  float lowest;
  float highest;
  void* cells;
};

// out[x] = factor * sum over entries j of weights[j] * step(j) * table[codes[j]][x] for `columns` columns, a multiple
// of kFoldColumns; step(j) = steps[codes[j]], or 1 where `steps` is null.
struct FoldArgs {
  const void* codes;
  const int8_t* weights;
  int32_t entries;
  const void* table;
  int64_t stride;  // of a row of the table, in cells
  int64_t columns;
  const float* steps;
  float factor;
  float* out;
};

// target[codes[j]][x] += factor * weights[j] * row[x] for each entry j and kFoldColumns columns.
struct UnfoldArgs {
  const void* codes;
  const int8_t* weights;
  int32_t entries;
  float factor;
  const float* row;  // [kFoldColumns]
  float* target;     // [codes, kFoldColumns]
};

struct FoldedLoops {
  bool (*quantise[kCellTypes])(const QuantiseArgs&);
  void (*fold[kIndexTypes][kCellTypes])(const FoldArgs&);
  void (*unfold[kIndexTypes])(const UnfoldArgs&);
  // first . second over `count` floats.
  float (*dot)(const float* first, const float* second, int64_t count);
};

extern const FoldedLoops kGenericFoldedLoops;
#if defined(__x86_64__)
extern const FoldedLoops kAvx2FoldedLoops;
extern const FoldedLoops kAvx512FoldedLoops;
#endif

// The table that goes with loops() of isa.h.
const FoldedLoops& folded_loops();

}  // namespace lerg

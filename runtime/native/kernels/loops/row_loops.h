// Arithmetic loops over whole rows, for folded propagation, the quantiser and Adam. Compiled once for
// each instruction set and chosen when the library runs; see loops.h.
//
// For folding the codebook is held as integers, rows padded to whole multiples of kFoldColumns, so that what a row
// gathers stays in the second-level cache. Sums of weights times integers of 8 bits are exact in float32 and in int32,
// in any order, so that every instruction set gives the same rows.
#pragma once

#include <cstdint>

#include "kernels/loops/loops.h"

namespace lerg {

constexpr int kFoldColumns = 64;
constexpr int kUnfoldColumns = 32;

enum CodeType : int { kInt8 = 0, kInt16 = 1 };
constexpr int kCodeTypes = 2;

// cells[j] = round(clip(weights[j] / step)), halves to even; returns whether every weight is a number.
struct QuantiseArgs {
  const float* weights;
  int64_t count;
  float step;
  float lowest;
  float highest;
  void* cells;
  uint8_t flip;  // of cells of 8 bits
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

// The gradient of a batch of triples' pairwise loss towards the codebook, for a block of columns. The rows u, p and n of
// triple b are values b, batch + b and 2 batch + b; their gradients are slopes[b] times n - p, -u and u, plus decay times
// the rows themselves, and are made when they are wanted: they would fill more memory than they are worth. With g row
// i's, target[codes[r][j]] += weights[r][j] * factors[i] * g for all entries j of r = rows[i], unless r is negative;
// triple by triple, so that a sum does not depend on how the work is shared out.
struct UnfoldArgs {
  const void* codes;      // [n, per_row]
  const int8_t* weights;  // [n, per_row]
  int32_t per_row;
  const int32_t* rows;    // [3 batch]
  const float* factors;   // [3 batch]
  const float* slopes;    // [batch]
  int64_t batch;
  float decay;
  const float* values;    // [3 batch, stride]
  int64_t stride;
  int32_t columns;        // of the values, kUnfoldColumns or less; the target's others are zeros
  float* target;          // [codes, kUnfoldColumns]
};

// Derivatives of the fake-quantised weights, LSQ's equations 3 and 5, times the incoming gradient.
struct SlopeArgs {
  const float* grad;
  const float* weights;
  int64_t count;
  float step;
  float lowest;
  float highest;
  float* out;  // by weight; not written by the loop for the step
};

struct AdamArgs {
  float* parameter;
  const float* gradient;
  float* first;
  float* second;
  int64_t count;
  float rate;    // over 1 - beta1^step
  float root;    // 1 / sqrt(1 - beta2^step)
  float beta1, rest1, beta2, rest2, eps, decay;
};

struct RowLoops {
  bool (*quantise[kCodeTypes])(const QuantiseArgs&);
  void (*fold[kIndexTypes][kCodeTypes])(const FoldArgs&);
  void (*unfold[kIndexTypes])(const UnfoldArgs&);
  float (*dot)(const float* first, const float* second, int64_t count);
  void (*fake_quantise)(const QuantiseArgs&);  // cells are floats, times the step again
  void (*slope_by_weight)(const SlopeArgs&);
  double (*slope_by_step)(const SlopeArgs&);
  void (*adam)(const AdamArgs&);
  // What the cells of an 8-bit table of one step are flipped by: 0x80 where the loops take them as unsigned.
  uint8_t flip;
};

extern const RowLoops kGenericRowLoops;
#if defined(__x86_64__)
extern const RowLoops kAvx2RowLoops;
extern const RowLoops kAvx512RowLoops;
extern const RowLoops kVnniRowLoops;
#endif

// The table that goes with loops() of isa.h.
const RowLoops& row_loops();

// "vnni", "avx512", "avx2", "generic" or "neon".
__attribute__((visibility("default"))) const char* row_loops_name();

}  // namespace lerg

// The codebook as integers, which is what folded rows are summed from.
#pragma once

#include <cstdint>

#include "kernels/checks.h"
#include "kernels/loops/row_loops.h"
#include "kernels/scratch.h"

namespace lerg {

// Steps of the table's rows: one for all goes into the factor of a result, others into the sum.
struct Steps {
  const float* each = nullptr;
  float all = 1.0f;

  Steps() = default;
  explicit Steps(const Tensor& step);
  float of(int64_t row) const { return each == nullptr ? all : each[row]; }
};

// Rows are padded to whole multiples of kFoldColumns.
class IntegerTable {
 public:
  IntegerTable(int64_t rows, int64_t dim, int64_t bits, const Steps& steps);

  void lay_out(Scratch& scratch) { cells_ = scratch.take<uint8_t>(rows_ * stride_ * cell_bytes()); }

  // Quantises a latent codebook. Returns 1, or NaN when a weight is none: integers cannot say so.
  float quantise(const float* weights) const;
  // Takes over packed integers of `bits` bits.
  void unpack(const Tensor& packed) const;

  CodeType type() const { return type_; }
  const void* cells() const { return cells_; }
  int64_t rows() const { return rows_; }
  int64_t dim() const { return dim_; }
  int64_t stride() const { return stride_; }
  const Steps& steps() const { return steps_; }

 private:
  int64_t cell_bytes() const { return type_ == kInt16 ? 2 : 1; }
  template <class Body>
  void fill(const Body& body) const;

  CodeType type_;
  int64_t rows_, dim_, stride_, bits_;
  Steps steps_;
  uint8_t flip_;  // of cells of 8 bits
  uint8_t* cells_ = nullptr;
};

}  // namespace lerg

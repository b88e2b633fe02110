// The folded rows as an operator receives them, checked.
#pragma once

#include <cstdint>

#include "kernels/checks.h"
#include "kernels/graph/graph.h"
#include "kernels/loops/row_loops.h"

namespace lerg {

// The four tensors and the number that stand for folded rows in every schema: users' rows, then items'.
struct EntryTensors {
  const Tensor& codes;        // [n, k], of an index type
  const Tensor& weights;      // int8 [n, k]
  const Tensor& scales;       // uint8 [n]
  const Tensor& scale_table;  // float32 [256]
  int64_t users;
};

struct Entries {
  Integers codes;
  const int8_t* weights = nullptr;
  const uint8_t* scales = nullptr;
  const float* scale_table = nullptr;
  int64_t rows = 0, users = 0;
  int32_t per_row = 0;

  const void* codes_of(int64_t row, int32_t first = 0) const;
  const int8_t* weights_of(int64_t row) const { return weights + row * per_row; }
  float scale_of(int64_t row) const { return scale_table[scales[row]]; }
  void prefetch(int64_t row) const {
    __builtin_prefetch(codes_of(row));
    __builtin_prefetch(weights_of(row));
  }
  // Whether the codes of a row ascend and all lie in [0, count).
  bool good_codes(int64_t row, int64_t count) const;
};

// Returns null, or the sentence that says which rule is broken. Codes are checked where they are used.
const char* read_entries(const EntryTensors& tensors, Entries* entries);

// What a slot stands for: a row of the entries, or where that is negative a placeholder, -1 for the first.
inline int64_t row_of_slot(const Entries& entries, int side, int64_t slot, int64_t user_placeholders) {
  const int64_t first = side == 0 ? 0 : entries.users;
  const int64_t retained = side == 0 ? entries.users : entries.rows - entries.users;
  if (slot < retained) return first + slot;
  return -1 - (slot - retained + (side == 0 ? 0 : user_placeholders));
}

}  // namespace lerg

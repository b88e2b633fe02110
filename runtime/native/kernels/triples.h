// A batch of triples as an operator receives it, and the rows that its slots lead to.
#pragma once

#include <cstdint>

#include "kernels/folding/folded.h"
#include "kernels/scratch.h"

namespace lerg {

constexpr int kFoldParts = 64;

struct Triples {
  const int64_t* slots[3];  // users', positives' and negatives', [batch] each
  int64_t batch = 0;
  int32_t* rows = nullptr;  // [3 batch], of the entries; -1 - p for the placeholder p

  int64_t count() const { return 3 * batch; }
  void lay_out(Scratch& scratch) { rows = scratch.take<int32_t>(count()); }

  // Fills `rows`. `limit` bounds the slots of each side. False if a slot or a code of its row is not below its bound.
  bool find_rows(const Entries& entries, const int64_t (&limit)[2], int64_t user_placeholders, int64_t codes) const;
};

// Returns null, or the sentence that says which rule is broken. Slots are checked where rows are found.
const char* read_triples(const Tensor& users, const Tensor& positives, const Tensor& negatives, Triples* triples);

}  // namespace lerg

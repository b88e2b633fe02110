// The rewired graph from who touched what: the pairs whose ends are both retained, but for those that differ.
#pragma once

#include <cstdint>

#include "kernels/graph/graph.h"

namespace lerg {

// Compressed rows whose indices ascend.
struct Rows {
  const int32_t* starts = nullptr;
  Integers columns;
  int64_t count = 0;
};

// Writes the graph of `retained_users` rows into `indptr`, one more than these, and `edges` item slots into `indices`.
// A slot below the number of retained entities of its side is its entity's rank among these, in index order. `changed`
// has the pairs of slots in which the graph differs. False where the graph has more or fewer edges, or slots do not fit.
__attribute__((visibility("default"))) bool induce(const Rows& pairs, const int32_t* user_slots,
                                                   const int32_t* item_slots, int64_t items, int64_t retained_users,
                                                   int64_t retained_items, const Rows& changed, int32_t* indptr,
                                                   const Integers& indices, int64_t edges);

}  // namespace lerg

#include "kernels/triples.h"

#include <atomic>

#include "kernels/parallel.h"

namespace lerg {

bool Triples::find_rows(const Entries& entries, const int64_t (&limit)[2], int64_t user_placeholders,
                        int64_t codes) const {
  constexpr int64_t kAhead = 16;  // slots; what is far apart in memory is asked for before it is needed
  std::atomic<bool> good{true};
  run_parts(kFoldParts, count() * entries.per_row, [&](int part) {
    const int64_t first = batch * part / kFoldParts, last = batch * (part + 1) / kFoldParts;
    for (int column = 0; column < 3; ++column) {
      const int side = column == 0 ? 0 : 1;
      int32_t* own = rows + column * batch;
      for (int64_t b = first; b < last; ++b) {
        const int64_t slot = slots[column][b];
        const bool inside = slot >= 0 && slot < limit[side];
        if (!inside) good.store(false, std::memory_order_relaxed);
        own[b] = static_cast<int32_t>(inside ? row_of_slot(entries, side, slot, user_placeholders) : -1);
      }
      for (int64_t b = first; b < last; ++b) {
        if (b + kAhead < last && own[b + kAhead] >= 0) entries.prefetch(own[b + kAhead]);
        if (own[b] >= 0 && !entries.good_codes(own[b], codes)) good.store(false, std::memory_order_relaxed);
      }
    }
  });
  return good.load();
}

const char* read_triples(const Tensor& users, const Tensor& positives, const Tensor& negatives, Triples* triples) {
  const Tensor* all[3] = {&users, &positives, &negatives};
  for (int column = 0; column < 3; ++column) {
    if (!is_array(*all[column], ScalarType::Long, 1) || all[column]->size(0) != users.size(0))
      return "users, positives and negatives must be int64 vectors of one length";
    triples->slots[column] = all[column]->const_data_ptr<int64_t>();
  }
  triples->batch = users.size(0);
  return nullptr;
}

}  // namespace lerg

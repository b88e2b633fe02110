#include "kernels/graph/adjacency.h"

#include <type_traits>

namespace lerg {

bool induce(const Rows& pairs, const int32_t* user_slots, const int32_t* item_slots, int64_t items,
            int64_t retained_users, int64_t retained_items, const Rows& changed, int32_t* indptr,
            const Integers& indices, int64_t edges) {
  return with_type(pairs.columns, [&](const auto* columns) {
    return with_type(changed.columns, [&](const auto* others) {
      return with_type(indices, [&](const auto* written) {
        using Index = std::remove_cv_t<std::remove_reference_t<decltype(*written)>>;
        auto* out = const_cast<Index*>(written);
        int64_t found = 0, slot = 0;
        const auto put = [&](int32_t item) {
          if (found == edges) return false;
          out[found++] = static_cast<Index>(item);
          return true;
        };
        indptr[0] = 0;
        for (int64_t user = 0; user < pairs.count; ++user) {
          if (user_slots[user] >= retained_users) continue;
          if (user_slots[user] != slot) return false;
          int32_t other = changed.starts[slot];
          const int32_t end = changed.starts[slot + 1];
          for (int32_t e = pairs.starts[user]; e < pairs.starts[user + 1]; ++e) {
            if (columns[e] >= items) return false;
            const int32_t item = item_slots[columns[e]];
            if (item < 0 || item >= retained_items) continue;
            while (other < end && static_cast<int32_t>(others[other]) < item)
              if (!put(static_cast<int32_t>(others[other++]))) return false;
            if (other < end && static_cast<int32_t>(others[other]) == item) ++other;
            else if (!put(item)) return false;
          }
          while (other < end)
            if (!put(static_cast<int32_t>(others[other++]))) return false;
          indptr[++slot] = static_cast<int32_t>(found);
        }
        return slot == retained_users && found == edges;
      });
    });
  });
}

}  // namespace lerg

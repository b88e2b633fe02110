// Negative items for pairwise training.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lerg {

// Interactions by user: the items of user u are indices[indptr[u]] .. indices[indptr[u + 1] - 1], ascending and unique.
template <typename Pointer, typename Index>
struct TouchedItems {
  const Pointer* indptr;
  const Index* indices;
  size_t user_count;
  size_t index_count;
};

enum class SamplingError { kNone, kUser, kRow };

// out[i] = an item that users[i] has not touched, uniform over those; -1 where none is left. Draw i depends on the seed
// and i alone. Needs no rejection: the r-th untouched item is found by binary search in the user's row.
// kUser: a user index out of range; kRow: a row that leaves the indices or has more items than there are.
template <typename Pointer, typename Index>
SamplingError sample_negatives(const int32_t* users, size_t count, const TouchedItems<Pointer, Index>& touched,
                               int32_t item_count, uint64_t seed, int32_t* out);

// A table of rows of `dim` numbers, by slot; each times its element of `scales`, if there are any.
template <typename Element>
struct Rows {
  const Element* data;
  const float* scales;
  size_t count;
  size_t dim;
};

// out[i] = which of candidates[0 * count + i], candidates[1 * count + i], ... has the largest product of its item row
// with the row of users[i]; the first of equals. False, and nothing useful in out, if a slot is out of range.
template <typename Element>
bool hardest_candidates(const Rows<float>& user_rows, const Rows<Element>& item_rows, const int32_t* users, const int32_t* candidates,
                        size_t count, size_t per_user, int32_t* out);

}  // namespace lerg

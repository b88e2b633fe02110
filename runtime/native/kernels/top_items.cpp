// lerg::top_items and lerg::score_items: the K best items of each user out of the whole catalogue.
//
// Scores exist a block of items by a group of users at a time and are compared with each user's K-th best so
// far; only the few that pass it meet the seen mask and the user's shortlist. Order: score descending, ties by item
// ascending, a total order, so that neither blocks nor threads show in the result. A score that is NaN or -inf
// is no candidate.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <algorithm>
#include <limits>

#include "checks.h"
#include "isa.h"
#include "parallel.h"
#include "scratch.h"

namespace lerg {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();
constexpr int64_t kItemsPerPart = 2048;  // fewer are not worth a shortlist of their own

struct Candidate {
  float score;
  int32_t item;
};

inline bool better(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.item < b.item);
}

// At least the best `wanted` candidates offered. Room for twice as many lets selection run once for each
// `wanted` new ones instead of keeping an order at each.
struct Shortlist {
  Candidate* entries;  // [2 * wanted]
  int32_t* size;
  int32_t wanted;

  // Adds a candidate and returns the score that a later item must pass to be offered: of two equal scores the
  // earlier item wins, so the worst of the best bars its equals.
  float offer(const Candidate& candidate, float threshold) const {
    entries[(*size)++] = candidate;
    if (*size < 2 * wanted) return threshold;
    std::nth_element(entries, entries + wanted - 1, entries + *size, better);
    *size = wanted;
    return entries[wanted - 1].score;
  }

  // Leaves the best, best first; no more offers after that.
  void sort() const {
    const int32_t kept = std::min(*size, wanted);
    std::partial_sort(entries, entries + kept, entries + *size, better);
    *size = kept;
  }
};

struct Retrieval {
  const float* table;
  const int32_t* slots;
  const bool* seen;
  int64_t users, items, dim;
  int32_t wanted;
  int parts;        // of the items; each has a shortlist a user
  int64_t stride;   // users, padded to whole groups
  float* packed = nullptr;        // [dim, stride], users' rows transposed
  float* thresholds = nullptr;    // [parts, stride]
  int32_t* sizes = nullptr;       // [parts, stride]
  Candidate* entries = nullptr;   // [parts, users, 2 * wanted]

  void lay_out(Scratch& scratch) {
    packed = scratch.take<float>(dim * stride);
    thresholds = scratch.take<float>(parts * stride);
    sizes = scratch.take<int32_t>(parts * stride);
    entries = scratch.take<Candidate>(int64_t(parts) * users * 2 * wanted);
  }

  Shortlist shortlist(int part, int64_t user) const {
    return {entries + (int64_t(part) * users + user) * 2 * wanted, sizes + part * stride + user, wanted};
  }

  void start(const float* user_rows) {
    for (int64_t k = 0; k < dim; ++k)
      for (int64_t b = 0; b < stride; ++b) packed[k * stride + b] = b < users ? user_rows[b * dim + k] : 0.0f;
    std::fill(sizes, sizes + parts * stride, 0);
    // Nothing passes the threshold of a user who is not there, or who wants nothing.
    for (int part = 0; part < parts; ++part)
      for (int64_t b = 0; b < stride; ++b)
        thresholds[part * stride + b] = b < users && wanted > 0 ? kNothing : -kNothing;
  }

  // Scores one block of items for one group of users and offers those that pass.
  void scan(int part, int64_t first_user, BlockWidth group, int64_t first, int32_t count) const {
    alignas(64) float scores[kScoreItems * kMaxUserLanes];
    uint8_t hits[kScoreItems];
    const int lanes = loops().score_lanes[group];
    float* passed = thresholds + part * stride + first_user;
    loops().score[group]({packed + first_user, stride, table, dim, slots + first, count, passed, scores, hits});
    for (int32_t j = 0; j < count; ++j) {
      if (!hits[j]) continue;
      for (int lane = 0; lane < lanes; ++lane) {
        const float score = scores[j * lanes + lane];
        if (!(score > passed[lane])) continue;
        const int64_t user = first_user + lane;
        if (seen[user * items + first + j]) continue;
        passed[lane] = shortlist(part, user).offer({score, static_cast<int32_t>(first + j)}, passed[lane]);
      }
    }
  }

  void run() const {
    const int lanes = loops().score_lanes[kWide];
    const int64_t groups = (users + lanes - 1) / lanes;
    run_parts(static_cast<int>(parts * groups), users * items * dim, [&](int task) {
      const int part = task % parts;
      const int64_t first_user = task / parts * lanes;
      const BlockWidth group = users - first_user <= loops().score_lanes[kNarrow] ? kNarrow : kWide;
      const int64_t end = items * (part + 1) / parts;
      for (int64_t first = items * part / parts; first < end; first += kScoreItems)
        scan(part, first_user, group, first, static_cast<int32_t>(std::min<int64_t>(kScoreItems, end - first)));
    });
  }

  // Joins a user's shortlists and writes the items, best first, -1 after the last.
  void finish(int64_t user, int64_t* out) const {
    const Shortlist best = shortlist(0, user);
    for (int part = 1; part < parts; ++part) {
      const Shortlist other = shortlist(part, user);
      for (int32_t i = 0; i < *other.size; ++i) best.offer(other.entries[i], kNothing);
    }
    best.sort();
    for (int32_t rank = 0; rank < wanted; ++rank) out[rank] = rank < *best.size ? best.entries[rank].item : -1;
  }
};

const char* check_catalogue(const Tensor& user_rows, const Tensor& item_table, const Tensor& item_slots) {
  if (!is_floats(user_rows, 2) || !is_floats(item_table, 2) || user_rows.size(1) != item_table.size(1))
    return "user_rows and item_table must be float32 matrices of one width";
  if (!is_array(item_slots, ScalarType::Int, 1)) return "item_slots must be an int32 vector, one slot an item";
  const int32_t* slots = item_slots.const_data_ptr<int32_t>();
  uint32_t largest = 0;  // a negative slot is a large unsigned one
  for (ssize_t i = 0; i < item_slots.numel(); ++i) largest = std::max(largest, static_cast<uint32_t>(slots[i]));
  if (item_slots.numel() > 0 && int64_t(largest) >= item_table.size(0))
    return "an item slot lies outside [0, rows of item_table)";
  return nullptr;
}

}  // namespace

Tensor& top_items_out(KernelRuntimeContext& context, const Tensor& user_rows, const Tensor& item_table,
                      const Tensor& item_slots, const Tensor& seen, const Tensor& ranks, Tensor& out) {
  const char* problem = check_catalogue(user_rows, item_table, item_slots);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  const int64_t users = user_rows.size(0), items = item_slots.size(0);
  LERG_CHECK(context, is_array(seen, ScalarType::Bool, 2) && seen.size(0) == users && seen.size(1) == items, out,
             "seen must be a bool matrix, users by items");
  LERG_CHECK(context, is_array(ranks, ScalarType::Long, 1), out, "ranks must be an int64 vector, one entry a rank");
  const int64_t wanted = ranks.size(0);
  LERG_CHECK(context, resize(out, {users, wanted}), out, "out cannot hold the ranks");
  // Few users leave the threads only the items to share. Both depend on shapes alone, as does the memory.
  const int64_t most = users < kMaxUserLanes ? 4 : 2;
  Retrieval retrieval{item_table.const_data_ptr<float>(),
                      item_slots.const_data_ptr<int32_t>(),
                      seen.const_data_ptr<bool>(),
                      users,
                      items,
                      user_rows.size(1),
                      static_cast<int32_t>(wanted),
                      static_cast<int>(std::clamp<int64_t>(items / kItemsPerPart, 1, most)),
                      (users + kMaxUserLanes - 1) / kMaxUserLanes * kMaxUserLanes};
  if (!allocate_scratch(context, [&](Scratch& scratch) { retrieval.lay_out(scratch); })) return out;
  retrieval.start(user_rows.const_data_ptr<float>());
  retrieval.run();
  int64_t* result = out.mutable_data_ptr<int64_t>();
  for (int64_t user = 0; user < users; ++user) retrieval.finish(user, result + user * wanted);
  return out;
}

Tensor& score_items_out(KernelRuntimeContext& context, const Tensor& user_rows, const Tensor& item_table,
                        const Tensor& item_slots, const Tensor& items, Tensor& out) {
  const char* problem = check_catalogue(user_rows, item_table, item_slots);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  const int64_t users = user_rows.size(0), wanted = items.dim() == 2 ? items.size(1) : 0;
  LERG_CHECK(context, is_array(items, ScalarType::Long, 2) && items.size(0) == users, out,
             "items must be an int64 matrix, one row a user");
  const int64_t* chosen = items.const_data_ptr<int64_t>();
  bool good = true;
  for (ssize_t i = 0; i < items.numel(); ++i) good &= chosen[i] >= -1 && chosen[i] < item_slots.size(0);
  LERG_CHECK(context, good, out, "an item lies outside [-1, number of items)");
  LERG_CHECK(context, resize(out, {users, wanted}), out, "out cannot hold the scores");
  int32_t* slots = nullptr;
  if (!allocate_scratch(context, [&](Scratch& scratch) { slots = scratch.take<int32_t>(wanted); })) return out;
  const int64_t dim = user_rows.size(1);
  const int32_t* item_slot = item_slots.const_data_ptr<int32_t>();
  float* result = out.mutable_data_ptr<float>();
  for (int64_t user = 0; user < users; ++user) {
    const int64_t* row = chosen + user * wanted;
    for (int64_t rank = 0; rank < wanted; ++rank) slots[rank] = row[rank] < 0 ? 0 : item_slot[row[rank]];
    if (wanted > 0 && item_table.size(0) > 0)
      loops().dot({user_rows.const_data_ptr<float>() + user * dim, item_table.const_data_ptr<float>(), dim, slots,
                   static_cast<int32_t>(wanted), result + user * wanted});
    for (int64_t rank = 0; rank < wanted; ++rank)
      if (row[rank] < 0) result[user * wanted + rank] = kNothing;
  }
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "top_items.out", lerg::top_items_out);
EXECUTORCH_LIBRARY(lerg, "score_items.out", lerg::score_items_out);

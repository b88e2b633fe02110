// The K best items of each user out of the whole catalogue, whatever the table of items is made of.
//
// Scores exist a block of items by a group of users at a time and are compared with each user's K-th best so
// far; only the few that pass it meet the seen mask and the user's shortlist. Order: score descending, ties by item
// ascending, a total order, so that neither blocks nor threads show in the result. A score that is NaN or -inf
// is no candidate.
//
// The mask costs nothing where it has little. Where most of what passes is refused by it, as with a list of the
// items that may come, the next blocks are looked at before they are scored, and only what is open is.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/checks.h"
#include "kernels/loops/isa.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"
#include "kernels/scratch_sizes.h"

namespace lerg {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

constexpr int64_t kFewUsers = 2;  // so few are scored one by one

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

// Bit j for seen[j], of at most 64.
inline uint64_t seen_bits(const bool* seen, int32_t count) {
  uint64_t bits = 0;
  int32_t j = 0;
  for (; j + 8 <= count; j += 8) {
    uint64_t bytes;
    std::memcpy(&bytes, seen + j, sizeof(bytes));
    // Eight bytes of 0 or 1, the first one lowest: the product's top byte has the i-th of them as its bit i.
    bits |= (((bytes & 0x0101010101010101u) * 0x0102040810204080u) >> 56) << j;
  }
  for (; j < count; ++j) bits |= uint64_t{seen[j]} << j;
  return bits;
}

// What an operator call asks for.
struct Request {
  const int32_t* slots;  // [items]
  const bool* seen;      // [users, items]
  int64_t users, items;
  int32_t wanted;
};

// A Scorer holds the table and the users' rows as its loops want them:
//   lay_out(scratch, users, stride), start(users, stride) with `stride` users after padding,
//   scores(user): false where no score of that user can be a number,
//   group(width, first_user, slots, count, thresholds, scores, hits) and
//   one(user, slots, count, threshold, scores), as ScoreArgs and ScoreOneArgs say; `one` is for calls of kFewUsers.
template <class Scorer>
class Retrieval {
 public:
  Retrieval(const Request& request, const Scorer& scorer)
      : request_(request),
        scorer_(scorer),
        // Few users leave the threads only the items to share. Both depend on shapes alone, as does the memory.
        parts_(static_cast<int>(
            std::clamp<int64_t>(request.items / kItemsPerPart, 1, request.users < kMaxUserLanes ? 4 : 2))),
        stride_((request.users + kMaxUserLanes - 1) / kMaxUserLanes * kMaxUserLanes) {}

  void lay_out(Scratch& scratch) {
    scorer_.lay_out(scratch, request_.users, stride_);
    thresholds_ = scratch.take<float>(parts_ * stride_);
    sizes_ = scratch.take<int32_t>(parts_ * stride_);
    entries_ = scratch.take<Candidate>(int64_t(parts_) * request_.users * 2 * request_.wanted);
  }

  // Writes items [users, wanted], best first, -1 after the last.
  void run(int64_t* out) {
    start();
    const int lanes = loops().score_lanes[kWide];
    const int64_t groups = (request_.users + lanes - 1) / lanes;
    run_parts(static_cast<int>(parts_ * groups), request_.users * request_.items * scorer_.dim, [&](int task) {
      scan_part(task % parts_, int64_t(task / parts_) * lanes);
    });
    for (int64_t user = 0; user < request_.users; ++user) finish(user, out + user * request_.wanted);
  }

 private:
  static constexpr int64_t kItemsPerPart = 2048;  // fewer are not worth a shortlist of their own

  Shortlist shortlist(int part, int64_t user) const {
    const int64_t wanted = request_.wanted;
    return {entries_ + (part * request_.users + user) * 2 * wanted, sizes_ + part * stride_ + user, request_.wanted};
  }

  void start() {
    scorer_.start(request_.users, stride_);
    std::fill(sizes_, sizes_ + parts_ * stride_, 0);
    // Nothing passes the threshold of a user who is not there, or who wants nothing.
    for (int64_t b = 0; b < stride_; ++b) {
      const bool ranked = b < request_.users && request_.wanted > 0 && scorer_.scores(b);
      for (int part = 0; part < parts_; ++part) thresholds_[part * stride_ + b] = ranked ? kNothing : -kNothing;
    }
  }

  // Items to score together: a block of the catalogue, or what is open of it.
  struct Block {
    int64_t first;
    int32_t count;
    const int32_t* slots;   // [count]
    const uint8_t* places;  // [count], from `first`; null for the whole block

    int64_t item(int j) const { return first + (places == nullptr ? j : places[j]); }
  };

  void scan_part(int part, int64_t first_user) const {
    const int64_t begin = request_.items * part / parts_, end = request_.items * (part + 1) / parts_;
    const int64_t users = request_.users - first_user;
    const BlockWidth group = users <= loops().score_lanes[kNarrow] ? kNarrow : kWide;
    const int64_t together = std::min<int64_t>(users, loops().score_lanes[group]);
    bool sparse[kFewUsers] = {};  // whether few items are open, by user where each is alone
    for (int64_t first = begin; first < end; first += kScoreItems) {
      const int32_t count = static_cast<int32_t>(std::min<int64_t>(kScoreItems, end - first));
      const Block block = {first, count, request_.slots + first, nullptr};
      if (request_.users > kFewUsers)
        sparse[0] = scan(block, first_user, together, sparse[0],
                         [&](const Block& open) { return scan_group(part, first_user, group, open); });
      else
        for (int64_t user = 0; user < request_.users; ++user)
          sparse[user] = scan(block, user, 1, sparse[user],
                              [&](const Block& open) { return scan_one(part, user, open); });
    }
  }

  // Scans a block for some users, and tells whether the next one should be looked at before it is scored.
  template <class Scan>
  bool scan(Block block, int64_t first_user, int64_t users, bool sparse, const Scan& offer_all) const {
    int32_t slots[kScoreItems];
    uint8_t places[kScoreItems];
    if (sparse) sparse = narrow(first_user, users, &block, slots, places);
    if (block.count == 0) return sparse;
    const int64_t refused = offer_all(block);
    return sparse || 2 * refused > block.count * users;
  }

  // Leaves out of a block what none of these users may be given, if that is half of it or more.
  bool narrow(int64_t first_user, int64_t users, Block* block, int32_t* slots, uint8_t* places) const {
    const int32_t count = block->count;
    const uint64_t whole = count == kScoreItems ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
    uint64_t open = 0;
    for (int64_t user = first_user; user < first_user + users; ++user) {
      open |= whole & ~seen_bits(request_.seen + user * request_.items + block->first, count);
      if (2 * __builtin_popcountll(open) > count) return false;
    }
    int32_t kept = 0;
    for (; open != 0; open &= open - 1) {
      const int j = __builtin_ctzll(open);
      slots[kept] = block->slots[j];
      places[kept++] = static_cast<uint8_t>(j);
    }
    *block = {block->first, kept, slots, places};
    return true;
  }

  // Scores a block for one group of users and offers what passes; returns how much of that was seen.
  int64_t scan_group(int part, int64_t first_user, BlockWidth group, const Block& block) const {
    alignas(64) float scores[kScoreItems * kMaxUserLanes];
    uint8_t hits[kScoreItems];
    const int lanes = loops().score_lanes[group];
    float* passed = thresholds_ + part * stride_ + first_user;
    scorer_.group(group, first_user, block.slots, block.count, passed, scores, hits);
    int64_t refused = 0;
    for (int32_t j = 0; j < block.count; ++j) {
      if (!hits[j]) continue;
      for (int lane = 0; lane < lanes; ++lane)
        if (scores[j * lanes + lane] > passed[lane])
          refused += !offer(part, first_user + lane, block.item(j), scores[j * lanes + lane], passed + lane);
    }
    return refused;
  }

  int64_t scan_one(int part, int64_t user, const Block& block) const {
    alignas(64) float scores[kScoreItems];
    float* passed = thresholds_ + part * stride_ + user;
    uint64_t above = scorer_.one(user, block.slots, block.count, *passed, scores);
    int64_t refused = 0;
    for (; above != 0; above &= above - 1) {
      const int j = __builtin_ctzll(above);
      if (scores[j] > *passed) refused += !offer(part, user, block.item(j), scores[j], passed);
    }
    return refused;
  }

  // False for an item that the user has seen.
  bool offer(int part, int64_t user, int64_t item, float score, float* threshold) const {
    if (request_.seen[user * request_.items + item]) return false;
    *threshold = shortlist(part, user).offer({score, static_cast<int32_t>(item)}, *threshold);
    return true;
  }

  // Joins a user's shortlists and writes the items.
  void finish(int64_t user, int64_t* out) const {
    const Shortlist best = shortlist(0, user);
    for (int part = 1; part < parts_; ++part) {
      const Shortlist other = shortlist(part, user);
      for (int32_t i = 0; i < *other.size; ++i) best.offer(other.entries[i], kNothing);
    }
    best.sort();
    for (int32_t rank = 0; rank < request_.wanted; ++rank)
      out[rank] = rank < *best.size ? best.entries[rank].item : -1;
  }

  Request request_;
  Scorer scorer_;
  int parts_;        // of the items; each has a shortlist a user
  int64_t stride_;   // users, padded to whole groups
  float* thresholds_ = nullptr;   // [parts, stride]
  int32_t* sizes_ = nullptr;      // [parts, stride]
  Candidate* entries_ = nullptr;  // [parts, users, 2 * wanted]
};

// Null, or the rule that item_slots break.
inline const char* check_slots(const Tensor& item_slots, int64_t rows) {
  if (!is_array(item_slots, ScalarType::Int, 1)) return "item_slots must be an int32 vector, one slot an item";
  const int64_t most = std::min<int64_t>(rows, std::numeric_limits<int32_t>::max());
  if (!loops().all_below(item_slots.const_data_ptr<int32_t>(), item_slots.numel(), static_cast<int32_t>(most)))
    return "an item slot lies outside [0, rows of item_table)";
  return nullptr;
}

// Null, or the rule that the rest of a call for `users` users breaks.
inline const char* check_ranking(const Tensor& item_slots, const Tensor& seen, const Tensor& ranks, int64_t users) {
  if (!is_array(seen, ScalarType::Bool, 2) || seen.size(0) != users || seen.size(1) != item_slots.size(0))
    return "seen must be a bool matrix, users by items";
  if (!is_array(ranks, ScalarType::Long, 1)) return "ranks must be an int64 vector, one entry a rank";
  return nullptr;
}

// Checks, ranks and writes `out`, for either kind of table. `scored` are the tensors that the scorer reads.
template <class Scorer>
void rank_items(KernelRuntimeContext& context, const Scorer& scorer, int64_t users, const Tensor& item_slots,
                const Tensor& seen, const Tensor& ranks, std::initializer_list<const Tensor*> scored, Tensor& out) {
  const char* problem = check_ranking(item_slots, seen, ranks, users);
  LERG_CHECK(context, problem == nullptr, , "%s", problem);
  const int64_t wanted = ranks.size(0);
  LERG_CHECK(context, prepare_out(out, ScalarType::Long, {users, wanted}, {&item_slots, &seen, &ranks}), ,
             "out cannot hold the ranks");
  LERG_CHECK(context, apart(out, scored), , "out shares memory with what is scored");
  Retrieval<Scorer> retrieval({item_slots.const_data_ptr<int32_t>(), seen.const_data_ptr<bool>(), users,
                               item_slots.size(0), static_cast<int32_t>(wanted)},
                              scorer);
  if (!allocate_scratch(context, [&](Scratch& scratch) { retrieval.lay_out(scratch); })) return;
  retrieval.run(out.mutable_data_ptr<int64_t>());
}

// Most that rank_items lays out for these items and ranks and up to this many users: fewer than fill the lanes may take
// more, as they leave more parts of the catalogue to share out.
template <class Scorer>
size_t ranking_scratch(const CallSizes& sizes, const Scorer& scorer) {
  size_t most = 0;
  for (const int64_t users : {sizes.users, std::min<int64_t>(sizes.users, kMaxUserLanes - 1)}) {
    Retrieval<Scorer> retrieval({nullptr, nullptr, users, sizes.items, static_cast<int32_t>(sizes.wanted)}, scorer);
    Scratch scratch;
    retrieval.lay_out(scratch);
    most = std::max(most, scratch.bytes());
  }
  return most;
}

// Scores `items` [users, ranks] a few at a time with score(user, first, slots, count, scores), -inf for item -1.
template <class Score>
void score_chosen(KernelRuntimeContext& context, int64_t users, const Tensor& item_slots, const Tensor& items,
                  bool any_row, const Score& score, std::initializer_list<const Tensor*> scored, Tensor& out) {
  LERG_CHECK(context, is_array(items, ScalarType::Long, 2) && items.size(0) == users, ,
             "items must be an int64 matrix, one row a user");
  const int64_t* chosen = items.const_data_ptr<int64_t>();
  bool good = true;
  for (ssize_t i = 0; i < items.numel(); ++i) good &= chosen[i] >= -1 && chosen[i] < item_slots.size(0);
  LERG_CHECK(context, good, , "an item lies outside [-1, number of items)");
  const int64_t wanted = items.size(1);
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {users, wanted}, {&item_slots, &items}), ,
             "out cannot hold the scores");
  LERG_CHECK(context, apart(out, scored), , "out shares memory with what is scored");
  const int32_t* item_slot = item_slots.const_data_ptr<int32_t>();
  float* result = out.mutable_data_ptr<float>();
  for (int64_t user = 0; user < users; ++user)
    for (int64_t first = 0; first < wanted; first += kScoreItems) {
      const int64_t* row = chosen + user * wanted + first;
      float* to = result + user * wanted + first;
      const int32_t count = static_cast<int32_t>(std::min<int64_t>(kScoreItems, wanted - first));
      int32_t slots[kScoreItems];
      for (int32_t j = 0; j < count; ++j) slots[j] = row[j] < 0 ? 0 : item_slot[row[j]];
      if (any_row) score(user, first, slots, count, to);
      for (int32_t j = 0; j < count; ++j)
        if (row[j] < 0) to[j] = kNothing;
    }
}

}  // namespace lerg

// lerg::top_items and lerg::score_items: retrieval from a float32 table of items.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include "kernels/ranking/retrieval.h"

namespace lerg {
namespace {

int64_t padded_dim(int64_t dim) { return (dim + 15) / 16 * 16; }

// A user's row as ScoreOneArgs wants it.
void pad_row(const float* row, int64_t dim, float* padded) {
  std::copy(row, row + dim, padded);
  std::fill(padded + dim, padded + padded_dim(dim), 0.0f);
}

struct FloatScorer {
  const float* user_rows;  // [users, dim]
  const float* table;
  int64_t dim;
  int64_t stride = 0;
  float* packed = nullptr;  // [dim, stride], users' rows transposed
  float* padded_rows = nullptr;  // [users, padded_dim], for few users

  void lay_out(Scratch& scratch, int64_t users, int64_t padded) {
    if (users <= kFewUsers) padded_rows = scratch.take<float>(users * padded_dim(dim));
    else packed = scratch.take<float>(dim * padded);
  }

  void start(int64_t users, int64_t padded) {
    stride = padded;
    for (int64_t b = 0; b < users && users <= kFewUsers; ++b)
      pad_row(user_rows + b * dim, dim, padded_rows + b * padded_dim(dim));
    for (int64_t k = 0; k < dim && users > kFewUsers; ++k)
      for (int64_t b = 0; b < stride; ++b) packed[k * stride + b] = b < users ? user_rows[b * dim + k] : 0.0f;
  }

  bool scores(int64_t) const { return true; }

  void group(BlockWidth width, int64_t first_user, const int32_t* slots, int32_t count, const float* thresholds,
             float* scores, uint8_t* hits) const {
    loops().score[width]({packed + first_user, stride, table, dim, slots, count, thresholds, scores, hits});
  }

  uint64_t one(int64_t user, const int32_t* slots, int32_t count, float threshold, float* scores) const {
    return loops().score_one({padded_rows + user * padded_dim(dim), table, dim, slots, count, threshold, scores});
  }
};

const char* check_catalogue(const Tensor& user_rows, const Tensor& item_table, const Tensor& item_slots) {
  if (!is_floats(user_rows, 2) || !is_floats(item_table, 2) || user_rows.size(1) != item_table.size(1))
    return "user_rows and item_table must be float32 matrices of one width";
  return check_slots(item_slots, item_table.size(0));
}

FloatScorer scorer_of(const Tensor& user_rows, const Tensor& item_table) {
  return {user_rows.const_data_ptr<float>(), item_table.const_data_ptr<float>(), user_rows.size(1)};
}

}  // namespace

size_t top_items_scratch(const CallSizes& sizes) {
  return ranking_scratch(sizes, FloatScorer{nullptr, nullptr, sizes.dim});
}

Tensor& top_items_out(KernelRuntimeContext& context, const Tensor& user_rows, const Tensor& item_table,
                      const Tensor& item_slots, const Tensor& seen, const Tensor& ranks, Tensor& out) {
  const char* problem = check_catalogue(user_rows, item_table, item_slots);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  rank_items(context, scorer_of(user_rows, item_table), user_rows.size(0), item_slots, seen, ranks,
             {&user_rows, &item_table}, out);
  return out;
}

Tensor& score_items_out(KernelRuntimeContext& context, const Tensor& user_rows, const Tensor& item_table,
                        const Tensor& item_slots, const Tensor& items, Tensor& out) {
  const char* problem = check_catalogue(user_rows, item_table, item_slots);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  const int64_t dim = user_rows.size(1);
  float* padded_row = nullptr;
  if (!allocate_scratch(context, [&](Scratch& scratch) { padded_row = scratch.take<float>(padded_dim(dim)); }))
    return out;
  score_chosen(context, user_rows.size(0), item_slots, items, item_table.size(0) > 0,
               [&](int64_t user, int64_t first, const int32_t* slots, int32_t count, float* scores) {
                 if (first == 0) pad_row(user_rows.const_data_ptr<float>() + user * dim, dim, padded_row);
                 loops().score_one(
                     {padded_row, item_table.const_data_ptr<float>(), dim, slots, count, kNothing, scores});
               },
               {&user_rows, &item_table}, out);
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "top_items.out", lerg::top_items_out);
EXECUTORCH_LIBRARY(lerg, "score_items.out", lerg::score_items_out);

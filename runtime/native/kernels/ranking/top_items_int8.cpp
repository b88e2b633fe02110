// lerg::row_scales and lerg::quantise_rows, which make an int8 table of items with a scale a row;
// lerg::top_items_int8 and lerg::score_items_int8: retrieval from it.
//
// A user's row is quantised as the items are: measured, its rounding costs a twentieth of what theirs does. Integer
// sums have no order, so every instruction set, thread count and batch gives the same scores to the last bit.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <cmath>

#include "kernels/ranking/retrieval.h"
#include "kernels/quantising/rounding.h"

namespace lerg {
namespace {

constexpr float kMostCode = 127.0f;

// NaN if one is among them.
float largest_magnitude(const float* row, int64_t dim) {
  float largest = 0.0f;
  bool numbers = true;
  for (int64_t k = 0; k < dim; ++k) {
    const float magnitude = std::fabs(row[k]);
    largest = magnitude > largest ? magnitude : largest;
    numbers &= magnitude == magnitude;
  }
  return numbers ? largest : std::numeric_limits<float>::quiet_NaN();
}

// Codes of one row, zeros where it is zero or not finite; returns its scale.
float quantise_row(const float* row, int64_t dim, int8_t* codes) {
  const float scale = largest_magnitude(row, dim) / kMostCode;
  if (!(scale > 0.0f) || !std::isfinite(scale)) {
    std::fill(codes, codes + dim, int8_t{0});
    return scale;
  }
  for (int64_t k = 0; k < dim; ++k) {
    const float ratio = row[k] / scale;
    const float inside = ratio > kMostCode ? kMostCode : ratio < -kMostCode ? -kMostCode : ratio;
    codes[k] = static_cast<int8_t>(static_cast<int32_t>(round_even(inside)));
  }
  return scale;
}

int64_t padded_dim(int64_t dim) { return (dim + kCodePadding - 1) / kCodePadding * kCodePadding; }

struct CodeScorer {
  const float* user_rows;  // [users, dim]
  const int8_t* table;
  const float* scales;  // [slots]
  int64_t dim;
  int64_t stride = 0;
  int8_t* user_codes = nullptr;  // [users, padded dim]
  float* user_scales = nullptr;  // [users or stride]
  int8_t* packed = nullptr;      // [padded dim / 4, stride, 4], for more than a few users

  // With padded = 0 for `one` alone, whatever the number of users.
  void lay_out(Scratch& scratch, int64_t users, int64_t padded) {
    user_codes = scratch.take<int8_t>(users * padded_dim(dim));
    user_scales = scratch.take<float>(std::max(users, padded));
    if (padded > 0 && users > kFewUsers) packed = scratch.take<int8_t>(padded_dim(dim) * padded);
  }

  void start(int64_t users, int64_t padded) {
    stride = padded;
    const int64_t width = padded_dim(dim);
    std::fill(user_codes, user_codes + users * width, int8_t{0});
    std::fill(user_scales, user_scales + std::max(users, padded), 0.0f);
    for (int64_t b = 0; b < users; ++b)
      user_scales[b] = quantise_row(user_rows + b * dim, dim, user_codes + b * width);
    if (packed == nullptr) return;
    std::fill(packed, packed + width * stride, int8_t{0});
    for (int64_t b = 0; b < users; ++b)
      for (int64_t k = 0; k < dim; ++k) packed[(k / 4 * stride + b) * 4 + k % 4] = user_codes[b * width + k];
  }

  bool scores(int64_t user) const { return std::isfinite(user_scales[user]); }

  void group(BlockWidth width, int64_t first_user, const int32_t* slots, int32_t count, const float* thresholds,
             float* scores, uint8_t* hits) const {
    code_loops().score[width]({packed + first_user * 4, stride, user_scales + first_user, table, scales, dim, slots,
                                count, thresholds, scores, hits});
  }

  uint64_t one(int64_t user, const int32_t* slots, int32_t count, float threshold, float* scores) const {
    return code_loops().score_one(
        {user_codes + user * padded_dim(dim), user_scales[user], table, scales, dim, slots, count, threshold, scores});
  }
};

const char* check_catalogue(const Tensor& user_rows, const Tensor& item_codes, const Tensor& item_scales,
                            const Tensor& item_slots) {
  if (!is_floats(user_rows, 2)) return "user_rows must be a float32 matrix";
  if (!is_array(item_codes, ScalarType::Char, 2) || user_rows.size(1) != item_codes.size(1))
    return "item_codes must be an int8 matrix as wide as user_rows";
  if (!is_floats(item_scales, 1) || item_scales.size(0) != item_codes.size(0))
    return "item_scales must be a float32 vector, one for each row of item_codes";
  return check_slots(item_slots, item_codes.size(0));
}

CodeScorer scorer_of(const Tensor& user_rows, const Tensor& item_codes, const Tensor& item_scales) {
  return {user_rows.const_data_ptr<float>(), item_codes.const_data_ptr<int8_t>(),
          item_scales.const_data_ptr<float>(), user_rows.size(1)};
}

}  // namespace

size_t top_items_int8_scratch(const CallSizes& sizes) {
  return ranking_scratch(sizes, CodeScorer{nullptr, nullptr, nullptr, sizes.dim});
}

Tensor& row_scales_out(KernelRuntimeContext& context, const Tensor& table, Tensor& out) {
  LERG_CHECK(context, is_floats(table, 2), out, "table must be a float32 matrix");
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {table.size(0)}, {&table}), out, "out cannot hold the scales");
  const float* rows = table.const_data_ptr<float>();
  float* scales = out.mutable_data_ptr<float>();
  for (int64_t row = 0; row < table.size(0); ++row)
    scales[row] = largest_magnitude(rows + row * table.size(1), table.size(1)) / kMostCode;
  return out;
}

Tensor& quantise_rows_out(KernelRuntimeContext& context, const Tensor& table, Tensor& out) {
  LERG_CHECK(context, is_floats(table, 2), out, "table must be a float32 matrix");
  LERG_CHECK(context, prepare_out(out, ScalarType::Char, {table.size(0), table.size(1)}, {&table}), out,
             "out cannot hold the codes");
  const int64_t dim = table.size(1);
  for (int64_t row = 0; row < table.size(0); ++row)
    quantise_row(table.const_data_ptr<float>() + row * dim, dim, out.mutable_data_ptr<int8_t>() + row * dim);
  return out;
}

Tensor& top_items_int8_out(KernelRuntimeContext& context, const Tensor& user_rows, const Tensor& item_codes,
                           const Tensor& item_scales, const Tensor& item_slots, const Tensor& seen,
                           const Tensor& ranks, Tensor& out) {
  const char* problem = check_catalogue(user_rows, item_codes, item_scales, item_slots);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  rank_items(context, scorer_of(user_rows, item_codes, item_scales), user_rows.size(0), item_slots, seen, ranks,
             {&user_rows, &item_codes, &item_scales}, out);
  return out;
}

Tensor& score_items_int8_out(KernelRuntimeContext& context, const Tensor& user_rows, const Tensor& item_codes,
                             const Tensor& item_scales, const Tensor& item_slots, const Tensor& items, Tensor& out) {
  const char* problem = check_catalogue(user_rows, item_codes, item_scales, item_slots);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  CodeScorer scorer = scorer_of(user_rows, item_codes, item_scales);
  const int64_t users = user_rows.size(0);
  if (!allocate_scratch(context, [&](Scratch& scratch) { scorer.lay_out(scratch, users, 0); })) return out;
  scorer.start(users, 0);
  score_chosen(context, users, item_slots, items, item_codes.size(0) > 0,
               [&](int64_t user, int64_t, const int32_t* slots, int32_t count, float* scores) {
                 scorer.one(user, slots, count, kNothing, scores);
               },
               {&user_rows, &item_codes, &item_scales}, out);
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "row_scales.out", lerg::row_scales_out);
EXECUTORCH_LIBRARY(lerg, "quantise_rows.out", lerg::quantise_rows_out);
EXECUTORCH_LIBRARY(lerg, "top_items_int8.out", lerg::top_items_int8_out);
EXECUTORCH_LIBRARY(lerg, "score_items_int8.out", lerg::score_items_int8_out);

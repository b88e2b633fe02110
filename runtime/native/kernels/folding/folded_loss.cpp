// lerg::folded_loss and lerg::folded_loss_grad: the pairwise loss of a batch of folded rows (BPR, arXiv 1205.2618,
// equation 4) with an L2 penalty on the same rows, and its gradient towards the quantised codebook.
//
// The gradient is worked out block of columns by block of columns, so that a block of the codebook's gradient stays in
// the second-level cache while all rows of the batch are added to it, and lies in one piece there: rows of a wider
// table, a power of two apart, would compete for the same lines of the cache.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/parallel.h"
#include "kernels/scratch_sizes.h"
#include "kernels/triples.h"

namespace lerg {
namespace {

constexpr int kLossParts = 32;

float dot(const float* first, const float* second, int64_t count) { return row_loops().dot(first, second, count); }

// The rows of a batch, users', positives' and negatives'.
struct Batch {
  const float* rows;
  int64_t size, dim;

  const float* user(int64_t b) const { return rows + b * dim; }
  const float* positive(int64_t b) const { return rows + (size + b) * dim; }
  const float* negative(int64_t b) const { return rows + (2 * size + b) * dim; }
};

const char* check_rows(const Tensor& rows) {
  return is_floats(rows, 2) && rows.size(0) > 0 && rows.size(0) % 3 == 0
      ? nullptr
      : "rows must be a float32 matrix: users, positives and negatives, as many of each";
}

// The derivative of each triple's loss by its margin, times `share`; and the scale of each row of the batch.
void find_slopes(const Batch& batch, const Entries& entries, const int32_t* rows, float share, float* slopes,
                 float* factors) {
  run_parts(kLossParts, 3 * batch.size * batch.dim, [&](int part) {
    for (int64_t b = batch.size * part / kLossParts; b < batch.size * (part + 1) / kLossParts; ++b) {
      const float* user = batch.user(b);
      const float margin = dot(user, batch.negative(b), batch.dim) - dot(user, batch.positive(b), batch.dim);
      slopes[b] = share / (1.0f + std::exp(-margin));
      for (int64_t i = b; i < 3 * batch.size; i += batch.size)
        factors[i] = rows[i] < 0 ? 0.0f : entries.scale_of(rows[i]);
    }
  });
}

// Working memory of the gradient.
struct Unfolding {
  int blocks, lanes;  // of kUnfoldColumns columns, and of threads that take one at a time
  float* slopes = nullptr;   // [batch]
  float* factors = nullptr;  // [3 batch]
  float* sums[kMostLanes] = {};  // [codes, kUnfoldColumns]

  explicit Unfolding(int64_t dim)
      : blocks(static_cast<int>((dim + kUnfoldColumns - 1) / kUnfoldColumns)), lanes(std::min(blocks, kMostLanes)) {}

  void lay_out(Triples& triples, int64_t codes, Scratch& scratch) {
    triples.lay_out(scratch);
    slopes = scratch.take<float>(triples.batch);
    factors = scratch.take<float>(triples.count());
    for (int lane = 0; lane < lanes; ++lane) sums[lane] = scratch.take<float>(codes * kUnfoldColumns);
  }
};

}  // namespace

size_t folded_loss_grad_scratch(const CallSizes& sizes) {
  Triples triples;
  triples.batch = sizes.requests;
  Scratch scratch;
  Unfolding(sizes.dim).lay_out(triples, sizes.codebook_rows, scratch);
  return scratch.bytes();
}

// Rows are taken as they are; the arguments between are what the gradient goes to.
Tensor& folded_loss_out(KernelRuntimeContext& context, const Tensor& rows, const Tensor&, const Tensor&, const Tensor&,
                        const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                        int64_t, int64_t, double l2, Tensor& out) {
  const char* problem = check_rows(rows);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {}, {&rows}), out, "out must be one float32");
  const int64_t dim = rows.size(1);
  const Batch batch{rows.const_data_ptr<float>(), rows.size(0) / 3, dim};
  double sums[kLossParts] = {0};
  run_parts(kLossParts, rows.numel(), [&](int part) {
    double sum = 0;
    for (int64_t b = batch.size * part / kLossParts; b < batch.size * (part + 1) / kLossParts; ++b) {
      const float *user = batch.user(b), *positive = batch.positive(b), *negative = batch.negative(b);
      const double margin = double(dot(user, negative, dim)) - dot(user, positive, dim);
      sum += (margin > 0 ? margin : 0) + std::log1p(std::exp(-std::abs(margin)));
      if (l2 != 0)
        sum += l2 / 2 * (double(dot(user, user, dim)) + dot(positive, positive, dim) + dot(negative, negative, dim));
    }
    sums[part] = sum;
  });
  double total = 0;
  for (double sum : sums) total += sum;
  out.mutable_data_ptr<float>()[0] = static_cast<float>(total / batch.size);
  return out;
}

Tensor& folded_loss_grad_out(KernelRuntimeContext& context, const Tensor& grad, const Tensor& rows,
                             const Tensor& codes, const Tensor& weights, const Tensor& scales,
                             const Tensor& scale_table, const Tensor& users, const Tensor& positives,
                             const Tensor& negatives, int64_t retained_users, int64_t code_count, double l2,
                             Tensor& out) {
  Entries entries;
  Triples triples;
  const char* problem = check_rows(rows);
  if (problem == nullptr) problem = read_entries({codes, weights, scales, scale_table, retained_users}, &entries);
  if (problem == nullptr) problem = read_triples(users, positives, negatives, &triples);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, rows.size(0) == triples.count(), out, "rows must be a float32 matrix with a row for each slot");
  LERG_CHECK(context, grad.scalar_type() == ScalarType::Float && grad.numel() == 1, out, "grad must be one float32");
  LERG_CHECK(context, code_count >= 0 && code_count <= INT32_MAX, out, "code_count must not be negative");
  const int64_t dim = rows.size(1), count = triples.count();
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {code_count, dim},
                                  {&grad, &rows, &codes, &weights, &scales, &scale_table, &users, &positives, &negatives}),
             out, "out cannot hold the codebook's gradient");
  Unfolding work(dim);
  if (!allocate_scratch(context, [&](Scratch& scratch) { work.lay_out(triples, code_count, scratch); })) return out;
  const int64_t limit[2] = {INT64_MAX, INT64_MAX};
  LERG_CHECK(context, triples.find_rows(entries, limit, 0, code_count), out,
             "a slot is negative, or a code lies outside [0, code_count) or out of order");
  const Batch batch{rows.const_data_ptr<float>(), triples.batch, dim};
  const float share = grad.const_data_ptr<float>()[0] / static_cast<float>(triples.batch);
  find_slopes(batch, entries, triples.rows, share, work.slopes, work.factors);
  float* result = out.mutable_data_ptr<float>();
  std::atomic<int> next{0};  // the next block; whichever lane takes it, its sums are the same
  run_parts(work.lanes, count * entries.per_row * dim, [&](int lane) {
    for (int block = next.fetch_add(1); block < work.blocks; block = next.fetch_add(1)) {
      const int64_t first = int64_t(block) * kUnfoldColumns;
      const auto columns = static_cast<int32_t>(std::min<int64_t>(kUnfoldColumns, dim - first));
      float* sums = work.sums[lane];
      std::fill_n(sums, code_count * kUnfoldColumns, 0.0f);
      row_loops().unfold[entries.codes.type]({entries.codes.data, entries.weights, entries.per_row, triples.rows,
                                              work.factors, work.slopes, triples.batch, static_cast<float>(l2) * share,
                                              batch.rows + first, dim, columns, sums});
      for (int64_t code = 0; code < code_count; ++code)
        std::memcpy(result + code * dim + first, sums + code * kUnfoldColumns, columns * sizeof(float));
    }
  });
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "folded_loss.out", lerg::folded_loss_out);
EXECUTORCH_LIBRARY(lerg, "folded_loss_grad.out", lerg::folded_loss_grad_out);

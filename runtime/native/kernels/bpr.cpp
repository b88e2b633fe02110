// lerg::bpr_loss and its gradient: the pairwise loss of a batch of triples (BPR, arXiv 1205.2618, equation 4) with an
// L2 penalty on the same rows.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <cmath>

#include "checks.h"
#include "parallel.h"
#include "row_loops.h"

namespace lerg {
namespace {

constexpr int kBprParts = 32;

const char* check_rows(const Tensor& rows) {
  return is_floats(rows, 2) && rows.size(0) > 0 && rows.size(0) % 3 == 0
      ? nullptr
      : "rows must be a float32 matrix: users, positives and negatives, as many of each";
}

float dot(const float* first, const float* second, int64_t count) { return row_loops().dot(first, second, count); }

}  // namespace

Tensor& bpr_loss_out(KernelRuntimeContext& context, const Tensor& rows, double l2, Tensor& out) {
  const char* problem = check_rows(rows);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, resize(out, {}), out, "out must be a scalar");
  const int64_t batch = rows.size(0) / 3, dim = rows.size(1);
  const float* users = rows.const_data_ptr<float>();
  const float *positives = users + batch * dim, *negatives = positives + batch * dim;
  double sums[kBprParts] = {0};
  run_parts(kBprParts, rows.numel(), [&](int part) {
    double sum = 0;
    for (int64_t b = batch * part / kBprParts; b < batch * (part + 1) / kBprParts; ++b) {
      const float *user = users + b * dim, *positive = positives + b * dim, *negative = negatives + b * dim;
      const double margin = double(dot(user, negative, dim)) - dot(user, positive, dim);
      sum += (margin > 0 ? margin : 0) + std::log1p(std::exp(-std::abs(margin)));
      if (l2 != 0)
        sum += l2 / 2 * (double(dot(user, user, dim)) + dot(positive, positive, dim) + dot(negative, negative, dim));
    }
    sums[part] = sum;
  });
  double total = 0;
  for (double sum : sums) total += sum;
  out.mutable_data_ptr<float>()[0] = static_cast<float>(total / batch);
  return out;
}

Tensor& bpr_loss_grad_out(KernelRuntimeContext& context, const Tensor& grad, const Tensor& rows, double l2,
                          Tensor& out) {
  const char* problem = check_rows(rows);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, grad.scalar_type() == ScalarType::Float && grad.numel() == 1, out, "grad must be one float32");
  LERG_CHECK(context, resize(out, {rows.size(0), rows.size(1)}), out, "out cannot hold the rows' gradient");
  const int64_t batch = rows.size(0) / 3, dim = rows.size(1);
  const float* values = rows.const_data_ptr<float>();
  float* result = out.mutable_data_ptr<float>();
  const float share = grad.const_data_ptr<float>()[0] / static_cast<float>(batch);
  const float decay = static_cast<float>(l2) * share;
  run_parts(kBprParts, rows.numel(), [&](int part) {
    for (int64_t b = batch * part / kBprParts; b < batch * (part + 1) / kBprParts; ++b) {
      const int64_t user = b * dim, positive = (batch + b) * dim, negative = (2 * batch + b) * dim;
      const float margin = dot(values + user, values + negative, dim) - dot(values + user, values + positive, dim);
      const float slope = share / (1.0f + std::exp(-margin));
      row_loops().pairwise({{values + user, values + positive, values + negative},
                            {result + user, result + positive, result + negative},
                            dim,
                            slope,
                            decay});
    }
  });
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "bpr_loss.out", lerg::bpr_loss_out);
EXECUTORCH_LIBRARY(lerg, "bpr_loss_grad.out", lerg::bpr_loss_grad_out);

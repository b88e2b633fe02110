// lerg::fake_quantise, its two gradients and lerg::dequantise: learned step sizes (LSQ, arXiv 1902.08153,
// equations 1 to 3 and 5). One step for the whole codebook, or one a row. With 32 bits weights are float32 and
// nothing is quantised: values and gradients pass as they are, and the step has no part in it.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <algorithm>
#include <cmath>

#include "kernels/checks.h"
#include "kernels/parallel.h"
#include "kernels/loops/row_loops.h"
#include "kernels/scratch.h"
#include "kernels/scratch_sizes.h"

namespace lerg {
namespace {

struct Levels {
  float lowest;
  float highest;
  explicit Levels(int64_t bits)
      : lowest(-static_cast<float>(int64_t(1) << (bits - 1))),
        highest(static_cast<float>((int64_t(1) << (bits - 1)) - 1)) {}
};

constexpr int64_t kRowParts = 16;

// Runs body(row) over all rows, in parallel parts.
template <class Body>
void each_row(int64_t rows, int64_t dim, const Body& body) {
  run_parts(kRowParts, rows * dim, [&](int64_t part) {
    for (int64_t row = rows * part / kRowParts; row < rows * (part + 1) / kRowParts; ++row) body(row);
  });
}

constexpr int64_t kFloatBits = 32;

bool good_bits(int64_t bits) { return bits == 4 || bits == 8 || bits == 16 || bits == kFloatBits; }

bool good_step(const Tensor& step, int64_t rows) {
  return is_floats(step, 1) && (step.size(0) == 1 || (step.size(0) == rows && rows > 0));
}

bool same_shape(const Tensor& a, const Tensor& b) { return a.size(0) == b.size(0) && a.size(1) == b.size(1); }

void copy_rows(const Tensor& from, Tensor& to) {
  std::copy_n(from.const_data_ptr<float>(), from.numel(), to.mutable_data_ptr<float>());
}

ScalarType stored_type(int64_t bits) {
  switch (bits) {
    case 4:
      return ScalarType::Byte;
    case 8:
      return ScalarType::Char;
    case 16:
      return ScalarType::Short;
    default:
      return ScalarType::Float;
  }
}

template <class Code>
void dequantise_rows(const Code* codes, const float* step, bool per_row, int64_t rows, int64_t dim, float* out) {
  each_row(rows, dim, [&](int64_t row) {
    const float scale = step[per_row ? row : 0];
    for (int64_t j = 0; j < dim; ++j) out[row * dim + j] = static_cast<float>(codes[row * dim + j]) * scale;
  });
}

// Two to a byte: element 2j in the low nibble, 2j + 1 in the high one, two's complement.
void dequantise_nibbles(const uint8_t* codes, const float* step, bool per_row, int64_t rows, int64_t dim,
                        float* out) {
  each_row(rows, dim, [&](int64_t row) {
    const float scale = step[per_row ? row : 0];
    const uint8_t* packed = codes + row * (dim / 2);
    for (int64_t j = 0; j < dim / 2; ++j) {
      out[row * dim + 2 * j] = static_cast<float>(((packed[j] & 15) ^ 8) - 8) * scale;
      out[row * dim + 2 * j + 1] = static_cast<float>(((packed[j] >> 4) ^ 8) - 8) * scale;
    }
  });
}

// One for each row of the codebook.
double* row_sums(int64_t rows, Scratch& scratch) { return scratch.take<double>(rows); }

}  // namespace

size_t step_grad_scratch(const CallSizes& sizes) {
  Scratch scratch;
  row_sums(sizes.codebook_rows, scratch);
  return scratch.bytes();
}

Tensor& fake_quantise_out(KernelRuntimeContext& context, const Tensor& codebook, const Tensor& step, int64_t bits,
                          Tensor& out) {
  LERG_CHECK(context, is_floats(codebook, 2), out, "codebook must be a float32 matrix");
  LERG_CHECK(context, good_step(step, codebook.size(0)), out, "step must be float32, one or one a codebook row");
  LERG_CHECK(context, good_bits(bits), out, "bits must be 4, 8, 16 or 32");
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {codebook.size(0), codebook.size(1)}, {&codebook, &step}), out,
             "out cannot hold the codebook");
  if (bits == kFloatBits) {
    copy_rows(codebook, out);
    return out;
  }
  const Levels levels(bits);
  const float* weights = codebook.const_data_ptr<float>();
  const float* steps = step.const_data_ptr<float>();
  float* result = out.mutable_data_ptr<float>();
  const int64_t dim = codebook.size(1);
  const bool per_row = step.size(0) > 1;
  each_row(codebook.size(0), dim, [&](int64_t row) {
    const int64_t first = row * dim;
    row_loops().fake_quantise(
        {weights + first, dim, steps[per_row ? row : 0], levels.lowest, levels.highest, result + first, 0});
  });
  return out;
}

Tensor& fake_quantise_grad_codebook_out(KernelRuntimeContext& context, const Tensor& grad, const Tensor& codebook,
                                        const Tensor& step, int64_t bits, Tensor& out) {
  LERG_CHECK(context, is_floats(codebook, 2), out, "codebook must be a float32 matrix");
  LERG_CHECK(context, is_floats(grad, 2) && same_shape(grad, codebook), out, "grad must have codebook's shape");
  LERG_CHECK(context, good_step(step, codebook.size(0)), out, "step must be float32, one or one a codebook row");
  LERG_CHECK(context, good_bits(bits), out, "bits must be 4, 8, 16 or 32");
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {codebook.size(0), codebook.size(1)}, {&grad, &codebook, &step}),
             out, "out cannot hold the codebook");
  if (bits == kFloatBits) {
    copy_rows(grad, out);
    return out;
  }
  const Levels levels(bits);
  const float* weights = codebook.const_data_ptr<float>();
  const float* incoming = grad.const_data_ptr<float>();
  const float* steps = step.const_data_ptr<float>();
  float* result = out.mutable_data_ptr<float>();
  const int64_t dim = codebook.size(1);
  const bool per_row = step.size(0) > 1;
  each_row(codebook.size(0), dim, [&](int64_t row) {
    const int64_t first = row * dim;
    row_loops().slope_by_weight({incoming + first, weights + first, dim, steps[per_row ? row : 0], levels.lowest,
                                 levels.highest, result + first});
  });
  return out;
}

Tensor& fake_quantise_grad_step_out(KernelRuntimeContext& context, const Tensor& grad, const Tensor& codebook,
                                    const Tensor& step, int64_t bits, Tensor& out) {
  LERG_CHECK(context, is_floats(codebook, 2), out, "codebook must be a float32 matrix");
  LERG_CHECK(context, is_floats(grad, 2) && same_shape(grad, codebook), out, "grad must have codebook's shape");
  LERG_CHECK(context, good_step(step, codebook.size(0)), out, "step must be float32, one or one a codebook row");
  LERG_CHECK(context, good_bits(bits), out, "bits must be 4, 8, 16 or 32");
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {step.size(0)}, {&grad, &codebook, &step}), out,
             "out cannot hold the step's gradient");
  if (bits == kFloatBits) {
    std::fill_n(out.mutable_data_ptr<float>(), out.numel(), 0.0f);
    return out;
  }
  const Levels levels(bits);
  const float* weights = codebook.const_data_ptr<float>();
  const float* incoming = grad.const_data_ptr<float>();
  const float* steps = step.const_data_ptr<float>();
  const int64_t rows = codebook.size(0), dim = codebook.size(1);
  const bool per_row = step.size(0) > 1;
  double* sums = nullptr;
  if (!allocate_scratch(context, [&](Scratch& scratch) { sums = row_sums(rows, scratch); })) return out;
  each_row(rows, dim, [&](int64_t row) {
    const int64_t first = row * dim;
    sums[row] = row_loops().slope_by_step({incoming + first, weights + first, dim, steps[per_row ? row : 0],
                                           levels.lowest, levels.highest, nullptr});
  });
  // g = 1 / sqrt(n * Q_P), n the weights that share the step.
  const double shared = static_cast<double>(per_row ? dim : rows * dim);
  const double scale = 1.0 / std::sqrt(shared * levels.highest);
  float* result = out.mutable_data_ptr<float>();
  if (per_row) {
    for (int64_t row = 0; row < rows; ++row) result[row] = static_cast<float>(sums[row] * scale);
  } else {
    double total = 0;
    for (int64_t row = 0; row < rows; ++row) total += sums[row];
    result[0] = static_cast<float>(total * scale);
  }
  return out;
}

Tensor& dequantise_out(KernelRuntimeContext& context, const Tensor& codes, const Tensor& step, int64_t bits,
                       Tensor& out) {
  LERG_CHECK(context, good_bits(bits), out, "bits must be 4, 8, 16 or 32");
  LERG_CHECK(context, is_array(codes, stored_type(bits), 2), out,
             "codes must be uint8 (4 bits), int8 (8), int16 (16) or float32 (32)");
  LERG_CHECK(context, good_step(step, codes.size(0)), out, "step must be float32, one or one a row of codes");
  const int64_t rows = codes.size(0), dim = codes.size(1) * (bits == 4 ? 2 : 1);
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {rows, dim}, {&codes, &step}), out, "out cannot hold the rows");
  if (bits == kFloatBits) {
    copy_rows(codes, out);
    return out;
  }
  const float* steps = step.const_data_ptr<float>();
  const bool per_row = step.size(0) > 1;
  float* result = out.mutable_data_ptr<float>();
  if (bits == 4) dequantise_nibbles(codes.const_data_ptr<uint8_t>(), steps, per_row, rows, dim, result);
  else if (bits == 8) dequantise_rows(codes.const_data_ptr<int8_t>(), steps, per_row, rows, dim, result);
  else dequantise_rows(codes.const_data_ptr<int16_t>(), steps, per_row, rows, dim, result);
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "fake_quantise.out", lerg::fake_quantise_out);
EXECUTORCH_LIBRARY(lerg, "fake_quantise_grad_codebook.out", lerg::fake_quantise_grad_codebook_out);
EXECUTORCH_LIBRARY(lerg, "fake_quantise_grad_step.out", lerg::fake_quantise_grad_step_out);
EXECUTORCH_LIBRARY(lerg, "dequantise.out", lerg::dequantise_out);

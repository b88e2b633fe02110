#include <nanobind/stl/string.h>

#include <cmath>
#include <stdexcept>

#include "bindings/bindings.h"
#include "kernels/ranking/ridge.h"
#include "learning/optimiser.h"
#include "learning/quantise.h"
#include "learning/sampling.h"
#include "session/types.h"

namespace lerg::python {
namespace {

void require(bool holds, const std::string& rule) {
  if (!holds) throw std::invalid_argument(rule);
}

float* floats(const Argument& argument) { return static_cast<float*>(argument.array.data); }

// A float32 array with as many elements as `like`.
Argument float_argument(nb::handle object, const std::string& what, bool writable, size_t count) {
  Argument argument = typed_argument(object, what, ScalarType::Float, writable);
  require(argument.hold.size() == count, what + " must have as many elements as param");
  return argument;
}

void bound_adam_step(nb::handle param, nb::handle grad, nb::handle m, nb::handle v, int64_t step, double learning_rate,
                     double beta1, double beta2, double eps, double weight_decay) {
  const Argument parameter = typed_argument(param, "param", ScalarType::Float, true);
  const size_t count = parameter.hold.size();
  const Argument gradient = float_argument(grad, "grad", false, count);
  const Argument first = float_argument(m, "m", true, count), second = float_argument(v, "v", true, count);
  require(step >= 1, "step must count from 1");
  require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "beta1 and beta2 must be from 0 to below 1");
  require(std::isfinite(learning_rate) && std::isfinite(weight_decay), "learning_rate and weight_decay must be finite");
  require(eps > 0, "eps must be positive");
  const nb::gil_scoped_release unlocked;
  adam_step(floats(parameter), floats(gradient), floats(first), floats(second), count, step,
            {learning_rate, beta1, beta2, eps, weight_decay});
}

void bound_sgd_step(nb::handle param, nb::handle grad, nb::handle velocity, double learning_rate, double momentum) {
  const Argument parameter = typed_argument(param, "param", ScalarType::Float, true);
  const size_t count = parameter.hold.size();
  const Argument gradient = float_argument(grad, "grad", false, count);
  require(std::isfinite(learning_rate) && std::isfinite(momentum), "learning_rate and momentum must be finite");
  if (velocity.is_none()) {
    require(momentum == 0, "velocity is needed where momentum is not 0");
    const nb::gil_scoped_release unlocked;
    sgd_step(floats(parameter), floats(gradient), nullptr, count, learning_rate, momentum);
    return;
  }
  const Argument running = float_argument(velocity, "velocity", true, count);
  const nb::gil_scoped_release unlocked;
  sgd_step(floats(parameter), floats(gradient), floats(running), count, learning_rate, momentum);
}

// The arrays of a codebook in both forms, checked against each other.
struct Codebook {
  Argument weights, step, packed;
  CodebookShape shape;
};

Codebook codebook_arguments(nb::handle weights, nb::handle step, nb::handle packed, int bits, bool to_packed) {
  require(bits == 4 || bits == 8 || bits == 16 || bits == 32,
          "bits must be 4, 8, 16 or 32, not " + std::to_string(bits));
  const ScalarType type = bits == 4    ? ScalarType::Byte
                          : bits == 8  ? ScalarType::Char
                          : bits == 16 ? ScalarType::Short
                                       : ScalarType::Float;
  Codebook book{typed_argument(weights, to_packed ? "weights" : "out", ScalarType::Float, !to_packed),
                typed_argument(step, "step", ScalarType::Float),
                typed_argument(packed, to_packed ? "out" : "packed", type, to_packed),
                {}};
  const std::vector<int32_t>& sizes = book.weights.array.sizes;
  require(sizes.size() == 2, "a codebook must have two dimensions");
  require(bits != 4 || sizes[1] % 2 == 0, "a codebook of 4 bits must have an even number of columns");
  book.shape = {static_cast<size_t>(sizes[0]), static_cast<size_t>(sizes[1]), book.step.hold.size()};
  require(book.shape.step_count == 1 || book.shape.step_count == book.shape.rows,
          "step must have one element or one a row");
  const std::vector<int32_t> wanted{sizes[0], bits == 4 ? sizes[1] / 2 : sizes[1]};
  require(book.packed.array.sizes == wanted, "the packed codebook must have the shape " + shape_text(wanted));
  return book;
}

void bound_quantise(nb::handle weights, nb::handle step, int bits, nb::handle out) {
  const Codebook book = codebook_arguments(weights, step, out, bits, true);
  bool done = false;
  {
    const nb::gil_scoped_release unlocked;
    done = quantise(floats(book.weights), floats(book.step), book.shape, bits, book.packed.array.data);
  }
  require(done, "weights must be finite and step finite and positive");
}

void bound_dequantise(nb::handle packed, nb::handle step, int bits, nb::handle out) {
  const Codebook book = codebook_arguments(out, step, packed, bits, false);
  const nb::gil_scoped_release unlocked;
  dequantise(book.packed.array.data, floats(book.step), book.shape, bits, floats(book.weights));
}

template <typename Pointer, typename Index>
SamplingError sample(const Array& users, const Array& indptr, const Array& indices, int32_t item_count, uint64_t seed,
                     const Array& out) {
  const TouchedItems<Pointer, Index> touched{static_cast<const Pointer*>(indptr.data),
                                             static_cast<const Index*>(indices.data), element_count(indptr.sizes) - 1,
                                             element_count(indices.sizes)};
  return sample_negatives(static_cast<const int32_t*>(users.data), element_count(users.sizes), touched, item_count,
                          seed, static_cast<int32_t*>(out.data));
}

template <typename Pointer>
SamplingError sample(const Array& users, const Array& indptr, const Array& indices, int32_t item_count, uint64_t seed,
                     const Array& out) {
  const auto call = indices.type == ScalarType::Byte     ? sample<Pointer, uint8_t>
                    : indices.type == ScalarType::UInt16 ? sample<Pointer, uint16_t>
                                                         : sample<Pointer, int32_t>;
  return call(users, indptr, indices, item_count, seed, out);
}

void bound_sample_negatives(nb::handle users, nb::handle indptr, nb::handle indices, int64_t item_count, uint64_t seed,
                            nb::handle out) {
  const Argument who = typed_argument(users, "users", ScalarType::Int);
  const Argument rows = array_argument(indptr, "indptr"), items = array_argument(indices, "indices");
  const Argument drawn = typed_argument(out, "out", ScalarType::Int, true);
  const ScalarType pointer = rows.array.type, index = items.array.type;
  require(pointer == ScalarType::Int || pointer == ScalarType::Long, "indptr must be int32 or int64");
  require(index == ScalarType::Byte || index == ScalarType::UInt16 || index == ScalarType::Int,
          "indices must be uint8, uint16 or int32");
  require(rows.hold.size() >= 1, "indptr must have one element more than there are users");
  require(drawn.hold.size() == who.hold.size(), "out must have as many elements as users");
  require(item_count >= 0 && item_count <= INT32_MAX, "item_count must be from 0 to 2147483647");
  SamplingError error;
  {
    const nb::gil_scoped_release unlocked;
    const auto items_there = static_cast<int32_t>(item_count);
    error = pointer == ScalarType::Int
                ? sample<int32_t>(who.array, rows.array, items.array, items_there, seed, drawn.array)
                : sample<int64_t>(who.array, rows.array, items.array, items_there, seed, drawn.array);
  }
  require(error != SamplingError::kUser,
          "users must be from 0 to " + std::to_string(rows.hold.size() - 1) + " exclusive");
  require(error != SamplingError::kRow, "indptr must ascend within indices, and a row have at most item_count items");
}

template <typename Element>
Rows<Element> table_rows(const Array& table, const float* scales) {
  return {static_cast<const Element*>(table.data), scales, static_cast<size_t>(table.sizes[0]),
          static_cast<size_t>(table.sizes[1])};
}

void bound_hardest_candidates(nb::handle user_table, nb::handle item_table, nb::handle item_scales, nb::handle users,
                              nb::handle candidates, nb::handle out) {
  const Argument user_side = typed_argument(user_table, "user_table", ScalarType::Float);
  const Argument item_side = array_argument(item_table, "item_table");
  const bool codes = !item_scales.is_none();
  const Argument scales = codes ? typed_argument(item_scales, "item_scales", ScalarType::Float) : Argument{};
  const Argument who = typed_argument(users, "users", ScalarType::Int);
  const Argument drawn = typed_argument(candidates, "candidates", ScalarType::Int);
  const Argument chosen = typed_argument(out, "out", ScalarType::Int, true);
  const std::vector<int32_t>&user_sizes = user_side.array.sizes, &item_sizes = item_side.array.sizes;
  require(item_side.array.type == (codes ? ScalarType::Char : ScalarType::Float),
          "item_table must be float32, or int8 with item_scales");
  require(user_sizes.size() == 2 && item_sizes.size() == 2 && user_sizes[1] == item_sizes[1],
          "user_table and item_table must have two dimensions and rows of the same length");
  require(!codes || scales.hold.size() == static_cast<size_t>(item_sizes[0]),
          "item_scales must have one element for each row of item_table");
  const size_t count = who.hold.size();
  require(drawn.array.sizes.size() == 2 && drawn.array.sizes[0] >= 1 &&
              static_cast<size_t>(drawn.array.sizes[1]) == count,
          "candidates must have one row or more, and a column for each of users");
  require(chosen.hold.size() == count, "out must have as many elements as users");
  const auto per_user = static_cast<size_t>(drawn.array.sizes[0]);
  const auto *slots = static_cast<const int32_t*>(who.array.data),
             *items = static_cast<const int32_t*>(drawn.array.data);
  auto* best = static_cast<int32_t*>(chosen.array.data);
  const Rows<float> user_rows = table_rows<float>(user_side.array, nullptr);
  bool done = false;
  {
    const nb::gil_scoped_release unlocked;
    done = codes ? hardest_candidates(user_rows, table_rows<int8_t>(item_side.array, floats(scales)), slots, items,
                                      count, per_user, best)
                 : hardest_candidates(user_rows, table_rows<float>(item_side.array, nullptr), slots, items, count,
                                      per_user, best);
  }
  require(done, "users and candidates must be rows of their tables");
}

void bound_ridge_metric(nb::handle item_table, nb::handle item_scales, nb::handle counts, double ridge, nb::handle work,
                        nb::handle out) {
  const Argument table = array_argument(item_table, "item_table");
  const bool codes = !item_scales.is_none();
  const Argument scales = codes ? typed_argument(item_scales, "item_scales", ScalarType::Float) : Argument{};
  const Argument items = typed_argument(counts, "counts", ScalarType::Int);
  const Argument doubles = typed_argument(work, "work", ScalarType::Double, true);
  const Argument metric = typed_argument(out, "out", ScalarType::Float, true);
  const std::vector<int32_t>& sizes = table.array.sizes;
  require(sizes.size() == 2 && table.array.type == (codes ? ScalarType::Char : ScalarType::Float),
          "item_table must have two dimensions and be float32, or int8 with item_scales");
  const auto slots = static_cast<size_t>(sizes[0]), dim = static_cast<size_t>(sizes[1]);
  require(items.hold.size() == slots && (!codes || scales.hold.size() == slots),
          "counts and item_scales must have one element for each row of item_table");
  require(metric.array.sizes == std::vector<int32_t>{sizes[1], sizes[1]}, "out must have a row and a column a dimension");
  require(doubles.hold.size() >= ridge_work(dim), "work must have d * (d + 4) elements");
  require(ridge > 0 && std::isfinite(ridge), "ridge must be finite and above 0");
  const ItemRows rows{codes ? nullptr : static_cast<const float*>(table.array.data),
                      codes ? static_cast<const int8_t*>(table.array.data) : nullptr,
                      codes ? floats(scales) : nullptr,
                      static_cast<const int32_t*>(items.array.data),
                      slots,
                      dim};
  bool done = false;
  {
    const nb::gil_scoped_release unlocked;
    done = ridge_metric(rows, ridge, static_cast<double*>(doubles.array.data), floats(metric));
  }
  require(done, "item_table must be finite");
}

}  // namespace

void bind_numeric(nb::module_& module) {
  module.def("adam_step", &bound_adam_step, nb::arg("param"), nb::arg("grad"), nb::arg("m"), nb::arg("v"),
             nb::kw_only(), nb::arg("step"), nb::arg("learning_rate"), nb::arg("beta1") = 0.9,
             nb::arg("beta2") = 0.999, nb::arg("eps") = 1e-8, nb::arg("weight_decay") = 0.0);
  module.def("sgd_step", &bound_sgd_step, nb::arg("param"), nb::arg("grad"), nb::arg("velocity").none(), nb::kw_only(),
             nb::arg("learning_rate"), nb::arg("momentum") = 0.0);
  module.def("quantise", &bound_quantise, nb::arg("weights"), nb::arg("step"), nb::arg("bits"), nb::arg("out"));
  module.def("dequantise", &bound_dequantise, nb::arg("packed"), nb::arg("step"), nb::arg("bits"), nb::arg("out"));
  module.def("sample_negatives", &bound_sample_negatives, nb::arg("users"), nb::arg("indptr"), nb::arg("indices"),
             nb::arg("item_count"), nb::arg("seed"), nb::arg("out"));
  module.def("ridge_metric", &bound_ridge_metric, nb::arg("item_table"), nb::arg("item_scales").none(),
             nb::arg("counts"), nb::arg("ridge"), nb::arg("work"), nb::arg("out"));
  module.def("hardest_candidates", &bound_hardest_candidates, nb::arg("user_table"), nb::arg("item_table"),
             nb::arg("item_scales").none(), nb::arg("users"), nb::arg("candidates"), nb::arg("out"));
}

}  // namespace lerg::python

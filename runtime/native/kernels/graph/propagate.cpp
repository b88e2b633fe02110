// lerg::propagate_rows, lerg::propagate_rows_grad and lerg::propagate_table.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <algorithm>
#include <cstring>

#include "kernels/graph/propagation.h"
#include "kernels/scratch_sizes.h"

namespace lerg {
namespace {

constexpr int64_t kMostLayers = kFar - 1;

// Lays the call's memory out and prepares it; false with the context failed when memory is refused.
bool start(KernelRuntimeContext& context, Propagation& propagation, const int64_t* slots) {
  if (!allocate_scratch(context, [&](Scratch& scratch) { propagation.lay_out(scratch); })) return false;
  propagation.prepare(slots);
  return true;
}

CellType cells_of(int64_t layer_bits) { return layer_bits == 16 ? kHalves : kFloats; }

// Of a graph that has sizes alone, which is all that is read to lay a call's memory out.
size_t laid_out(const CallSizes& sizes, int64_t requests, bool adjoint) {
  Graph graph;
  const int64_t rows[2] = {sizes.users, sizes.items};
  for (int side = 0; side < 2; ++side) {
    graph.side[side].rows = static_cast<int32_t>(rows[side]);
    graph.side[side].per_row = static_cast<int32_t>(sizes.codes_per_entity);
  }
  graph.edges = sizes.edges;
  graph.block = sizes.blocks != 0 ? std::max<int64_t>(1, sizes.dim / std::max<int64_t>(1, sizes.codes_per_entity)) : 0;
  Scratch scratch;
  Propagation(graph, {sizes.codebook_rows, sizes.dim, requests, int(sizes.side), int(sizes.layers), adjoint,
                      cells_of(sizes.layer_bits)})
      .lay_out(scratch);
  return scratch.bytes();
}

// Whether every slot lies in [0, limit).
bool slots_below(const Tensor& rows, int64_t limit) {
  const int64_t* slots = rows.const_data_ptr<int64_t>();
  bool good = true;
  for (ssize_t b = 0; b < rows.numel(); ++b) good &= slots[b] >= 0 && slots[b] < limit;
  return good;
}

}  // namespace

size_t propagate_rows_scratch(const CallSizes& sizes) { return laid_out(sizes, sizes.requests, false); }
size_t propagate_rows_grad_scratch(const CallSizes& sizes) { return laid_out(sizes, sizes.requests, true); }
size_t propagate_table_scratch(const CallSizes& sizes) { return laid_out(sizes, -1, false); }

Tensor& propagate_rows_out(KernelRuntimeContext& context, const Tensor& codebook, const Tensor& user_codes,
                           const Tensor& item_codes, const Tensor& indptr, const Tensor& indices,
                           const Tensor& placeholders, const Tensor& rows, int64_t side, int64_t layers,
                           double anchor_weight, int64_t layer_bits, bool blocks, Tensor& out) {
  LERG_CHECK(context, is_floats(codebook, 2), out, "codebook must be a float32 matrix");
  LERG_CHECK(context, is_floats(placeholders, 2) && placeholders.size(1) == codebook.size(1), out,
             "placeholders must be a float32 matrix as wide as the codebook");
  LERG_CHECK(context, is_array(rows, ScalarType::Long, 1), out, "rows must be an int64 vector of slots");
  LERG_CHECK(context, side == 0 || side == 1, out, "side must be 0 (users) or 1 (items)");
  LERG_CHECK(context, layers >= 0 && layers <= kMostLayers, out, "layers must lie in 0..254");
  LERG_CHECK(context, layer_bits == 32 || layer_bits == 16, out, "layer_bits must be 32 or 16");
  Graph graph;
  const char* problem = read_graph({user_codes, item_codes, indptr, indices}, codebook.size(0),
                                   {anchor_weight, blocks, codebook.size(1)}, layers > 0, &graph);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, slots_below(rows, int64_t(graph.rows(side)) + placeholders.size(0)), out,
             "a slot in rows lies outside [0, retained + placeholders)");
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {rows.size(0), codebook.size(1)},
                                  {&codebook, &user_codes, &item_codes, &indptr, &indices, &placeholders, &rows}),
             out, "out cannot hold the rows");
  const PropagationShape shape{codebook.size(0), codebook.size(1), rows.size(0), int(side), int(layers), false,
                               cells_of(layer_bits)};
  Propagation propagation(graph, shape);
  const int64_t* slots = rows.const_data_ptr<int64_t>();
  if (start(context, propagation, slots))
    propagation.forward(codebook.const_data_ptr<float>(), placeholders.const_data_ptr<float>(), slots,
                        out.mutable_data_ptr<float>());
  return out;
}

Tensor& propagate_rows_grad_out(KernelRuntimeContext& context, const Tensor& grad, const Tensor& user_codes,
                                const Tensor& item_codes, const Tensor& indptr, const Tensor& indices,
                                const Tensor& rows, int64_t side, int64_t layers, double anchor_weight,
                                int64_t code_count, int64_t layer_bits, bool blocks, Tensor& out) {
  LERG_CHECK(context, is_floats(grad, 2), out, "grad must be a float32 matrix");
  LERG_CHECK(context, is_array(rows, ScalarType::Long, 1) && rows.size(0) == grad.size(0), out,
             "rows must be an int64 vector with one slot for each row of grad");
  LERG_CHECK(context, side == 0 || side == 1, out, "side must be 0 (users) or 1 (items)");
  LERG_CHECK(context, layers >= 0 && layers <= kMostLayers, out, "layers must lie in 0..254");
  LERG_CHECK(context, code_count >= 0 && code_count <= INT32_MAX / 2, out, "code_count must not be negative");
  LERG_CHECK(context, layer_bits == 32 || layer_bits == 16, out, "layer_bits must be 32 or 16");
  Graph graph;
  const char* problem = read_graph({user_codes, item_codes, indptr, indices}, code_count,
                                   {anchor_weight, blocks, grad.size(1)}, layers > 0, &graph);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, slots_below(rows, INT64_MAX), out, "a slot in rows is negative");
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {code_count, grad.size(1)},
                                  {&grad, &user_codes, &item_codes, &indptr, &indices, &rows}),
             out, "out cannot hold the codebook's gradient");
  const PropagationShape shape{code_count, grad.size(1), rows.size(0), int(side), int(layers), true,
                               cells_of(layer_bits)};
  Propagation propagation(graph, shape);
  if (start(context, propagation, rows.const_data_ptr<int64_t>()))
    propagation.adjoint(grad.const_data_ptr<float>(), out.mutable_data_ptr<float>());
  return out;
}

Tensor& propagate_table_out(KernelRuntimeContext& context, const Tensor& codebook, const Tensor& user_codes,
                            const Tensor& item_codes, const Tensor& indptr, const Tensor& indices,
                            const Tensor& placeholders, int64_t side, int64_t layers, double anchor_weight,
                            int64_t layer_bits, bool blocks, Tensor& out) {
  LERG_CHECK(context, is_floats(codebook, 2), out, "codebook must be a float32 matrix");
  LERG_CHECK(context, is_floats(placeholders, 2) && placeholders.size(1) == codebook.size(1), out,
             "placeholders must be a float32 matrix as wide as the codebook");
  LERG_CHECK(context, side == 0 || side == 1, out, "side must be 0 (users) or 1 (items)");
  LERG_CHECK(context, layers >= 0 && layers <= kMostLayers, out, "layers must lie in 0..254");
  LERG_CHECK(context, layer_bits == 32 || layer_bits == 16, out, "layer_bits must be 32 or 16");
  Graph graph;
  const char* problem = read_graph({user_codes, item_codes, indptr, indices}, codebook.size(0),
                                   {anchor_weight, blocks, codebook.size(1)}, layers > 0, &graph);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  const int64_t retained = graph.rows(side), dim = codebook.size(1);
  LERG_CHECK(context, prepare_out(out, ScalarType::Float, {retained + placeholders.size(0), dim},
                                  {&codebook, &user_codes, &item_codes, &indptr, &indices, &placeholders}),
             out, "out cannot hold the table");
  const PropagationShape shape{codebook.size(0), dim, -1, int(side), int(layers), false,
                               cells_of(layer_bits)};
  Propagation propagation(graph, shape);
  if (!start(context, propagation, nullptr)) return out;
  float* table = out.mutable_data_ptr<float>();
  propagation.forward(codebook.const_data_ptr<float>(), nullptr, nullptr, table);
  if (placeholders.numel() > 0)
    std::memcpy(table + retained * dim, placeholders.const_data_ptr<float>(), placeholders.numel() * sizeof(float));
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "propagate_rows.out", lerg::propagate_rows_out);
EXECUTORCH_LIBRARY(lerg, "propagate_rows_grad.out", lerg::propagate_rows_grad_out);
EXECUTORCH_LIBRARY(lerg, "propagate_table.out", lerg::propagate_table_out);

#include "kernels/graph/graph.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace lerg {
namespace {

// Whether all values lie in [0, limit); a negative one is a large unsigned one.
bool all_below(const Integers& integers, int64_t count, int64_t limit) {
  return with_type(integers, [&](const auto* values) {
    using Unsigned = std::make_unsigned_t<std::remove_cv_t<std::remove_reference_t<decltype(*values)>>>;
    if (limit <= 0) return count == 0;
    const int64_t largest = std::min<int64_t>(limit - 1, std::numeric_limits<int32_t>::max());
    if (largest >= int64_t(std::numeric_limits<Unsigned>::max())) return true;
    const Unsigned bound = static_cast<Unsigned>(largest);
    Unsigned outside = 0;  // as wide as the values, so that the loop takes whole vectors of them
    for (int64_t i = 0; i < count; ++i) outside |= static_cast<Unsigned>(values[i]) > bound;
    return outside == 0;
  });
}

// Whether indices ascend strictly inside every row: falls anywhere may only be at the starts of rows.
bool rows_ascend(const Adjacency& adjacency, int32_t rows, int64_t edges) {
  constexpr int64_t kChunk = 1 << 15;
  return with_type(adjacency.indices, [&](const auto* indices) {
    int64_t falls = 0;
    for (int64_t first = 1; first < edges; first += kChunk) {
      const int64_t last = std::min(first + kChunk, edges);
      uint16_t here = 0;
      for (int64_t e = first; e < last; ++e) here += indices[e] <= indices[e - 1];
      falls += here;
    }
    for (int32_t v = 1; v < rows; ++v) {
      const int32_t start = adjacency.indptr[v];
      const bool starts_here = start > adjacency.indptr[v - 1] && start < edges;
      if (starts_here) falls -= indices[start] <= indices[start - 1];
    }
    return falls == 0;
  });
}

const char* read_assignment(const Tensor& tensor, int64_t code_count, Assignment* assignment) {
  if (tensor.dim() != 2 || !executorch::runtime::tensor_is_default_dim_order(tensor) ||
      !index_type(tensor, &assignment->codes.type))
    return "codes must be a uint8, uint16 or int32 matrix, one row an entity";
  if (tensor.size(1) < 1) return "codes must have at least one column";
  assignment->codes.data = tensor.const_data_ptr();
  assignment->rows = static_cast<int32_t>(tensor.size(0));
  assignment->per_row = static_cast<int32_t>(tensor.size(1));
  if (!all_below(assignment->codes, tensor.numel(), code_count))
    return "a code lies outside [0, number of codebook rows)";
  return nullptr;
}

const char* read_edges(const GraphTensors& tensors, Graph* graph) {
  const int32_t users = graph->rows(0);
  if (!is_array(tensors.indptr, ScalarType::Int, 1) || tensors.indptr.numel() != int64_t(users) + 1)
    return "indptr must be an int32 vector of retained users + 1 entries";
  if (tensors.indices.dim() != 1 || !executorch::runtime::tensor_is_default_dim_order(tensors.indices) ||
      !index_type(tensors.indices, &graph->by_user.indices.type))
    return "indices must be a uint8, uint16 or int32 vector";
  graph->by_user.indptr = tensors.indptr.const_data_ptr<int32_t>();
  graph->by_user.indices.data = tensors.indices.const_data_ptr();
  graph->edges = tensors.indices.numel();
  const int32_t* indptr = graph->by_user.indptr;
  int32_t falls = 0;
  for (int32_t v = 0; v < users; ++v) falls += indptr[v + 1] < indptr[v];
  if (falls != 0 || indptr[0] != 0 || indptr[users] != graph->edges)
    return "indptr must rise from 0 to the number of indices without a fall";
  if (!all_below(graph->by_user.indices, graph->edges, graph->rows(1)))
    return "an index lies outside [0, number of retained items)";
  if (!rows_ascend(graph->by_user, users, graph->edges)) return "indices must ascend strictly in every row";
  return nullptr;
}

// Turns the counts of rows 0 .. rows - 1 in indptr[row + 1] into the places where the rows start.
void counts_to_starts(int32_t* indptr, int64_t rows) {
  int32_t total = 0;
  for (int64_t row = 1; row <= rows; ++row) {
    const int32_t count = indptr[row];
    indptr[row] = total;
    total += count;
  }
}

// On one thread: split over several, it took longer, because their writes land in each other's cache lines.
template <class From, class To>
void transpose_typed(const Graph& graph, const From* from, int32_t* indptr, To* to) {
  const int32_t users = graph.rows(0), items = graph.rows(1);
  const int32_t* rows = graph.by_user.indptr;
  // indptr[i + 1] counts, becomes the row's start while it fills, and ends as the row's end.
  std::fill(indptr, indptr + items + 1, 0);
  for (int64_t e = 0; e < graph.edges; ++e) ++indptr[from[e] + 1];
  counts_to_starts(indptr, items);
  for (int32_t u = 0; u < users; ++u)
    for (int32_t e = rows[u]; e < rows[u + 1]; ++e) to[indptr[from[e] + 1]++] = static_cast<To>(u);
}

template <class From, class To>
void list_typed(const From* codes, const Assignment& assignment, int64_t code_count, int32_t* indptr, To* to) {
  const int64_t lists = 2 * code_count;
  const auto list_of = [&](int64_t place, int32_t column) {
    return int64_t(codes[place]) + (column == 0 ? 0 : code_count);
  };
  std::fill(indptr, indptr + lists + 1, 0);
  for (int64_t v = 0, place = 0; v < assignment.rows; ++v)
    for (int32_t j = 0; j < assignment.per_row; ++j, ++place) ++indptr[list_of(place, j) + 1];
  counts_to_starts(indptr, lists);
  for (int64_t v = 0, place = 0; v < assignment.rows; ++v)
    for (int32_t j = 0; j < assignment.per_row; ++j, ++place)
      to[indptr[list_of(place, j) + 1]++] = static_cast<To>(v);
}

}  // namespace

const char* read_graph(const GraphTensors& tensors, int64_t code_count, const Composition& composition,
                       bool edges_matter, Graph* graph) {
  if (const char* problem = read_assignment(tensors.user_codes, code_count, &graph->side[0])) return problem;
  if (const char* problem = read_assignment(tensors.item_codes, code_count, &graph->side[1])) return problem;
  const int32_t per_row = graph->side[0].per_row;
  if (per_row != graph->side[1].per_row) return "user codes and item codes must have as many columns";
  if (composition.blocks) {
    if (composition.dim % per_row != 0) return "columns must be a multiple of the number of blocks, one for each code";
    graph->block = composition.dim / per_row;
  } else if (per_row > 1) {
    graph->anchor = static_cast<float>(composition.anchor_weight);
    graph->other = static_cast<float>((1.0 - composition.anchor_weight) / (per_row - 1));
  }
  return edges_matter ? read_edges(tensors, graph) : nullptr;
}

Parts split_rows(const int32_t* indptr, int32_t rows) {
  Parts parts;
  const int64_t whole = int64_t(indptr[rows]) + rows;
  parts.bound[0] = 0;
  int32_t row = 0;
  for (int part = 1; part < kParts; ++part) {
    const int64_t share = whole * part / kParts;
    int32_t low = row, high = rows;
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (int64_t(indptr[middle]) + middle < share) low = middle + 1;
      else high = middle;
    }
    parts.bound[part] = row = low;
  }
  parts.bound[kParts] = rows;
  return parts;
}

IndexType row_type(int64_t rows) { return rows <= 65536 ? kUInt16 : kInt32; }

int64_t index_bytes(IndexType type) { return type == kUInt8 ? 1 : type == kUInt16 ? 2 : 4; }

void transpose(const Graph& graph, int32_t* indptr, void* indices) {
  with_type(graph.by_user.indices, [&](const auto* from) {
    if (row_type(graph.rows(0)) == kUInt16)
      transpose_typed(graph, from, indptr, static_cast<uint16_t*>(indices));
    else
      transpose_typed(graph, from, indptr, static_cast<int32_t*>(indices));
  });
}

void list_by_code(const Assignment& assignment, int64_t code_count, int32_t* indptr, void* entities) {
  with_type(assignment.codes, [&](const auto* codes) {
    if (row_type(assignment.rows) == kUInt16)
      list_typed(codes, assignment, code_count, indptr, static_cast<uint16_t*>(entities));
    else
      list_typed(codes, assignment, code_count, indptr, static_cast<int32_t*>(entities));
  });
}

void degree_roots(const int32_t* indptr, int32_t rows, float* inverse_root, float* root) {
  for (int32_t v = 0; v < rows; ++v) {
    const int32_t degree = indptr[v + 1] - indptr[v];
    const float square_root = std::sqrt(static_cast<float>(degree));
    inverse_root[v] = degree == 0 ? 0.0f : 1.0f / square_root;
    if (root != nullptr) root[v] = square_root;
  }
}

}  // namespace lerg

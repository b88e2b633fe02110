// The rewired graph and the assignment as an operator receives them, checked, and what is derived from them.
#pragma once

#include <cstdint>

#include "kernels/checks.h"
#include "kernels/loops/loops.h"
#include "kernels/parallel.h"
#include "kernels/scratch.h"

namespace lerg {

constexpr int kParts = 32;  // parts of a pass over one side's rows

// Integers of one of the index types.
struct Integers {
  const void* data = nullptr;
  IndexType type = kInt32;
};

// Calls body with a pointer of the stored type.
template <class Body>
auto with_type(const Integers& integers, const Body& body) {
  switch (integers.type) {
    case kUInt8:
      return body(static_cast<const uint8_t*>(integers.data));
    case kUInt16:
      return body(static_cast<const uint16_t*>(integers.data));
    default:
      return body(static_cast<const int32_t*>(integers.data));
  }
}

// Codes of one side's retained entities, [rows, per_row]; column 0 is the anchor.
struct Assignment {
  Integers codes;
  int32_t rows = 0;
  int32_t per_row = 0;
};

// How a row of `dim` columns comes from its codes: as their weighted sum or, with `blocks`, as equal blocks side by
// side, the j-th out of the codebook row of the j-th code.
struct Composition {
  double anchor_weight = 1.0;
  bool blocks = false;
  int64_t dim = 0;
};

// Compressed sparse rows over one side; the indices are the other side's rows.
struct Adjacency {
  const int32_t* indptr = nullptr;
  Integers indices;
};

struct Graph {
  Assignment side[2];   // users, items
  Adjacency by_user;    // as stored; rows ascending
  int64_t edges = 0;
  float anchor = 1.0f;  // weight of the first code, and of each other one
  float other = 0.0f;
  int64_t block = 0;    // columns that one code gives; 0 where rows are weighted sums

  int32_t rows(int which) const { return side[which].rows; }
};

// The four tensors that stand for the graph in every propagation operator's schema.
struct GraphTensors {
  const Tensor& user_codes;
  const Tensor& item_codes;
  const Tensor& indptr;
  const Tensor& indices;
};

// Reads and checks the tensors. Returns null, or the sentence that says which rule is broken: types and
// shapes, codes in [0, code_count), blocks of whole columns, indptr from 0 to the number of edges without a fall, indices below the
// number of items, strictly ascending in a row. `edges_matter` false leaves the adjacency unread.
const char* read_graph(const GraphTensors& tensors, int64_t code_count, const Composition& composition,
                       bool edges_matter, Graph* graph);

// Boundaries of kParts parts of the rows [0, rows), balanced by edges and rows together.
struct Parts {
  int32_t bound[kParts + 1];
};
Parts split_rows(const int32_t* indptr, int32_t rows);

// Runs body(begin, end) over the parts; `width` is the number of floats an edge or a row costs.
template <class Body>
void run_rows(const Parts& parts, int64_t items, int64_t width, const Body& body) {
  run_parts(kParts, items * width, [&](int part) {
    if (parts.bound[part] < parts.bound[part + 1]) body(parts.bound[part], parts.bound[part + 1]);
  });
}

// Smallest of uint16 and int32 that holds row numbers below `rows`.
IndexType row_type(int64_t rows);
int64_t index_bytes(IndexType type);

// Items' rows from users' rows. `indptr` has items + 1 entries, `indices` edges of row_type(users), which ascend in
// every row.
void transpose(const Graph& graph, int32_t* indptr, void* indices);

// Entities of each code of one side: list k in [0, codes) holds those with anchor k, list codes + k those
// with k elsewhere in their row, ascending. `indptr` has 2 * codes + 1 entries, `entities` rows * per_row.
void list_by_code(const Assignment& assignment, int64_t code_count, int32_t* indptr, void* entities);

// 1 / sqrt(degree) and, unless null, sqrt(degree) for each row; 0 for a row without edges.
void degree_roots(const int32_t* indptr, int32_t rows, float* inverse_root, float* root);

}  // namespace lerg

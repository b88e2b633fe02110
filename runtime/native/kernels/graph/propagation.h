// Propagation over the rewired bipartite graph and its adjoint, block of columns by block of columns.
//
// With X the composed rows of each side and A the normalised adjacency, the rows asked for are
// H = 1 / (L + 1) * sum over l = 0..L of A^l X (LightGCN, arXiv 2002.02126, equations 4 to 6). A joins users to
// items only, so the terms that reach one side alternate between the sides, and Horner's rule needs one table a
// side: T_L = X, T_l = X + A T_{l+1}, H = T_0 / (L + 1), T_l on the requested side for even l and on the other
// for odd l. Tables hold D^-1/2 T, so that a pass over the edges only adds. T_l is computed for the rows within
// l hops of a requested one.
//
// Tables may be stored as float16. Rows are multiplied by a power of two then, chosen so that no row can pass the
// range: a row of D^-1/2 T_l is at most L - l + 1 times the largest magnitude of a composed row, and one of the
// adjoint's D^-1/2 w at most the largest of w_0. The rows asked for are float32 in any case.
//
// No column depends on another, so a block of columns goes through all levels before the next begins, in tables
// that fit caches. Two blocks go side by side, each mostly on its own core: rows that one core wrote are slow to
// gather for another.
#pragma once

#include "kernels/graph/graph.h"
#include "kernels/ranking/requests.h"

namespace lerg {

// One call's sizes: all that its working memory depends on.
struct PropagationShape {
  int64_t codes = 0;
  int64_t dim = 0;
  int64_t requests = 0;  // rows asked for; a negative number asks for the whole side
  int side = 0;
  int layers = 0;
  bool adjoint = false;
  CellType cells = kFloats;  // of the tables

  bool whole() const { return requests < 0; }
};

class Propagation {
 public:
  Propagation(const Graph& graph, const PropagationShape& shape) : graph_(graph), shape_(shape) {}

  void lay_out(Scratch& scratch);

  // Derives the transpose, the degrees and, from `slots` [requests] unless the whole side is asked for, the
  // distances; to be called once, before either of the two below.
  void prepare(const int64_t* slots);

  // codebook [codes, dim], placeholders [.., dim] -> out [requests, dim], or [rows, dim] for the whole side
  // without its placeholders.
  void forward(const float* codebook, const float* placeholders, const int64_t* slots, float* out);

  // grad [requests, dim] -> out [codes, dim]: the gradient of the codebook. Placeholder slots give nothing.
  void adjoint(const float* grad, float* out);

 private:
  // A block of columns and its working memory.
  struct Lane {
    int64_t first = 0;  // columns [first, first + count)
    int64_t count = 0;
    BlockWidth width = kWide;
    float* codebook = nullptr;           // [codes, stride]
    void* table[2] = {nullptr, nullptr};  // [rows, stride] cells, or floats for distinct rows, of each side
    float* push_sums[kPushParts] = {};    // [kPushRows, stride], for halves
    int32_t* push_cursors[kPushParts] = {};
    float scale = 1.0f;  // of what the tables hold

    int64_t stride() const { return kBlockColumns[width]; }
  };

  // body() for every group of lanes, with lanes_[0 .. active_) set to blocks of columns.
  template <class Body>
  void each_group(const Body& body);
  // body(lane, part) over the active lanes; `floats` is the work of one lane for each of its columns.
  template <class Body>
  void each_part(int parts, int64_t floats, const Body& body) const;

  void find_distinct(const int64_t* slots);
  void pack(const float* codebook, const Lane& lane) const;
  void forward_level(int level) const;
  void compute_rows(const Lane& lane, int level, const RowRange& range, CellType cells, void* target) const;
  void write_whole(float* out) const;
  void write_rows(const float* placeholders, const int64_t* slots, float* out) const;
  void gather_grad(const float* grad) const;
  void scatter_grad();
  void push_level() const;
  void scale_rows() const;
  void gather_level(int level) const;
  void collect(int side) const;
  // Rows that are blocks of codebook rows: those of `range` times `scale`, and the codebook's gradient from rows of a
  // side's table times `scale`, of the `listed` entities or of the first `count`. A null scale is 1.
  void compose_blocks(const Lane& lane, int side, const RowRange& range, CellType cells, const float* scale,
                      void* target) const;
  void scatter_blocks(const Lane& lane, int side, const int32_t* listed, int32_t count, CellType cells,
                      const float* scale) const;
  float codebook_scale(const float* codebook) const;
  int64_t edge_work() const { return graph_.edges + graph_.rows(0) + graph_.rows(1); }

  Graph graph_;
  PropagationShape shape_;
  Requests requests_;
  Adjacency adjacency_[2];
  Parts parts_[2];
  int32_t push_bound_[kPushParts + 1];
  Lane lanes_[kMostLanes];
  int active_ = 0;
  int32_t* item_indptr_ = nullptr;
  uint8_t* item_indices_ = nullptr;
  float* inverse_root_[2] = {nullptr, nullptr};
  float* root_[2] = {nullptr, nullptr};
  int32_t* list_indptr_[2] = {nullptr, nullptr};
  uint8_t* list_entities_[2] = {nullptr, nullptr};
};

}  // namespace lerg

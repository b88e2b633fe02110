#include "kernels/graph/propagation.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/loops/isa.h"

namespace lerg {
namespace {

constexpr int64_t kNarrowColumns = kBlockColumns[kNarrow];
constexpr int64_t kWideColumns = kBlockColumns[kWide];

// Boundary of equal shares of `count` things.
int64_t share(int64_t count, int part, int parts) { return count * part / parts; }

int64_t cell_bytes(CellType cells) { return cells == kHalves ? 2 : 4; }

// The power of two by which numbers of at most this magnitude fill the range of a half, 1 for no or infinite ones.
float half_scale(float most) {
  if (!(most > 0.0f) || !std::isfinite(most)) return 1.0f;
  int exponent;
  std::frexp(most, &exponent);  // most < 2^exponent
  return std::ldexp(1.0f, std::clamp(15 - exponent, -120, 120));
}

float largest_magnitude(const float* values, int64_t count) {
  float largest = 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(values[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

}  // namespace

void Propagation::lay_out(Scratch& scratch) {
  const int side = shape_.side;
  const int32_t rows[2] = {graph_.rows(0), graph_.rows(1)};
  if (!shape_.whole()) requests_.lay_out(scratch, rows, shape_.requests, side, shape_.layers, shape_.adjoint);
  const int64_t distinct = shape_.whole() ? 0 : std::min<int64_t>(shape_.requests, rows[side]);
  const int64_t between = shape_.layers >= 2 ? rows[side] : 0;
  const int64_t width = shape_.dim > kNarrowColumns ? kWideColumns : kNarrowColumns;
  const int lanes = shape_.dim > kWideColumns ? kMostLanes : 1;
  for (Lane* lane = lanes_; lane < lanes_ + lanes; ++lane) {
    lane->codebook = scratch.take<float>(shape_.codes * width);
    // Holds the distinct rows asked for, as floats, and in turn all rows of the levels between.
    lane->table[side] = scratch.take<uint8_t>(std::max(distinct * 4, between * cell_bytes(shape_.cells)) * width);
    if (shape_.layers == 0) continue;
    lane->table[1 - side] = scratch.take<uint8_t>(rows[1 - side] * cell_bytes(shape_.cells) * width);
    for (int part = 0; shape_.adjoint && shape_.cells == kHalves && part < kPushParts; ++part) {
      lane->push_sums[part] = scratch.take<float>(kPushRows * width);
      lane->push_cursors[part] = scratch.take<int32_t>(distinct);
    }
  }
  if (shape_.layers == 0) return;
  item_indptr_ = scratch.take<int32_t>(int64_t(rows[1]) + 1);
  item_indices_ = scratch.take<uint8_t>(graph_.edges * index_bytes(row_type(rows[0])));
  for (int s = 0; s < 2; ++s) {
    inverse_root_[s] = scratch.take<float>(rows[s]);
    if (!shape_.adjoint) continue;
    root_[s] = scratch.take<float>(rows[s]);
    if (graph_.block > 0) continue;  // blocks need no lists by code
    list_indptr_[s] = scratch.take<int32_t>(2 * shape_.codes + 1);
    list_entities_[s] =
        scratch.take<uint8_t>(int64_t(rows[s]) * graph_.side[s].per_row * index_bytes(row_type(rows[s])));
  }
}

void Propagation::prepare(const int64_t* slots) {
  const int side = shape_.side;
  const int32_t rows[2] = {graph_.rows(0), graph_.rows(1)};
  if (shape_.layers == 0) {
    find_distinct(slots);
    return;
  }
  adjacency_[0] = graph_.by_user;
  adjacency_[1] = {item_indptr_, {item_indices_, row_type(rows[0])}};
  const auto describe = [&](int s) {
    parts_[s] = split_rows(adjacency_[s].indptr, rows[s]);
    degree_roots(adjacency_[s].indptr, rows[s], inverse_root_[s], root_[s]);
  };
  // The transpose is the longest by far; what does not need it goes beside it.
  run_parts(2, graph_.edges + kSerialWork, [&](int part) {
    if (part == 0) {
      transpose(graph_, item_indptr_, item_indices_);
      describe(1);
      return;
    }
    describe(0);
    find_distinct(slots);
    for (int s = 0; shape_.adjoint && graph_.block == 0 && s < 2; ++s)
      list_by_code(graph_.side[s], shape_.codes, list_indptr_[s], list_entities_[s]);
  });
  if (!shape_.whole()) find_hops(adjacency_, parts_, rows, side, shape_.layers, &requests_);
  if (!shape_.adjoint || requests_.count == rows[side]) return;
  for (int part = 0; part <= kPushParts; ++part)
    push_bound_[part] = parts_[1 - side].bound[part * kParts / kPushParts];
  split_pushes(adjacency_[side], push_bound_, &requests_);
}

void Propagation::find_distinct(const int64_t* slots) {
  if (shape_.whole()) return;
  // More requests than rows leave hardly a row out, and where none is the adjoint has a shorter way.
  const int32_t rows = graph_.rows(shape_.side);
  const bool everyone = shape_.adjoint && shape_.requests >= rows;
  lerg::find_distinct(slots, shape_.requests, rows, shape_.side, everyone, &requests_);
}

template <class Body>
void Propagation::each_group(const Body& body) {
  for (int64_t first = 0; first < shape_.dim;) {
    for (active_ = 0; active_ < kMostLanes && first < shape_.dim; ++active_) {
      Lane& lane = lanes_[active_];
      const int64_t left = shape_.dim - first;
      lane.width = left > kNarrowColumns ? kWide : kNarrow;
      lane.first = first;
      lane.count = std::min(left, lane.stride());
      first += lane.count;
    }
    body();
  }
}

template <class Body>
void Propagation::each_part(int parts, int64_t floats, const Body& body) const {
  run_lanes(active_, parts, floats * kWideColumns * active_, [&](int lane, int part) { body(lanes_[lane], part); });
}

float Propagation::codebook_scale(const float* codebook) const {
  if (shape_.cells != kHalves) return 1.0f;
  const float most = largest_magnitude(codebook, shape_.codes * shape_.dim);
  const float others = static_cast<float>(graph_.side[0].per_row - 1);
  const float weights = std::fabs(graph_.anchor) + std::fabs(graph_.other) * others;
  return half_scale(most * std::max(weights, 1.0f) * static_cast<float>(shape_.layers + 1));
}

void Propagation::pack(const float* codebook, const Lane& lane) const {
  const int64_t stride = lane.stride();
  for (int64_t code = 0; code < shape_.codes; ++code) {
    float* row = lane.codebook + code * stride;
    const float* from = codebook + code * shape_.dim + lane.first;
    for (int64_t j = 0; j < lane.count; ++j) row[j] = from[j] * lane.scale;
    std::fill(row + lane.count, row + stride, 0.0f);
  }
}

void Propagation::forward(const float* codebook, const float* placeholders, const int64_t* slots, float* out) {
  const float scale = codebook_scale(codebook);
  for (Lane& lane : lanes_) lane.scale = scale;
  each_group([&] {
    each_part(1, shape_.codes, [&](const Lane& lane, int) { pack(codebook, lane); });
    for (int level = shape_.layers; level > 0; --level) forward_level(level);
    if (shape_.whole()) {
      write_whole(out);
      return;
    }
    forward_level(0);
    write_rows(placeholders, slots, out);
  });
}

// T_level of the rows in range, times D^-1/2 except for level 0.
void Propagation::compute_rows(const Lane& lane, int level, const RowRange& range, CellType cells,
                               void* target) const {
  const int here = shape_.side ^ (level & 1);
  const Assignment& assignment = graph_.side[here];
  const Adjacency& adjacency = adjacency_[here];
  const float* scale = level == 0 ? nullptr : inverse_root_[here];
  if (graph_.block > 0) {
    compose_blocks(lane, here, range, cells, scale, target);
  } else {
    const ComposeArgs own{assignment.codes.data, assignment.per_row, graph_.anchor, graph_.other, lane.codebook,
                          scale, target};
    loops().compose[cells][assignment.codes.type][lane.width](own, range);
  }
  if (level == shape_.layers) return;
  const GatherArgs neighbours{adjacency.indptr, adjacency.indices.data, lane.table[1 - here], inverse_root_[here],
                              level != 0, true, target};
  loops().gather[shape_.cells][cells][adjacency.indices.type][lane.width](neighbours, range);
}

void Propagation::forward_level(int level) const {
  const int here = shape_.side ^ (level & 1);
  const bool last = level == 0;  // of the rows asked for; this table holds T itself and not D^-1/2 T
  each_part(kParts, edge_work(), [&](const Lane& lane, int part) {
    RowRange range{last ? requests_.distinct : nullptr, last ? nullptr : requests_.hops[here], level, 0, 0, 0};
    range.begin = last ? static_cast<int32_t>(share(requests_.count, part, kParts)) : parts_[here].bound[part];
    range.end = last ? static_cast<int32_t>(share(requests_.count, part + 1, kParts)) : parts_[here].bound[part + 1];
    compute_rows(lane, level, range, last ? kFloats : shape_.cells, lane.table[here]);
  });
}

// Level 0 of a whole side, a few rows at a time straight to their place.
void Propagation::write_whole(float* out) const {
  constexpr int32_t kRows = 64;
  const int side = shape_.side;
  const float mean = 1.0f / static_cast<float>(shape_.layers + 1);
  each_part(kParts, edge_work(), [&](const Lane& lane, int part) {
    alignas(64) float rows[kRows * kWideColumns];
    const auto bound = [&](int of) {  // parts by edges, where there are layers and so edges
      return shape_.layers > 0 ? parts_[side].bound[of] : static_cast<int32_t>(share(graph_.rows(side), of, kParts));
    };
    const int32_t end = bound(part + 1);
    int32_t begin = bound(part);
    for (; begin < end; begin += kRows) {
      const int32_t limit = std::min(begin + kRows, end);
      compute_rows(lane, 0, {nullptr, nullptr, 0, begin, limit, begin}, kFloats, rows);
      for (int32_t v = begin; v < limit; ++v) {
        float* to = out + v * shape_.dim + lane.first;
        const float* from = rows + (v - begin) * lane.stride();
        for (int64_t j = 0; j < lane.count; ++j) to[j] = from[j] * (mean / lane.scale);
      }
    }
  });
}

void Propagation::write_rows(const float* placeholders, const int64_t* slots, float* out) const {
  const int64_t retained = graph_.rows(shape_.side);
  const float mean = 1.0f / static_cast<float>(shape_.layers + 1);
  each_part(kParts, shape_.requests, [&](const Lane& lane, int part) {
    for (int64_t b = share(shape_.requests, part, kParts); b < share(shape_.requests, part + 1, kParts); ++b) {
      float* to = out + b * shape_.dim + lane.first;
      const int64_t place = requests_.place[b];
      if (place < 0) {
        const float* centroid = placeholders + (slots[b] - retained) * shape_.dim + lane.first;
        std::memcpy(to, centroid, lane.count * sizeof(float));
        continue;
      }
      const float* from = static_cast<const float*>(lane.table[shape_.side]) + place * lane.stride();
      for (int64_t j = 0; j < lane.count; ++j) to[j] = from[j] * (mean / lane.scale);
    }
  });
}

void Propagation::adjoint(const float* grad, float* out) {
  each_group([&] {
    gather_grad(grad);
    scatter_grad();
    for (int level = 1; level <= shape_.layers; ++level) {
      if (level == 1 && requests_.count < graph_.rows(shape_.side)) {
        push_level();
      } else {
        if (level == 1) scale_rows();
        gather_level(level);
      }
      collect(shape_.side ^ (level & 1));
    }
    each_part(1, shape_.codes, [&](const Lane& lane, int) {
      for (int64_t code = 0; code < shape_.codes; ++code)
        for (int64_t j = 0; j < lane.count; ++j)
          out[code * shape_.dim + lane.first + j] = lane.codebook[code * lane.stride() + j] * (1.0f / lane.scale);
    });
  });
}

// Sums the gradients of each distinct requested row, divided by the number of terms.
void Propagation::gather_grad(const float* grad) const {
  const float mean = 1.0f / static_cast<float>(shape_.layers + 1);
  each_part(kPushParts, shape_.requests, [&](const Lane& lane, int part) {
    const int64_t stride = lane.stride();
    const int64_t begin = share(requests_.count, part, kPushParts);
    const int64_t end = share(requests_.count, part + 1, kPushParts);
    float* table = static_cast<float*>(lane.table[shape_.side]);
    std::fill(table + begin * stride, table + end * stride, 0.0f);
    for (int64_t b = 0; b < shape_.requests; ++b) {
      const int64_t place = requests_.place[b];
      if (place < begin || place >= end) continue;
      const float* from = grad + b * shape_.dim + lane.first;
      float* to = table + place * stride;
      for (int64_t j = 0; j < lane.count; ++j) to[j] += from[j] * mean;
    }
  });
}

// The codebook's gradient from the requested rows themselves, level 0.
void Propagation::scatter_grad() {
  const Assignment& assignment = graph_.side[shape_.side];
  each_part(1, shape_.codes + requests_.count, [&](const Lane& given, int) {
    Lane& lane = lanes_[&given - lanes_];
    float* rows = static_cast<float*>(lane.table[shape_.side]);
    const int64_t size = requests_.count * lane.stride();
    lane.scale = shape_.cells == kHalves ? half_scale(largest_magnitude(rows, size)) : 1.0f;
    for (int64_t i = 0; lane.scale != 1.0f && i < size; ++i) rows[i] *= lane.scale;
    std::fill(lane.codebook, lane.codebook + shape_.codes * lane.stride(), 0.0f);
    if (graph_.block > 0) {
      scatter_blocks(lane, shape_.side, requests_.distinct, requests_.count, kFloats, nullptr);
      return;
    }
    loops().scatter_codes[assignment.codes.type][lane.width](
        {assignment.codes.data, assignment.per_row, graph_.anchor, graph_.other, requests_.distinct,
         requests_.count, rows, lane.codebook});
  });
}

// Level 1 of the adjoint starts from few rows: each adds itself to its neighbours.
void Propagation::push_level() const {
  const int from = shape_.side, to = 1 - shape_.side;
  const Integers& indices = adjacency_[from].indices;
  each_part(kPushParts, edge_work(), [&](const Lane& lane, int part) {
    const PushArgs args{indices.data, requests_.distinct, requests_.splits + part, requests_.splits + part + 1,
                        kPushParts + 1, requests_.count, static_cast<const float*>(lane.table[from]),
                        inverse_root_[from], inverse_root_[to], lane.table[to], lane.push_sums[part],
                        lane.push_cursors[part]};
    loops().push[shape_.cells][indices.type][lane.width](args, push_bound_[part], push_bound_[part + 1]);
  });
}

// From w_0 to D^-1/2 w_0, of all rows of the side.
void Propagation::scale_rows() const {
  const int side = shape_.side;
  each_part(kParts, graph_.rows(side), [&](const Lane& lane, int part) {
    float* table = static_cast<float*>(lane.table[side]);
    const int64_t stride = lane.stride();
    for (int64_t v = parts_[side].bound[part]; v < parts_[side].bound[part + 1]; ++v)
      for (int64_t j = 0; j < stride; ++j) table[v * stride + j] *= inverse_root_[side][v];
  });
}

void Propagation::gather_level(int level) const {
  const int here = shape_.side ^ (level & 1);
  const Adjacency& adjacency = adjacency_[here];
  each_part(kParts, edge_work(), [&](const Lane& lane, int part) {
    const RowRange range{nullptr, requests_.hops[here], level, parts_[here].bound[part],
                         parts_[here].bound[part + 1], 0};
    const GatherArgs neighbours{adjacency.indptr, adjacency.indices.data, lane.table[1 - here], inverse_root_[here],
                                true, false, lane.table[here]};
    const CellType source = level == 1 ? kFloats : shape_.cells;
    loops().gather[source][shape_.cells][adjacency.indices.type][lane.width](neighbours, range);
  });
}

// Adds S^T w of one side's table, which holds D^-1/2 w, to the codebook's gradient.
void Propagation::collect(int side) const {
  if (graph_.block > 0) {
    each_part(1, graph_.rows(side), [&](const Lane& lane, int) {
      scatter_blocks(lane, side, nullptr, graph_.rows(side), shape_.cells, root_[side]);
    });
    return;
  }
  const int32_t per_row = graph_.side[side].per_row;
  const IndexType type = row_type(graph_.rows(side));
  each_part(kParts, int64_t(graph_.rows(side)) * per_row, [&](const Lane& lane, int part) {
    const int32_t begin = static_cast<int32_t>(share(shape_.codes, part, kParts));
    const int32_t end = static_cast<int32_t>(share(shape_.codes, part + 1, kParts));
    CollectArgs args{list_indptr_[side], list_entities_[side], lane.table[side], root_[side],
                     graph_.anchor, begin, end, lane.codebook};
    loops().collect[shape_.cells][type][lane.width](args);
    if (per_row == 1) return;
    args.indptr += shape_.codes;
    args.weight = graph_.other;
    loops().collect[shape_.cells][type][lane.width](args);
  });
}

}  // namespace lerg

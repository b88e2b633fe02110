#include "kernels/ranking/requests.h"

#include <algorithm>
#include <cstring>

namespace lerg {

void Requests::lay_out(Scratch& scratch, const int32_t* rows, int64_t requests, int side, int layers,
                       bool adjoint) {
  const int64_t most = std::min<int64_t>(requests, rows[side]);
  distinct = scratch.take<int32_t>(most);
  place = scratch.take<int32_t>(requests);
  hops[side] = scratch.take<uint8_t>(rows[side]);
  if (layers == 0) return;
  hops[1 - side] = scratch.take<uint8_t>(rows[1 - side]);
  if (adjoint) splits = scratch.take<int32_t>(most * (kPushParts + 1));
}

void find_distinct(const int64_t* slots, int64_t requests, int32_t rows, int side, bool everyone,
                   Requests* out) {
  uint8_t* hops = out->hops[side];
  std::memset(hops, everyone ? 0 : kFar, rows);
  for (int64_t b = 0; b < requests; ++b)
    if (slots[b] < rows) hops[slots[b]] = 0;
  out->count = 0;
  for (int32_t v = 0; v < rows; ++v)
    if (hops[v] == 0) out->distinct[out->count++] = v;
  const int32_t* first = out->distinct;
  const int32_t* end = first + out->count;
  for (int64_t b = 0; b < requests; ++b)
    out->place[b] =
        slots[b] < rows ? static_cast<int32_t>(std::lower_bound(first, end, slots[b]) - first) : -1;
}

void find_hops(const Adjacency* adjacency, const Parts* parts, const int32_t* rows, int side, int layers,
               Requests* requests) {
  if (layers == 0) return;
  uint8_t* first = requests->hops[1 - side];
  std::memset(first, kFar, rows[1 - side]);
  with_type(adjacency[side].indices, [&](const auto* indices) {
    const int32_t* indptr = adjacency[side].indptr;
    for (int32_t i = 0; i < requests->count; ++i) {
      const int32_t u = requests->distinct[i];
      for (int32_t e = indptr[u]; e < indptr[u + 1]; ++e) first[indices[e]] = 1;
    }
  });
  for (int level = 2; level <= layers; ++level) {
    const int here = side ^ (level & 1);
    uint8_t* own = requests->hops[here];
    const uint8_t* other = requests->hops[1 - here];
    with_type(adjacency[here].indices, [&](const auto* indices) {
      const int32_t* indptr = adjacency[here].indptr;
      run_rows(parts[here], rows[here], 16, [&](int32_t begin, int32_t end) {
        for (int32_t v = begin; v < end; ++v) {
          if (own[v] != kFar) continue;
          for (int32_t e = indptr[v]; e < indptr[v + 1]; ++e) {
            if (other[indices[e]] >= level) continue;
            own[v] = static_cast<uint8_t>(level);
            break;
          }
        }
      });
    });
  }
}

void split_pushes(const Adjacency& adjacency, const int32_t* bound, Requests* requests) {
  with_type(adjacency.indices, [&](const auto* indices) {
    for (int32_t i = 0; i < requests->count; ++i) {
      const int32_t u = requests->distinct[i];
      int32_t* splits = requests->splits + int64_t(i) * (kPushParts + 1);
      const auto* end = indices + adjacency.indptr[u + 1];
      const auto* from = indices + adjacency.indptr[u];
      for (int part = 0; part <= kPushParts; ++part) {
        from = part == kPushParts ? end : std::lower_bound(from, end, bound[part], [](auto index, int32_t limit) {
          return static_cast<int32_t>(index) < limit;
        });
        splits[part] = static_cast<int32_t>(from - indices);
      }
    }
  });
}

}  // namespace lerg

// The rows that an operator call asks for, and how far every other row is from them.
#pragma once

#include <cstdint>

#include "kernels/graph/graph.h"

namespace lerg {

constexpr int kFar = 255;      // hops of a row that no request reaches; layers stay below it
constexpr int kPushParts = 4;  // parts of the pass that starts from the requested rows

// Distinct requested rows of one side, ascending, and each request's place among them.
struct Requests {
  int32_t* distinct = nullptr;  // [min(requests, rows)]
  int32_t* place = nullptr;     // [requests], -1 for a placeholder slot
  int32_t* splits = nullptr;    // [distinct, kPushParts + 1], adjoint only
  uint8_t* hops[2] = {nullptr, nullptr};  // [rows] of each side: distance from the requested rows
  int32_t count = 0;

  void lay_out(Scratch& scratch, const int32_t* rows, int64_t requests, int side, int layers, bool adjoint);
};

// Fills distinct, place and count; with `everyone` all rows are taken as asked for. Slots from `rows` on are
// placeholders; the caller has checked the sign.
void find_distinct(const int64_t* slots, int64_t requests, int32_t rows, int side, bool everyone,
                   Requests* requests_out);

// Fills hops up to `layers` over the two sides' adjacencies.
void find_hops(const Adjacency* adjacency, const Parts* parts, const int32_t* rows, int side, int layers,
               Requests* requests);

// Fills splits: where each distinct row's indices pass from one part of the other side's rows to the next.
// `bound` holds those parts' kPushParts + 1 boundaries.
void split_pushes(const Adjacency& adjacency, const int32_t* bound, Requests* requests);

}  // namespace lerg

// The metric by which histories are compared: M = (G d / tr(G) + ridge I)^-1, G the sum of h h' over all items.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lerg {

// The item table as it is ranked by: `counts[s]` items have row s.
struct ItemRows {
  const float* floats;   // [slots, dim], or null where there are codes
  const int8_t* codes;   // [slots, dim]
  const float* scales;   // [slots], of codes
  const int32_t* counts;  // [slots]
  size_t slots, dim;
};

// Doubles that `ridge_metric` works in.
constexpr size_t ridge_work(size_t dim) { return dim * (dim + 4); }

// Writes float32 [dim, dim], symmetric. Sums go in the order of the slots, whatever the machine and its threads. False
// where a row is not finite, or ridge not above 0.
__attribute__((visibility("default"))) bool ridge_metric(const ItemRows& rows, double ridge, double* work, float* out);

}  // namespace lerg

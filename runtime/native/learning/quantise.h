// The codebook between its two forms: float32 weights and what a bundle carries, integers or the same floats.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lerg {

// A codebook of rows x columns; step has one element, or one a row (step_count == rows).
struct CodebookShape {
  size_t rows;
  size_t columns;
  size_t step_count;
};

// Bytes of the packed form: one a weight for 8 bits, two for 16, four for 32, half for 4 (columns are even then).
size_t packed_bytes(const CodebookShape& shape, int bits);

// packed = round(clip(weight / step, -2^(bits-1), 2^(bits-1) - 1)), ties to even (LSQ, arXiv 1902.08153, equation 1).
// bits 4, 8 or 16: two's complement, 16 bits in the machine's byte order; for 4 bits the element 2j is the low nibble
// of byte j and 2j + 1 the high one. bits 32: float32 weights as they are, whatever the step. False where a weight or a
// step is not finite or a step not positive; `packed` is then partly written.
bool quantise(const float* weights, const float* step, const CodebookShape& shape, int bits, void* packed);

// weight = packed * step; with 32 bits weight = packed
void dequantise(const void* packed, const float* step, const CodebookShape& shape, int bits, float* weights);

}  // namespace lerg

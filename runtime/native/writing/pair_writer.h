// The other side of kernels/graph/pair_code.h.
#pragma once

#include <cstdint>
#include <vector>

namespace lerg {

// The code of pairs in compressed rows, fewer than 2^30 of them, columns ascending strictly within a row; the same pairs
// give the same bytes.
std::vector<uint8_t> encode_pairs(const int32_t* starts, int64_t rows, const int32_t* columns, int64_t column_count);

}  // namespace lerg

// The other side of kernels/coding/array_code.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/coding/array_code.h"

namespace lerg {

// The code of `count` elements of `width` bytes. `odds` has kTextOdds elements for kText and is not looked at otherwise.
std::vector<uint8_t> encode_array(const uint8_t* data, size_t count, int width, int coding, int16_t* odds);

}  // namespace lerg

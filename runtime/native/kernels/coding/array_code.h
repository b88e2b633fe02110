// Arrays of integers or text, coded byte by byte with chances that follow what went before. An element's bytes are coded
// from the most significant one down, each from its highest bit down.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lerg {

enum ArrayCoding : int {
  kAlone = 1,  // a bit's chance depends on the byte's place in its element and on the bits before it in the byte
  kNear = 2,   // also on the element before it, while nothing differs from that
  kText = 3,   // of elements of one byte: on up to four bytes before it
};

// Elements of int16 that kText works on.
constexpr int64_t kTextOdds = 256 + 3 * 65536;

inline bool is_array_coding(int coding, int width) {
  const bool plain = coding == kAlone || coding == kNear;
  return (width == 1 || width == 2 || width == 4 || width == 8) && (plain || (coding == kText && width == 1));
}

// False where the bytes are too few or too many for so many elements. `odds` has kTextOdds elements for kText and is not
// looked at otherwise. `width` is an element's bytes, which lie as little-endian machines have them.
__attribute__((visibility("default"))) bool decode_array(const uint8_t* coded, size_t bytes, uint8_t* data,
                                                         size_t count, int width, int coding, int16_t* odds);

}  // namespace lerg

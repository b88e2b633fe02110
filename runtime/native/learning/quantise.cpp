#include "learning/quantise.h"

#include <algorithm>
#include <cmath>

namespace lerg {
namespace {

constexpr int kFloatBits = 32;

// Rounds to nearest, ties to even: the default rounding mode, which nothing here changes.
int32_t rounded_code(float weight, float step, float low, float high) {
  return static_cast<int32_t>(std::nearbyint(std::min(std::max(weight / step, low), high)));
}

template <typename Code>
void quantise_row(const float* weights, float step, size_t columns, float low, float high, Code* codes) {
  for (size_t j = 0; j < columns; ++j) codes[j] = static_cast<Code>(rounded_code(weights[j], step, low, high));
}

void quantise_row_to_nibbles(const float* weights, float step, size_t columns, uint8_t* bytes) {
  for (size_t j = 0; j < columns; j += 2) {
    const auto even = static_cast<uint32_t>(rounded_code(weights[j], step, -8.0f, 7.0f));
    const auto odd = static_cast<uint32_t>(rounded_code(weights[j + 1], step, -8.0f, 7.0f));
    bytes[j / 2] = static_cast<uint8_t>((even & 0xf) | (odd & 0xf) << 4);
  }
}

float sign_extended(unsigned nibble) { return static_cast<float>(static_cast<int>(nibble ^ 8u) - 8); }

template <typename Code>
void dequantise_row(const Code* codes, float step, size_t columns, float* weights) {
  for (size_t j = 0; j < columns; ++j) weights[j] = static_cast<float>(codes[j]) * step;
}

}  // namespace

size_t packed_bytes(const CodebookShape& shape, int bits) {
  return shape.rows * (bits == 4 ? shape.columns / 2 : shape.columns * static_cast<size_t>(bits / 8));
}

bool quantise(const float* weights, const float* step, const CodebookShape& shape, int bits, void* packed) {
  const float low = -std::ldexp(1.0f, bits - 1), high = std::ldexp(1.0f, bits - 1) - 1.0f;
  for (size_t row = 0; row < shape.rows; ++row) {
    const float* values = weights + row * shape.columns;
    const float size = step[shape.step_count == 1 ? 0 : row];
    if (!std::isfinite(size) || size <= 0.0f) return false;
    if (!std::all_of(values, values + shape.columns, [](float value) { return std::isfinite(value); })) return false;
    if (bits == kFloatBits) {
      std::copy_n(values, shape.columns, static_cast<float*>(packed) + row * shape.columns);
    } else if (bits == 4) {
      quantise_row_to_nibbles(values, size, shape.columns, static_cast<uint8_t*>(packed) + row * shape.columns / 2);
    } else if (bits == 8) {
      quantise_row(values, size, shape.columns, low, high, static_cast<int8_t*>(packed) + row * shape.columns);
    } else {
      quantise_row(values, size, shape.columns, low, high, static_cast<int16_t*>(packed) + row * shape.columns);
    }
  }
  return true;
}

void dequantise(const void* packed, const float* step, const CodebookShape& shape, int bits, float* weights) {
  for (size_t row = 0; row < shape.rows; ++row) {
    float* values = weights + row * shape.columns;
    const float size = step[shape.step_count == 1 ? 0 : row];
    if (bits == kFloatBits) {
      std::copy_n(static_cast<const float*>(packed) + row * shape.columns, shape.columns, values);
    } else if (bits == 4) {
      const uint8_t* bytes = static_cast<const uint8_t*>(packed) + row * shape.columns / 2;
      for (size_t j = 0; j < shape.columns; j += 2) {
        values[j] = sign_extended(bytes[j / 2] & 0xfu) * size;
        values[j + 1] = sign_extended(bytes[j / 2] >> 4) * size;
      }
    } else if (bits == 8) {
      dequantise_row(static_cast<const int8_t*>(packed) + row * shape.columns, size, shape.columns, values);
    } else {
      dequantise_row(static_cast<const int16_t*>(packed) + row * shape.columns, size, shape.columns, values);
    }
  }
}

}  // namespace lerg

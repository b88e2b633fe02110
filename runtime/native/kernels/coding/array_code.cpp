#include "kernels/coding/array_code.h"

#include "kernels/coding/array_model.h"

namespace lerg {
namespace {

struct Reading {
  BitReader bits;
  int bit(int32_t chance, int) { return bits.get_either(static_cast<uint32_t>(chance)); }
  int foreseen_bit(int32_t chance, int) { return bits.get(static_cast<uint32_t>(chance)); }
};

}  // namespace

bool decode_array(const uint8_t* coded, size_t bytes, uint8_t* data, size_t count, int width, int coding,
                  int16_t* odds) {
  Reading reader{BitReader(coded, bytes)};
  if (coding == kText) {
    Text text(odds);
    for (size_t i = 0; i < count; ++i) data[i] = text.code(reader, 0);
  } else {
    Elements elements(coding == kNear);
    for (size_t i = 0; i < count; ++i) {
      const uint64_t value = elements.code(reader, width, 0);
      for (int byte = 0; byte < width; ++byte) data[i * size_t(width) + size_t(byte)] = uint8_t(value >> (8 * byte));
    }
  }
  return reader.bits.ended_well();
}

}  // namespace lerg

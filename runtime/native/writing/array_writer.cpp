#include "writing/array_writer.h"

#include "kernels/coding/array_model.h"
#include "writing/bit_writer.h"

namespace lerg {
namespace {

struct Writing {
  BitWriter bits;
  int bit(int32_t chance, int value) { return bits.put(static_cast<uint32_t>(chance), value), value; }
  int foreseen_bit(int32_t chance, int value) { return bit(chance, value); }
};

uint64_t element(const uint8_t* data, int width) {
  uint64_t value = 0;
  for (int byte = 0; byte < width; ++byte) value |= uint64_t(data[byte]) << (8 * byte);
  return value;
}

}  // namespace

std::vector<uint8_t> encode_array(const uint8_t* data, size_t count, int width, int coding, int16_t* odds) {
  Writing writer;
  if (coding == kText) {
    Text text(odds);
    for (size_t i = 0; i < count; ++i) text.code(writer, data[i]);
  } else {
    Elements elements(coding == kNear);
    for (size_t i = 0; i < count; ++i) elements.code(writer, width, element(data + i * size_t(width), width));
  }
  return writer.bits.finish();
}

}  // namespace lerg

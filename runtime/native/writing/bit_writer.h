// The writer of the arithmetic coder that kernels/coding/bits.h reads, and describes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace lerg {

class BitWriter {
 public:
  // `chance` of a 1, in 1/65536, from 1 to 65535. A 1 takes the lower share.
  void put(uint32_t chance, int bit) {
    const uint64_t share = (range_ >> 16) * chance;
    narrow(bit ? 0 : share, bit ? share : range_ - share);
  }
  // One of three. `one` and `two` are the chances that it is 1 or 2, and that it is 2.
  void put_three(uint32_t one, uint32_t two, int symbol) {
    const uint64_t unit = range_ >> 16, outer = unit * one, inner = unit * two;
    if (symbol == 2) narrow(0, inner);
    else if (symbol == 1) narrow(inner, outer - inner);
    else narrow(outer, range_ - outer);
  }
  // The bytes, as many as a reader reads.
  std::vector<uint8_t> finish() {
    for (int byte = 0; byte < 8; ++byte, low_ <<= 8) bytes_.push_back(static_cast<uint8_t>(low_ >> 56));
    return std::move(bytes_);
  }

 private:
  void add(uint64_t up) {
    low_ += up;
    if (low_ >= up) return;
    for (size_t i = bytes_.size(); i-- > 0 && ++bytes_[i] == 0;) {
    }
  }
  void narrow(uint64_t up, uint64_t range) {
    add(up);
    range_ = range;
    if (range_ >> 32 != 0) return;
    for (int byte = 0; byte < 4; ++byte, low_ <<= 8) bytes_.push_back(static_cast<uint8_t>(low_ >> 56));
    range_ <<= 32;
  }

  uint64_t low_ = 0, range_ = UINT64_MAX;
  std::vector<uint8_t> bytes_;
};

}  // namespace lerg

// The chances of an array's bits: the same for reading and writing. `Coder` reads a bit, or writes the one it is given.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/coding/array_code.h"
#include "kernels/coding/bits.h"

namespace lerg {

// How far a chance moves, in 1/65536 of what it missed, after so many bits.
constexpr int32_t kMemory = 1000;
struct Paces {
  int32_t of[kMemory + 1] = {};

  constexpr Paces() {
    for (int32_t seen = 0; seen <= kMemory; ++seen) of[seen] = 131072 / (2 * seen + 3);
  }
};
constexpr Paces kPaces{};

// How often a bit was 1, of late rather than long ago.
class Frequency {
 public:
  template <class Coder>
  int code(Coder& coder, int bit) {
    const int32_t chance = std::min(std::max(chance_, 32), 65504);
    bit = coder.bit(chance, bit);
    chance_ += static_cast<int32_t>((int64_t((bit << 16) - chance_) * kPaces.of[seen_]) >> 16);
    seen_ += int32_t(seen_ < kMemory);
    return bit;
  }

 private:
  int32_t chance_ = 32768, seen_ = 0;
};

// kAlone and kNear.
class Elements {
 public:
  explicit Elements(bool near) : near_(near) {}

  template <class Coder>
  uint64_t code(Coder& coder, int width, uint64_t value) {
    uint64_t found = 0;
    bool alike = near_;
    for (int byte = width - 1; byte >= 0; --byte) {
      int node = 1;
      for (int place = 7; place >= 0; --place) {
        const int bit = static_cast<int>(value >> (8 * byte + place)) & 1;
        const int before = static_cast<int>(last_ >> (8 * byte + place)) & 1;
        Frequency& frequency = alike ? alike_[byte][place][before] : alone_[byte][node];
        const int got = frequency.code(coder, bit);
        alike = alike && got == before;
        node = 2 * node + got;
      }
      found |= static_cast<uint64_t>(node & 255) << (8 * byte);
    }
    last_ = found;
    return found;
  }

 private:
  const bool near_;
  uint64_t last_ = 0;
  Frequency alone_[8][256], alike_[8][8][2];
};

// kText: the odds of a bit are the sum of four numbers, by no byte, one, two and four bytes before it.
class Text {
 public:
  explicit Text(int16_t* odds) : odds_(odds) { std::fill(odds, odds + kTextOdds, int16_t(0)); }

  template <class Coder>
  uint8_t code(Coder& coder, uint8_t value) {
    int16_t *by_one = odds_ + 256 + 256 * (before_ & 255), *by_two = odds_ + 256 + 65536, *by_four = by_two + 65536;
    const uint32_t start_two = (before_ & 65535) * 0x9E3779B1u >> 8, start_four = (before_ + 1) * 0x9E3779B1u >> 8;
    uint32_t node = 1;
    for (int place = 7; place >= 0; --place) {
      int16_t& none = odds_[node];
      int16_t& one = by_one[node];
      int16_t& two = by_two[(start_two + node * 0x2F0B4C47u) >> 3 & 65535];
      int16_t& four = by_four[(start_four + node * 0x2F0B4C47u) >> 3 & 65535];
      const int32_t chance = chances_.of(none + one + two + four);
      const int bit = coder.foreseen_bit(chance, value >> place & 1);
      const int32_t missed = (bit << 16) - chance;
      none = moved(none, missed, 2);
      one = moved(one, missed, 8);
      two = moved(two, missed, 16);
      four = moved(four, missed, 32);
      node = 2 * node + static_cast<uint32_t>(bit);
    }
    before_ = before_ << 8 | (node & 255);
    return static_cast<uint8_t>(node);
  }

 private:
  static int16_t moved(int32_t odds, int32_t missed, int32_t pace) {
    return static_cast<int16_t>(std::min(std::max(odds + ((missed * pace + 512) >> 10), -32767), 32767));
  }

  const Chances chances_;
  int16_t* odds_;
  uint32_t before_ = 0;  // the last four bytes
};

}  // namespace lerg

// The reader of an arithmetic coder with chances of 16 bits, in integers alone: the same on every machine. Reading is
// bounded: past the end come zeros, and `ended_well` tells. writing/bit_writer.h is the other side.
//
// What was coded so far is an interval of [0, 1); each symbol takes its share of it (range coding, Martin 1979). The
// interval's width is kept in 64 bits and never below 2^32; 32 bits move on at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lerg {

class BitReader {
 public:
  BitReader(const uint8_t* data, size_t size) : data_(data), size_(size) {
    next();
    next();
  }
  // With a jump, for a bit that is mostly foreseen.
  int get(uint32_t chance) {
    const uint64_t share = (range_ >> 16) * chance;
    if (at_ < share) {
      range_ = share;
      refill();
      return 1;
    }
    at_ -= share;
    range_ -= share;
    refill();
    return 0;
  }
  // Without one.
  int get_either(uint32_t chance) {
    const uint64_t share = (range_ >> 16) * chance, zero = uint64_t(at_ < share) - 1;
    at_ -= share & zero;
    range_ = share ^ ((share ^ (range_ - share)) & zero);
    refill();
    return static_cast<int>(zero + 1);
  }
  // Of three, without a jump.
  uint32_t get_three(uint32_t one, uint32_t two) {
    const uint64_t unit = range_ >> 16, ends[4] = {range_, unit * one, unit * two, 0};
    const uint32_t symbol = uint32_t(at_ < ends[1]) + uint32_t(at_ < ends[2]);
    at_ -= ends[symbol + 1];
    range_ = ends[symbol] - ends[symbol + 1];
    refill();
    return symbol;
  }
  // Whether what was read so far is all that there was, and no more.
  bool ended_well() const { return read_ == size_; }

 private:
  void refill() {
    if (range_ >> 32 != 0) return;
    range_ <<= 32;
    next();
  }
  void next() {
    uint32_t word = 0;
    if (read_ + 4 <= size_) {
      const uint8_t* from = data_ + read_;
      word = uint32_t(from[0]) << 24 | uint32_t(from[1]) << 16 | uint32_t(from[2]) << 8 | from[3];
    } else {
      for (size_t byte = read_; byte < read_ + 4; ++byte) word = word << 8 | (byte < size_ ? data_[byte] : 0);
    }
    read_ += 4;
    at_ = at_ << 32 | word;
  }

  const uint8_t* data_;
  size_t size_, read_ = 0;
  uint64_t range_ = UINT64_MAX, at_ = 0;
};

// The chance of a 1 for odds whose logarithm is x: 65536 / (1 + e^-x) at multiples of a quarter from -8 to 8, straight
// lines between, kept away from certainty. Odds are counted in 1/4096 and looked up in steps of 16 of these.
class Chances {
 public:
  Chances() {
    static constexpr int32_t kKnots[65] = {
    22, 28, 36, 47, 60, 77, 98, 126, 162, 208, 267, 342, 439,
    562, 720, 922, 1179, 1506, 1921, 2446, 3108, 3938, 4971, 6249, 7812, 9702,
    11955, 14595, 17625, 21025, 24743, 28693, 32768, 36843, 40793, 44511, 47911, 50941, 53581,
    55834, 57724, 59287, 60565, 61598, 62428, 63090, 63615, 64030, 64357, 64614, 64816, 64974,
    65097, 65194, 65269, 65328, 65374, 65410, 65438, 65459, 65476, 65489, 65500, 65508, 65514};
    for (int i = 0; i < kCount; ++i) {
      const int32_t below = kKnots[i >> 6], above = kKnots[(i >> 6) + 1];
      const int32_t chance = below + (((above - below) * (i & 63)) >> 6);
      table_[i] = static_cast<uint16_t>(chance < 16 ? 16 : chance > 65520 ? 65520 : chance);
    }
  }
  int32_t of(int32_t odds) const {
    const int32_t place = (odds >> 4) + kCount / 2;
    return table_[place < 0 ? 0 : place >= kCount ? kCount - 1 : place];
  }

 private:
  static constexpr int kCount = 4096;
  uint16_t table_[kCount];
};

}  // namespace lerg

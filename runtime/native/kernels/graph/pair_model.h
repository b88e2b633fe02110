// The chances of the symbols of a code of pairs.
//
// At a node of the tree each row that has a pair below it has a symbol: 2 if both halves of the node have a pair of its,
// 1 if the left one alone, 0 if the right one alone. Its chances follow what the rows before it answered at the node and
// which way the row came there.
#pragma once

#include <cstdint>

namespace lerg {

// What a node's last rows answered, at most kMemory of them: how often each symbol. A place is a number of such counts;
// 0 is that of no answer.
struct Answers {
  static constexpr int kMemory = 6, kPlaces = 84;

  uint8_t counts[kPlaces][3] = {};
  uint8_t after[kPlaces][3] = {};  // the place after a symbol

  constexpr Answers() {
    uint8_t place[kMemory + 1][kMemory + 1][kMemory + 1] = {};
    int places = 0;
    for (int all = 0; all <= kMemory; ++all)
      for (int one = 0; one <= all; ++one)
        for (int two = 0; one + two <= all; ++two, ++places) {
          const int number[3] = {all - one - two, one, two};
          for (int symbol = 0; symbol < 3; ++symbol) counts[places][symbol] = static_cast<uint8_t>(number[symbol]);
          place[number[0]][one][two] = static_cast<uint8_t>(places);
        }
    for (int now = 0; now < kPlaces; ++now)
      for (int symbol = 0; symbol < 3; ++symbol) {
        int number[3] = {counts[now][0], counts[now][1], counts[now][2]};
        if (number[0] + number[1] + number[2] == kMemory) --number[forgotten(number, symbol)];
        ++number[symbol];
        after[now][symbol] = place[number[0]][number[1]][number[2]];
      }
  }

 private:
  // One of the other symbols: the more frequent one, the lower one of equals.
  static constexpr int forgotten(const int* number, int symbol) {
    const int lower = symbol == 0 ? 1 : 0, higher = symbol == 2 ? 1 : 2;
    const int most = number[higher] > number[lower] ? higher : lower;
    return number[most] > 0 ? most : symbol;
  }
};
constexpr Answers kAnswers{};

class PairModel {
 public:
  static constexpr int kTurns = 4;  // a row's last symbol was 2 (2) or not (0), and it went left (0) or right (1)

  void begin() {
    for (int place = 0; place < Answers::kPlaces; ++place) {
      const uint32_t none = kAnswers.counts[place][0], one = kAnswers.counts[place][1], two = kAnswers.counts[place][2];
      const uint32_t left = 65535 * (5 * (one + two) + 2) / (5 * (none + one + two) + 4);
      const uint32_t both = left * (10 * two + 3) / (10 * (one + two) + 6);
      for (uint32_t& chances : chances_[place]) chances = left << 16 | both;
    }
  }

  // `three` reads a symbol from its chances, or writes the one it knows. Nothing jumps on what it is: that can't be
  // foreseen.
  template <class Three>
  uint32_t code(const Three& three, uint32_t* place, uint32_t turn) {
    uint32_t* chances = &chances_[*place][turn];
    const uint32_t now = *chances;
    // Where all answers are alike both numbers come to be the same: 32 keep a share for 1.
    const uint32_t symbol = three((now >> 16) + 32, now & 65535);
    // Each goes a 64th of the way to where it should have been.
    *chances = now - (now >> 6 & 0x03FF03FF) + kTowards[symbol];
    *place = kAnswers.after[*place][symbol];
    return symbol;
  }

 private:
  static constexpr uint32_t kTowards[3] = {0, 0x03FF0000, 0x03FF03FF};

  uint32_t chances_[Answers::kPlaces][kTurns];  // that the left half has a pair, and in the lower 16 bits that both have
};

}  // namespace lerg

// The order in which a code of pairs is written and read: the same for both.
//
// Leaves, such as columns, are halved until each stands alone. A node has the list of the rows that have a pair in it; for
// each of them a symbol tells in which halves, and so which rows are in the lists of these. Two trees can be done by turns:
// while a processor waits for a symbol of one, it goes on with the other.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/graph/pair_model.h"

namespace lerg {

// How a list keeps a row: its number and, in the lowest bits, its last turn.
constexpr int kTurnBits = 2;
constexpr uint32_t kTurnMask = (1 << kTurnBits) - 1;
constexpr int64_t kMostListedRows = int64_t(1) << (32 - kTurnBits);

// Where a node's right half begins.
inline int64_t halved(int64_t first, int64_t end) { return (first + end + 1) / 2; }

// One tree. Lists of nodes that are yet to be halved lie one behind the other at the start of `lists`, and those of
// leaves, in their order, at its end: right halves are done first, so that both meet when all is done. `Bits` is told of
// each node by `begin(first, middle, end)` and has `three(chance, chance, row)`.
template <class Bits>
class PairTree {
 public:
  // What there is to work on.
  struct Space {
    uint32_t* lists;  // [room]; at first the rows that have a pair, as lists keep them
    int64_t room;     // elements that all leaves' lists may have
    uint32_t* right;  // as many as there are rows
    int32_t* counts;  // [leaves]: lengths of their lists
  };

  // Begins with leaves `first` to `end`, `end` exclusive, at least one, and a list of `rows`, at most `room`.
  void begin(const Bits& bits, int64_t first, int64_t end, const Space& space, int64_t rows) {
    strand_ = Strand{};
    strand_.bits = bits;
    model_.begin();
    space_ = space;
    first_ = first;
    bottom_ = space.room;
    fits_ = true;
    ahead_ = 0;
    waiting_count_ = 0;
    std::fill(space.counts, space.counts + (end - first), 0);
    push(first, end, 0, rows);
    next();
  }

  // Symbols until the next list begins; 0 when all is done.
  int64_t ahead() const { return ahead_; }

  // Codes so many symbols, at most `ahead`.
  void code(int64_t symbols) {
    Strand strand = strand_;
    for (int64_t i = 0; i < symbols; ++i) strand.step(&model_);
    strand_ = strand;
    coded(symbols);
  }

  // The same in two trees by turns.
  static void code_two(PairTree* one, PairTree* other, int64_t symbols) {
    Strand first = one->strand_, second = other->strand_;
    for (int64_t i = 0; i < symbols; ++i) {
      first.step(&one->model_);
      second.step(&other->model_);
    }
    one->strand_ = first;
    other->strand_ = second;
    one->coded(symbols);
    other->coded(symbols);
  }

  // When all is done: elements of the leaves' lists, of rows as they are, which end where `lists` does; -1 where they
  // would not fit.
  int64_t found() const { return fits_ ? space_.room - bottom_ : -1; }
  const Bits& bits() const { return strand_.bits; }

 private:
  static constexpr int kDeepest = 33;  // leaves are fewer than 2^31

  struct Node {
    int64_t first, end, start, count;  // leaves, and its list
  };

  // What a symbol needs and changes.
  struct Strand {
    Bits bits;
    uint32_t place;
    const uint32_t* from;
    uint32_t *left, *right;

    void step(PairModel* model) {
      const uint32_t row = *from++;
      const uint32_t symbol = model->code(
          [&](uint32_t one, uint32_t two) { return bits.three(one, two, row >> kTurnBits); }, &place, row & kTurnMask);
      const uint32_t turned = (row & ~kTurnMask) | (symbol & 2);
      *left = turned;
      left += (symbol + 1) >> 1;
      *right = turned | 1;
      right += 1 ^ (symbol & 1);
    }
  };

  void push(int64_t first, int64_t end, int64_t start, int64_t count) {
    if (count > 0) waiting_[waiting_count_++] = {first, end, start, count};
  }

  // Where that was all of a node, its left half's list is in place, and the right one's comes behind it.
  void coded(int64_t symbols) {
    ahead_ -= symbols;
    if (symbols == 0 || ahead_ > 0) return;
    const int64_t left = strand_.left - (space_.lists + node_.start), right = strand_.right - space_.right;
    if (node_.start + left + right > bottom_) {
      fits_ = false;
      return;
    }
    std::copy(space_.right, space_.right + right, space_.lists + node_.start + left);
    const int64_t middle = halved(node_.first, node_.end);
    push(node_.first, middle, node_.start, left);
    push(middle, node_.end, node_.start + left, right);
    next();
  }

  // Takes leaves until there is a node to halve.
  void next() {
    while (waiting_count_ > 0) {
      node_ = waiting_[--waiting_count_];
      uint32_t* list = space_.lists + node_.start;
      if (node_.end - node_.first > 1) {
        strand_.place = 0;
        strand_.from = strand_.left = list;
        strand_.right = space_.right;
        strand_.bits.begin(node_.first, halved(node_.first, node_.end), node_.end);
        ahead_ = node_.count;
        return;
      }
      space_.counts[node_.first - first_] = static_cast<int32_t>(node_.count);
      for (int64_t i = node_.count; i-- > 0;) space_.lists[--bottom_] = list[i] >> kTurnBits;
    }
  }

  Strand strand_{};
  PairModel model_;
  Space space_{};
  Node node_{}, waiting_[kDeepest];
  int waiting_count_ = 0;
  int64_t first_ = 0, bottom_ = 0, ahead_ = 0;
  bool fits_ = true;
};

}  // namespace lerg

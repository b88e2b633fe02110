// All of a code of pairs, top and parts, in the order in which it is written and read: the same for both.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/graph/pair_code.h"
#include "kernels/graph/pair_tree.h"

namespace lerg {

// Where the columns of each part end: halves of halves.
inline void cut_columns(PairCode* code) {
  int64_t ends[PairCode::kMostParts + 1] = {0, code->columns};
  for (int parts = 1; parts < code->parts; parts *= 2)
    for (int p = parts; p > 0; --p) {
      ends[2 * p] = ends[p];
      ends[2 * p - 1] = halved(ends[p - 1], ends[p]);
    }
  for (int p = 0; p < code->parts; ++p) code->part[p].first = ends[p], code->part[p].end = ends[p + 1];
}

// The tree whose leaves are the parts, and before it a bit for each row: whether it has a pair at all. Leaves the list of
// each part where that part's tree begins; false where lists do not fit.
template <class Bits>
bool code_top(const PairCode& code, const PairScratch& scratch, Bits* bits) {
  uint32_t chances[4] = {32768, 32768, 32768, 32768}, last = 0;
  int64_t roots = 0;
  for (int64_t row = 0; row < code.rows; ++row) {
    const auto bit = static_cast<uint32_t>(bits->bit(chances[last], static_cast<uint32_t>(row)));
    chances[last] = chances[last] - (chances[last] >> 5) + bit * 2047;
    last = (last << 1 | bit) & 3;
    if (bit == 0) continue;
    if (roots == scratch.roots) return false;
    scratch.lists[roots++] = static_cast<uint32_t>(row) << kTurnBits;
  }
  PairTree<Bits> tree;
  tree.begin(*bits, 0, code.parts, {scratch.lists, code.pairs, scratch.right, scratch.counts_of_parts}, roots);
  while (tree.ahead() > 0) tree.code(tree.ahead());
  *bits = tree.bits();
  if (tree.found() < 0) return false;
  for (int p = 0; p < code.parts; ++p)
    if (scratch.counts_of_parts[p] > code.part[p].pairs) return false;
  // No list begins before its place, so none is written over.
  const uint32_t* from = scratch.lists + (code.pairs - tree.found());
  for (int p = 0; p < code.parts; ++p)
    for (int64_t i = 0; i < scratch.counts_of_parts[p]; ++i)
      scratch.lists[code.part[p].before + i] = *from++ << kTurnBits;
  return true;
}

// Does parts, two at a time, until `next(&bits)`, which gives a part's number, has no more; `give(p, tree)` is told of
// each when it is done.
template <class Bits, class Next, class Give>
void code_parts(const PairCode& code, const PairScratch& scratch, uint32_t* right,
                const Next& next, const Give& give) {
  PairTree<Bits> trees[2];
  int part[2];
  const auto begin = [&](int t) {
    Bits bits;
    part[t] = next(&bits);
    if (part[t] >= code.parts) return;
    const PairCode::Part& own = code.part[part[t]];
    trees[t].begin(bits, own.first, own.end,
                   {scratch.lists + own.before, own.pairs, right + t * scratch.roots, scratch.counts + own.first},
                   scratch.counts_of_parts[part[t]]);
  };
  begin(0);
  begin(1);
  while (part[0] < code.parts || part[1] < code.parts) {
    if (part[1] >= code.parts) trees[0].code(trees[0].ahead());
    else if (part[0] >= code.parts) trees[1].code(trees[1].ahead());
    else PairTree<Bits>::code_two(&trees[0], &trees[1], std::min(trees[0].ahead(), trees[1].ahead()));
    for (int t = 0; t < 2; ++t)
      if (part[t] < code.parts && trees[t].ahead() == 0) {
        give(part[t], trees[t]);
        begin(t);
      }
  }
}

}  // namespace lerg

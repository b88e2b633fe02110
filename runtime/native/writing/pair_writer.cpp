#include "writing/pair_writer.h"

#include <algorithm>

#include "kernels/graph/pair_walk.h"
#include "writing/bit_writer.h"

namespace lerg {
namespace {

constexpr int64_t kPairsOfSeveralParts = 1 << 17;  // below this another part costs more than it is worth
constexpr int kUsualParts = 16;

void write_number(std::vector<uint8_t>* bytes, int64_t number) {
  for (int shift = 0; shift < 32; shift += 8) bytes->push_back(static_cast<uint8_t>(number >> shift));
}

// Knows the pairs, and so what is to be written.
struct Writing {
  BitWriter* bits = nullptr;
  const int32_t *starts = nullptr, *columns = nullptr;
  const PairCode* parts = nullptr;  // where leaves are parts in place of columns
  int64_t first = 0, middle = 0, end = 0;

  int64_t column(int64_t leaf) const {
    return parts == nullptr ? leaf : leaf == parts->parts ? parts->columns : parts->part[leaf].first;
  }
  void begin(int64_t first_leaf, int64_t middle_leaf, int64_t end_leaf) {
    first = column(first_leaf), middle = column(middle_leaf), end = column(end_leaf);
  }
  int bit(uint32_t chance, uint32_t row) {
    const int bit = starts[row] < starts[row + 1];
    bits->put(chance, bit);
    return bit;
  }
  uint32_t three(uint32_t one, uint32_t two, uint32_t row) {
    const int32_t* behind = columns + starts[row + 1];
    const int32_t* from = std::lower_bound(columns + starts[row], behind, first);
    const int32_t* cut = std::lower_bound(from, behind, middle);
    const int left = from < cut, right = cut < behind && *cut < end;
    const int symbol = left + (left & right);
    bits->put_three(one, two, symbol);
    return static_cast<uint32_t>(symbol);
  }
};

}  // namespace

std::vector<uint8_t> encode_pairs(const int32_t* starts, int64_t rows, const int32_t* columns, int64_t column_count) {
  PairCode code;
  code.rows = rows;
  code.columns = column_count;
  code.pairs = starts[rows];
  code.parts = code.pairs < kPairsOfSeveralParts || column_count < kUsualParts ? 1 : kUsualParts;
  cut_columns(&code);
  for (int p = 0; p < code.parts; ++p) code.part[p].pairs = 0;
  for (int64_t e = 0; e < code.pairs; ++e) {
    int p = 0;
    while (columns[e] >= code.part[p].end) ++p;
    ++code.part[p].pairs;
  }
  for (int p = 0; p < code.parts; ++p) code.part[p].before = p == 0 ? 0 : code.part[p - 1].before + code.part[p - 1].pairs;
  Scratch sizes;
  PairScratch scratch;
  scratch.lay_out(code, sizes);
  std::vector<uint8_t> memory(sizes.bytes() + Scratch::kAlignment);
  const size_t past = reinterpret_cast<uintptr_t>(memory.data()) % Scratch::kAlignment;
  Scratch pieces(memory.data() + (Scratch::kAlignment - past));
  scratch.lay_out(code, pieces);

  std::vector<BitWriter> written(static_cast<size_t>(code.parts) + 1);
  Writing top{&written.back(), starts, columns, &code};
  code_top(code, scratch, &top);
  int next = 0;
  code_parts<Writing>(
      code, scratch, scratch.right,
      [&](Writing* bits) {
        if (next < code.parts) *bits = {&written[static_cast<size_t>(next)], starts, columns};
        return next++;
      },
      [](int, const PairTree<Writing>&) {});
  std::vector<uint8_t> bytes, body = written.back().finish();
  for (const int64_t number : {code.rows, code.columns, code.pairs, int64_t(code.parts), int64_t(body.size())})
    write_number(&bytes, number);
  for (int p = 0; p < code.parts; ++p) {
    const std::vector<uint8_t> coded = written[static_cast<size_t>(p)].finish();
    for (const int64_t number : {code.part[p].pairs, int64_t(coded.size())}) write_number(&bytes, number);
    body.insert(body.end(), coded.begin(), coded.end());
  }
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

}  // namespace lerg

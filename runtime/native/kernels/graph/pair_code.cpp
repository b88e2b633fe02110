#include "kernels/graph/pair_code.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "kernels/coding/bits.h"
#include "kernels/graph/pair_tree.h"
#include "kernels/parallel.h"

namespace lerg {
namespace {

constexpr int64_t kPairsOfSeveralParts = 1 << 17;  // below this another part costs more than it is worth
constexpr int kUsualParts = 16;
constexpr size_t kHeaderBytes = 20, kPartBytes = 8;

uint32_t read_number(const uint8_t* data) {
  return data[0] | uint32_t(data[1]) << 8 | uint32_t(data[2]) << 16 | uint32_t(data[3]) << 24;
}

void write_number(std::vector<uint8_t>* bytes, int64_t number) {
  for (int shift = 0; shift < 32; shift += 8) bytes->push_back(static_cast<uint8_t>(number >> shift));
}

// Where the columns of each part end: halves of halves.
void cut_columns(PairCode* code) {
  int64_t ends[PairCode::kMostParts + 1] = {0, code->columns};
  for (int parts = 1; parts < code->parts; parts *= 2)
    for (int p = parts; p > 0; --p) {
      ends[2 * p] = ends[p];
      ends[2 * p - 1] = halved(ends[p - 1], ends[p]);
    }
  for (int p = 0; p < code->parts; ++p) code->part[p].first = ends[p], code->part[p].end = ends[p + 1];
}

struct Reading {
  BitReader bits{nullptr, 0};

  void begin(int64_t, int64_t, int64_t) {}
  int bit(uint32_t chance, uint32_t) { return bits.get(chance); }
  uint32_t three(uint32_t one, uint32_t two, uint32_t) { return bits.get_three(one, two); }
};

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

// Compressed rows from the lists of rows that the columns have.
template <class Column>
void turn_over(const PairCode& code, const PairScratch& scratch, int32_t* starts, Column* columns) {
  std::fill(starts, starts + code.rows + 1, 0);
  for (int64_t e = 0; e < code.pairs; ++e) ++starts[scratch.lists[e] + 1];
  for (int64_t row = 0; row < code.rows; ++row) starts[row + 1] += starts[row];
  // From the last one on, so that each row's end becomes its start, one place too far.
  int64_t e = code.pairs;
  for (int64_t column = code.columns; column-- > 0;)
    for (int32_t left = scratch.counts[column]; left > 0; --left)
      columns[--starts[scratch.lists[--e] + 1]] = static_cast<Column>(column);
  std::copy(starts + 1, starts + code.rows + 1, starts);
  starts[code.rows] = static_cast<int32_t>(code.pairs);
}

}  // namespace

const char* read_pair_code(const uint8_t* data, size_t bytes, PairCode* code) {
  return read_pair_sizes(data, bytes, bytes, code);
}

const char* read_pair_sizes(const uint8_t* data, size_t there, size_t bytes, PairCode* code) {
  there = std::min(there, bytes);
  if (there < kHeaderBytes) return "the coded pairs end within their header";
  code->rows = read_number(data);
  code->columns = read_number(data + 4);
  code->pairs = read_number(data + 8);
  const uint32_t parts = read_number(data + 12);
  if (code->rows >= kMostListedRows) return "the coded pairs have 2^30 rows or more";
  if (std::max(code->columns, code->pairs) > std::numeric_limits<int32_t>::max() - 1)
    return "the coded pairs are more than 2^31";
  if (parts < 1 || parts > uint32_t(PairCode::kMostParts) || (parts & (parts - 1)) != 0 ||
      (parts > 1 && int64_t(parts) > code->columns))
    return "the coded pairs have no part, more than 64 or than there are columns, or no power of two of them";
  if (code->pairs > code->rows * code->columns) return "the coded pairs are more than rows and columns have";
  code->parts = static_cast<int>(parts);
  size_t place = kHeaderBytes + parts * kPartBytes;
  if (there < place) return "the coded pairs end within their header";
  const auto take = [&](const uint8_t* length, PairCode::Bytes* taken) {
    taken->count = read_number(length);
    if (taken->count > bytes - place) return false;
    taken->data = place + taken->count <= there ? data + place : nullptr;
    place += taken->count;
    return true;
  };
  if (!take(data + 16, &code->top)) return "a part of the coded pairs does not fit the whole";
  int64_t before = 0;
  for (uint32_t p = 0; p < parts; ++p) {
    const uint8_t* entry = data + kHeaderBytes + p * kPartBytes;
    PairCode::Part* part = &code->part[p];
    part->before = before;
    part->pairs = read_number(entry);
    if (part->pairs > code->pairs - before || !take(entry + 4, &part->bytes))
      return "a part of the coded pairs does not fit the whole";
    before += part->pairs;
  }
  if (before != code->pairs || place != bytes) return "the parts of the coded pairs do not add up to the whole";
  cut_columns(code);
  return nullptr;
}

void PairScratch::lay_out(const PairCode& code, Scratch& scratch) {
  roots = std::min(code.rows, code.pairs);
  lists = scratch.take<uint32_t>(code.pairs);
  right = scratch.take<uint32_t>(std::max(2, std::min(kMostTrees, code.parts)) * roots);
  counts = scratch.take<int32_t>(code.columns);
  counts_of_parts = scratch.take<int32_t>(code.parts);
}

const char* decode_pairs(const PairCode& code, const PairScratch& scratch, int32_t* starts, void* columns, int width) {
  static constexpr const char* kBroken = "the coded pairs are not as many as they say";
  Reading top{BitReader(code.top.data, code.top.count)};
  if (!code_top(code, scratch, &top) || !top.bits.ended_well()) return kBroken;
  std::atomic<int> taken{0};
  bool good[PairCode::kMostParts] = {};
  const int readers = std::max(1, std::min(PairScratch::kMostTrees, code.parts) / 2);
  run_parts(readers, code.pairs * 64, [&](int reader) {
    code_parts<Reading>(
        code, scratch, scratch.right + reader * 2 * scratch.roots,
        [&](Reading* bits) {
          const int p = taken.fetch_add(1);
          if (p < code.parts) bits->bits = BitReader(code.part[p].bytes.data, code.part[p].bytes.count);
          return p;
        },
        [&](int p, const PairTree<Reading>& tree) {
          good[p] = tree.found() == code.part[p].pairs && tree.bits().bits.ended_well();
        });
  });
  for (int p = 0; p < code.parts; ++p)
    if (!good[p]) return kBroken;
  if (width == 1) turn_over(code, scratch, starts, static_cast<uint8_t*>(columns));
  else if (width == 2) turn_over(code, scratch, starts, static_cast<uint16_t*>(columns));
  else turn_over(code, scratch, starts, static_cast<int32_t*>(columns));
  return nullptr;
}

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

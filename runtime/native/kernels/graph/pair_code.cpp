#include "kernels/graph/pair_code.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "kernels/coding/bits.h"
#include "kernels/graph/pair_walk.h"
#include "kernels/parallel.h"

namespace lerg {
namespace {

constexpr size_t kHeaderBytes = 20, kPartBytes = 8;

uint32_t read_number(const uint8_t* data) {
  return data[0] | uint32_t(data[1]) << 8 | uint32_t(data[2]) << 16 | uint32_t(data[3]) << 24;
}

struct Reading {
  BitReader bits{nullptr, 0};

  void begin(int64_t, int64_t, int64_t) {}
  int bit(uint32_t chance, uint32_t) { return bits.get(chance); }
  uint32_t three(uint32_t one, uint32_t two, uint32_t) { return bits.get_three(one, two); }
};

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

}  // namespace lerg

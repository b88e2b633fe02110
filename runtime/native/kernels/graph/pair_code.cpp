#include "kernels/graph/pair_code.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/coding/bits.h"
#include "kernels/parallel.h"

namespace lerg {
namespace {

constexpr int64_t kPairsOfAPart = 1 << 16;  // below this a code is not worth another part
constexpr int kUsualParts = 4;
constexpr size_t kHeaderBytes = 16, kPartBytes = 12;
constexpr int kTurns = 64;  // of three levels, two bits each
constexpr int kDepths = 32;

int depth_of(int64_t columns) {
  int depth = 0;
  while ((int64_t(1) << depth) < columns) ++depth;
  return depth;
}

// Nodes are numbered from 1, the children of v are 2 v and 2 v + 1.
int64_t node_count(int64_t columns) { return int64_t(1) << depth_of(columns); }

uint32_t read_number(const uint8_t* data) {
  return data[0] | uint32_t(data[1]) << 8 | uint32_t(data[2]) << 16 | uint32_t(data[3]) << 24;
}

void write_number(std::vector<uint8_t>* bytes, int64_t number) {
  for (int shift = 0; shift < 32; shift += 8) bytes->push_back(static_cast<uint8_t>(number >> shift));
}

// What is known of a part so far. `Coder` writes what it is given, or gives what was written.
class PartModel {
 public:
  // `odds` holds two numbers a node, in 1/4096.
  PartModel(int16_t* odds, int64_t nodes) : nodes_(odds) { std::fill(odds, odds + 2 * nodes, int16_t(0)); }

  // Which halves of a node have a pair: 2 both, 1 the left one alone, 0 the right one alone.
  template <class Coder>
  int halves(Coder& coder, int64_t node, int depth, int turns, int symbol) {
    int16_t* own = nodes_ + 2 * node;
    int32_t* common = turns_[depth][turns];
    const int32_t left = chances_.of(own[0] + (common[0] >> 8)), right = chances_.of(own[1] + (common[1] >> 8));
    symbol = coder.three(static_cast<uint32_t>(left), static_cast<uint32_t>(right), symbol);
    const int32_t missed = (symbol != 0 ? 65536 : 0) - left;
    own[0] = moved(own[0], missed);
    common[0] += (missed * 41) >> 7;
    if (symbol != 0) {
      const int32_t missed_right = (symbol == 2 ? 65536 : 0) - right;
      own[1] = moved(own[1], missed_right);
      common[1] += (missed_right * 41) >> 7;
    }
    return symbol;
  }

  // Whether a row has a pair in this part at all.
  template <class Coder>
  int row(Coder& coder, int bit) {
    int16_t& own = rows_[last_];
    const int32_t chance = chances_.of(own);
    bit = coder.bit(static_cast<uint32_t>(chance), bit);
    own = moved(own, (bit << 16) - chance);
    last_ = (last_ << 1 | bit) & 3;
    return bit;
  }

 private:
  static int16_t moved(int32_t odds, int32_t missed) {
    const int32_t next = odds + ((missed * 13 + 512) >> 10);
    return static_cast<int16_t>(next < -32767 ? -32767 : next > 32767 ? 32767 : next);
  }

  Chances chances_;
  int16_t* nodes_;
  int32_t turns_[kDepths][kTurns][2] = {};
  int16_t rows_[4] = {};
  int last_ = 0;
};

struct Reading {
  BitReader bits;
  int bit(uint32_t chance, int) { return bits.get(chance); }
  int three(uint32_t first, uint32_t second, int) { return bits.get_three(first, second); }
};

struct Writing {
  BitWriter bits;
  int bit(uint32_t chance, int value) { return bits.put(chance, value), value; }
  int three(uint32_t first, uint32_t second, int value) { return bits.put_three(first, second, value), value; }
};

struct Visit {
  int64_t node;
  int depth, turns;
};

int turned(int turns, bool both, int right) { return (turns << 2 | int(both) << 1 | right) & (kTurns - 1); }

// The columns of one part by row. False where there are more or fewer than the header says, or bytes too few or too many.
bool decode_part(const PairCode& code, const PairCode::Part& part, int16_t* odds, int32_t* columns, int32_t* counts) {
  const int64_t width = part.end - part.first;
  const int deepest = depth_of(width);
  const int64_t leaves = int64_t(1) << deepest;
  PartModel model(odds, leaves);
  Reading reader{BitReader(part.data, part.bytes)};
  int64_t found = 0;
  Visit waiting[kDepths];
  for (int64_t row = 0; row < code.rows; ++row) {
    const int64_t before = found;
    int count = 0;
    if (model.row(reader, 0)) waiting[count++] = {1, 0, 0};
    while (count > 0) {
      Visit at = waiting[--count];
      for (int64_t half = leaves >> (at.depth + 1); at.depth < deepest; half >>= 1) {
        const int64_t middle = (2 * at.node + 1) * half - leaves;
        const int symbol = middle < width ? model.halves(reader, at.node, at.depth, at.turns, 0) : 1;
        if (symbol == 2) {
          waiting[count++] = {2 * at.node + 1, at.depth + 1, turned(at.turns, true, 1)};
          at = {2 * at.node, at.depth + 1, turned(at.turns, true, 0)};
        } else {
          at = {2 * at.node + (symbol ^ 1), at.depth + 1, turned(at.turns, false, symbol ^ 1)};
        }
      }
      if (found == part.pairs) return false;
      columns[found++] = static_cast<int32_t>(part.first + at.node - leaves);
    }
    counts[row] = static_cast<int32_t>(found - before);
  }
  return found == part.pairs && reader.bits.ended_well();
}

std::vector<uint8_t> encode_part(const int32_t* starts, int64_t rows, const int32_t* columns, int64_t first,
                                 int64_t end, int64_t* pairs) {
  const int64_t width = end - first;
  const int deepest = depth_of(width);
  std::vector<int16_t> odds(static_cast<size_t>(2 * node_count(width)));
  PartModel model(odds.data(), node_count(width));
  Writing writer;
  struct Range {
    Visit at;
    const int32_t *low, *high;
  } waiting[kDepths];
  *pairs = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const int32_t* low = std::lower_bound(columns + starts[row], columns + starts[row + 1], first);
    const int32_t* high = std::lower_bound(low, columns + starts[row + 1], end);
    *pairs += high - low;
    int count = 0;
    if (model.row(writer, low < high)) waiting[count++] = {{1, 0, 0}, low, high};
    while (count > 0) {
      Range next = waiting[--count];
      while (next.at.depth < deepest) {
        const Visit at = next.at;
        const int64_t middle = (2 * at.node + 1 - (int64_t(2) << at.depth)) << (deepest - at.depth - 1);
        const int32_t* cut = std::lower_bound(next.low, next.high, first + middle);
        const int left = next.low < cut, right = cut < next.high;
        if (middle < width) model.halves(writer, at.node, at.depth, at.turns, left + (left & right));
        const bool both = left && right;
        if (both) waiting[count++] = {{2 * at.node + 1, at.depth + 1, turned(at.turns, true, 1)}, cut, next.high};
        next = {{2 * at.node + !left, at.depth + 1, turned(at.turns, both, !left)}, left ? next.low : cut,
                left ? cut : next.high};
      }
    }
  }
  return writer.bits.finish();
}

template <class Column>
void gather(const PairCode& code, const PairScratch& scratch, int32_t* starts, Column* columns) {
  const int32_t* from[PairCode::kMostParts];
  for (int p = 0; p < code.parts; ++p) from[p] = scratch.columns + code.part[p].before;
  int64_t at = 0;
  for (int64_t row = 0; row < code.rows; ++row) {
    starts[row] = static_cast<int32_t>(at);
    for (int p = 0; p < code.parts; ++p)
      for (int32_t left = scratch.counts[p * code.rows + row]; left > 0; --left)
        columns[at++] = static_cast<Column>(*from[p]++);
  }
  starts[code.rows] = static_cast<int32_t>(at);
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
  if (std::max({code->rows, code->columns, code->pairs}) > std::numeric_limits<int32_t>::max() - 1)
    return "the coded pairs are more than 2^31";
  if (parts < 1 || parts > uint32_t(PairCode::kMostParts)) return "the coded pairs have no part or more than 16";
  code->parts = static_cast<int>(parts);
  if (there < kHeaderBytes + parts * kPartBytes) return "the coded pairs end within their header";
  size_t place = kHeaderBytes + parts * kPartBytes;
  int64_t first = 0, before = 0;
  for (uint32_t p = 0; p < parts; ++p) {
    const uint8_t* entry = data + kHeaderBytes + p * kPartBytes;
    const int64_t end = read_number(entry), pairs = read_number(entry + 4);
    const size_t length = read_number(entry + 8);
    if (end < first || end > code->columns || pairs > code->pairs - before || length > bytes - place)
      return "a part of the coded pairs does not fit the whole";
    code->part[p] = {first, end, before, pairs, place + length <= there ? data + place : nullptr, length};
    first = end;
    before += pairs;
    place += length;
  }
  if (first != code->columns || before != code->pairs || place != bytes)
    return "the parts of the coded pairs do not add up to the whole";
  return nullptr;
}

void PairScratch::lay_out(const PairCode& code, Scratch& scratch) {
  int64_t widest = 1;
  for (int p = 0; p < code.parts; ++p) widest = std::max(widest, code.part[p].end - code.part[p].first);
  odds_of_part = 2 * node_count(widest);
  columns = scratch.take<int32_t>(code.pairs);
  counts = scratch.take<int32_t>(code.parts * code.rows);
  odds = scratch.take<int16_t>(code.parts * odds_of_part);
}

const char* decode_pairs(const PairCode& code, const PairScratch& scratch, int32_t* starts, void* columns, int width) {
  bool good[PairCode::kMostParts] = {};
  run_parts(code.parts, code.pairs * 64, [&](int p) {
    const PairCode::Part& part = code.part[p];
    good[p] = decode_part(code, part, scratch.odds + p * scratch.odds_of_part, scratch.columns + part.before,
                          scratch.counts + p * code.rows);
  });
  for (int p = 0; p < code.parts; ++p)
    if (!good[p]) return "the coded pairs are not as many as they say";
  if (width == 1) gather(code, scratch, starts, static_cast<uint8_t*>(columns));
  else if (width == 2) gather(code, scratch, starts, static_cast<uint16_t*>(columns));
  else gather(code, scratch, starts, static_cast<int32_t*>(columns));
  return nullptr;
}

std::vector<uint8_t> encode_pairs(const int32_t* starts, int64_t rows, const int32_t* columns, int64_t column_count) {
  const int64_t pairs = starts[rows];
  const int parts = pairs < 2 * kPairsOfAPart ? 1 : kUsualParts;
  // Parts of about as many pairs.
  std::vector<int64_t> touched(static_cast<size_t>(column_count) + 1, 0);
  for (int64_t e = 0; e < pairs; ++e) ++touched[static_cast<size_t>(columns[e]) + 1];
  for (size_t c = 1; c < touched.size(); ++c) touched[c] += touched[c - 1];
  std::vector<uint8_t> bytes, body;
  for (const int64_t number : {rows, column_count, pairs, int64_t(parts)}) write_number(&bytes, number);
  int64_t first = 0;
  for (int p = 0; p < parts; ++p) {
    int64_t end = column_count;
    if (p + 1 < parts)
      end = std::lower_bound(touched.begin(), touched.end(), pairs * (p + 1) / parts) - touched.begin();
    end = std::max(first, std::min(end, column_count));
    int64_t here = 0;
    const std::vector<uint8_t> coded = encode_part(starts, rows, columns, first, end, &here);
    for (const int64_t number : {end, here, int64_t(coded.size())}) write_number(&bytes, number);
    body.insert(body.end(), coded.begin(), coded.end());
    first = end;
  }
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

}  // namespace lerg

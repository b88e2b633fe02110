// Pairs of rows and columns, coded: who touched what, in about seven bits a pair where the order of both is a good one.
//
// The columns are cut into parts, which are coded one by one, so that several threads can read them. In a part each row
// has a bit that tells whether it has a pair there. Its pairs are the leaves of a binary tree over the part's columns
// that are reached from the root: at each node two bits say whether the left half has one and, if so, whether the right
// half does too. Chances follow what went before: the odds of a bit are the sum of two numbers that move with each bit,
// one for the node and one for the depth and the last three turns. docs/bundle-format.md has every detail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/scratch.h"

namespace lerg {

// A code's header, checked: rows and columns below 2^31, parts that cover the columns, lengths that add up.
struct PairCode {
  static constexpr int kMostParts = 16;

  int64_t rows = 0, columns = 0, pairs = 0;
  int parts = 0;
  struct Part {
    int64_t first, end;  // columns
    int64_t before, pairs;
    const uint8_t* data;
    size_t bytes;
  } part[kMostParts];
};

// Most bytes of a header.
constexpr size_t kMostPairHeader = 16 + 12 * PairCode::kMostParts;

// Reads the header of a code of `bytes` bytes, of which `there` are given; `data` of the parts is null where a part is
// not whole. Returns null, or the sentence that says which rule is broken.
__attribute__((visibility("default"))) const char* read_pair_sizes(const uint8_t* data, size_t there, size_t bytes,
                                                                   PairCode* code);

// The same of a whole code.
__attribute__((visibility("default"))) const char* read_pair_code(const uint8_t* data, size_t bytes, PairCode* code);

// What decoding writes to besides its result.
struct PairScratch {
  int32_t* columns = nullptr;  // [pairs]
  int32_t* counts = nullptr;   // [parts, rows]
  int16_t* odds = nullptr;
  int64_t odds_of_part = 0;

  __attribute__((visibility("default"))) void lay_out(const PairCode& code, Scratch& scratch);
};

// Decodes every part. `starts` is int32 [rows + 1]; `columns`, of the type of `width` bytes (1, 2 or 4), has the pairs'
// columns, ascending in a row. Returns null or the broken rule.
__attribute__((visibility("default"))) const char* decode_pairs(const PairCode& code, const PairScratch& scratch,
                                                                int32_t* starts, void* columns, int width);

// The code of pairs in compressed rows, columns ascending strictly within a row; the same pairs give the same bytes.
__attribute__((visibility("default"))) std::vector<uint8_t> encode_pairs(const int32_t* starts, int64_t rows,
                                                                         const int32_t* columns, int64_t column_count);

}  // namespace lerg

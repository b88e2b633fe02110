// Pairs of rows and columns, coded: who touched what, in about seven bits a pair where the order of both is a good one.
//
// Columns are the leaves of a binary tree. At each node the rows that have a pair below it come in turn, and a symbol
// tells whether that is in the left half, the right one or both (pair_tree.h), by chances that follow what went before
// (pair_model.h).
//
// The nodes at the top are one tree, whose leaves are parts of the columns; each part is a tree of its own below, so
// that several can be read at a time. docs/bundle-format.md has every detail.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/scratch.h"

namespace lerg {

// A code's header, checked: rows below 2^30, columns and pairs below 2^31, lengths that add up.
struct PairCode {
  static constexpr int kMostParts = 64;

  struct Bytes {
    const uint8_t* data = nullptr;
    size_t count = 0;
  };
  struct Part {
    int64_t first, end;  // columns
    int64_t before, pairs;
    Bytes bytes;
  };

  int64_t rows = 0, columns = 0, pairs = 0;
  Bytes top;
  int parts = 0;  // a power of two, at most as many as columns unless it is 1
  Part part[kMostParts];
};

// Most bytes of a header.
constexpr size_t kMostPairHeader = 20 + 8 * PairCode::kMostParts;

// Reads the header of a code of `bytes` bytes, of which `there` are given; `data` of a part is null where it is
// not whole. Returns null, or the sentence that says which rule is broken.
__attribute__((visibility("default"))) const char* read_pair_sizes(const uint8_t* data, size_t there, size_t bytes,
                                                                   PairCode* code);

// The same of a whole code.
__attribute__((visibility("default"))) const char* read_pair_code(const uint8_t* data, size_t bytes, PairCode* code);

// What decoding writes to besides its result.
struct PairScratch {
  static constexpr int kMostTrees = 8;  // that are read at a time

  uint32_t* lists = nullptr;  // [pairs]
  uint32_t* right = nullptr;  // [trees, roots]
  int32_t* counts = nullptr;  // [columns]
  int32_t* counts_of_parts = nullptr;
  int64_t roots = 0;  // rows that may have a pair

  __attribute__((visibility("default"))) void lay_out(const PairCode& code, Scratch& scratch);
};

// Decodes every part. `starts` is int32 [rows + 1]; `columns`, of the type of `width` bytes (1, 2 or 4), has the pairs'
// columns, ascending in a row. Returns null or the broken rule.
__attribute__((visibility("default"))) const char* decode_pairs(const PairCode& code, const PairScratch& scratch,
                                                                int32_t* starts, void* columns, int width);

}  // namespace lerg

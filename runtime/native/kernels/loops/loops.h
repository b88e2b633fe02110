// The arithmetic loops of the kernels, compiled once for each instruction set and chosen when the library runs.
//
// Propagation works on blocks of columns: a table of m rows is held as m x W floats, W = 32 or 16, zero
// padded, so that the rows that a pass gathers stay in the second-level cache and the working memory is
// m * W cells whatever the embedding's width. A cell is a float, or a half where a program stores its layers so: rows
// are summed up as floats all the same, and rounded when they are stored. Only plain types cross this interface.
#pragma once

#include <cstdint>

namespace lerg {

enum IndexType : int { kUInt8 = 0, kUInt16 = 1, kInt32 = 2 };
constexpr int kIndexTypes = 3;

enum BlockWidth : int { kNarrow = 0, kWide = 1 };
constexpr int kBlockWidths = 2;
constexpr int kBlockColumns[kBlockWidths] = {16, 32};

// A float16 by its bits.
struct Half {
  uint16_t bits;
};

enum CellType : int { kFloats = 0, kHalves = 1 };
constexpr int kCellTypes = 2;

// Rows v = begin .. end - 1 are visited, except those whose `hops` is above `level`; a null `hops` visits all.
// With `listed`, rows v = listed[begin] .. listed[end - 1] are, and the target's rows are numbered by the list. The
// target begins with row `first`.
struct RowRange {
  const int32_t* listed;
  const uint8_t* hops;
  int level;
  int32_t begin;
  int32_t end;
  int32_t first;
};

// target[v] = scale[v] * (anchor * codebook[codes[v][0]] + other * sum over j > 0 of codebook[codes[v][j]]).
struct ComposeArgs {
  const void* codes;  // [rows, per_row]
  int32_t per_row;
  float anchor;
  float other;
  const float* codebook;  // [codes, W]
  const float* scale;     // [rows], or null for 1
  void* target;           // [rows, W] cells
};

// target[v] (+)= factor(v) * sum of source rows in v's index list; factor = scale[v], or its square.
struct GatherArgs {
  const int32_t* indptr;
  const void* indices;
  const void* source;  // cells
  const float* scale;
  bool squared;
  bool add;  // add to target; otherwise overwrite it, and zero the rows that are not visited
  void* target;  // cells
};

// Rows [begin, end) of a block: zeroed, given source_scale[u] * source[i] by each listed row u = listed[i] that
// has them among its indices, then multiplied by the square of their own scale. `starts` and `ends` say, at
// i * stride, which of u's indices lie in [begin, end).
struct PushArgs {
  const void* indices;
  const int32_t* listed;
  const int32_t* starts;
  const int32_t* ends;
  int32_t stride;
  int32_t count;
  const float* source;  // [count, W]
  const float* source_scale;
  const float* target_scale;
  void* target;      // cells
  float* sums;       // [kPushRows, W], for halves: each is rounded once
  int32_t* cursors;  // [count], for halves
};
constexpr int32_t kPushRows = 512;

// codebook[code] += weight * rows[i] for every code of every listed row u = listed[i], in order.
struct ScatterCodesArgs {
  const void* codes;
  int32_t per_row;
  float anchor;
  float other;
  const int32_t* listed;
  int32_t count;
  const float* rows;  // [count, W]
  float* codebook;
};

// codebook[k] += weight * sum over the entities v of list k of scale[v] * rows[v], k in [begin, end).
struct CollectArgs {
  const int32_t* indptr;
  const void* entities;
  const void* rows;  // cells
  const float* scale;
  float weight;
  int32_t begin;
  int32_t end;
  float* codebook;
};

constexpr int kScoreItems = 64;  // most items that one call of a scoring loop takes: bits of a mask
constexpr int kMaxUserLanes = 32;

// Scores of `items` rows against a group of users; users vary fastest. `hits[j]` says whether any user's
// score for item j is above that user's threshold.
struct ScoreArgs {
  const float* users;  // [dim, stride], transposed user rows
  int64_t stride;
  const float* table;  // [slots, dim]
  int64_t dim;
  const int32_t* slots;  // [items]
  int32_t items;
  const float* thresholds;
  float* scores;  // [items, lanes]
  uint8_t* hits;
};

// Scores of one user for `items` slots, with the same rounding as ScoreArgs; bit j of the result says whether
// score j is above the threshold.
struct ScoreOneArgs {
  const float* user;  // [dim], then zeros up to a multiple of 16
  const float* table;
  int64_t dim;
  const int32_t* slots;
  int32_t items;
  float threshold;
  float* scores;  // [items]
};

struct Loops {
  // By the cells of the target and, of gather, first by those of the source.
  void (*compose[kCellTypes][kIndexTypes][kBlockWidths])(const ComposeArgs&, const RowRange&);
  void (*gather[kCellTypes][kCellTypes][kIndexTypes][kBlockWidths])(const GatherArgs&, const RowRange&);
  void (*push[kCellTypes][kIndexTypes][kBlockWidths])(const PushArgs&, int32_t begin, int32_t end);
  void (*scatter_codes[kIndexTypes][kBlockWidths])(const ScatterCodesArgs&);
  void (*collect[kCellTypes][kIndexTypes][kBlockWidths])(const CollectArgs&);  // by the cells of the rows
  void (*score[kBlockWidths])(const ScoreArgs&);
  uint64_t (*score_one)(const ScoreOneArgs&);
  bool (*all_below)(const int32_t* values, int64_t count, int32_t limit);  // all in [0, limit)
  int score_lanes[kBlockWidths];  // users that a call for a group takes, a divisor of kMaxUserLanes
  const char* name;
};

extern const Loops kGenericLoops;
#if defined(__x86_64__)
extern const Loops kAvx2Loops;
extern const Loops kAvx512Loops;
#endif

}  // namespace lerg

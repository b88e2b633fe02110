// The scoring loops of int8 tables, compiled once for each instruction set and chosen when the library runs, apart from
// the float loops because what serves them best came later: VNNI on x86-64, the dot product on arm64.
//
// score = (sum of products, an exact int32) * the item's scale * the user's scale, rounded in this order: every
// instruction set gives the same to the last bit.
#pragma once

#include "kernels/loops/loops.h"

namespace lerg {

constexpr int64_t kCodePadding = 64;  // users' codes go on with zeros up to a multiple of this

// As ScoreArgs, for rows of int8 codes with a scale each.
struct ScoreCodesArgs {
  const int8_t* users;  // [padded dim / 4, stride, 4]
  int64_t stride;
  const float* user_scales;  // [lanes]
  const int8_t* table;       // [slots, dim]
  const float* scales;       // [slots]
  int64_t dim;
  const int32_t* slots;  // [items]
  int32_t items;
  const float* thresholds;
  float* scores;  // [items, lanes]
  uint8_t* hits;
};

// As ScoreOneArgs.
struct ScoreCodesOneArgs {
  const int8_t* user;  // [padded dim]
  float user_scale;
  const int8_t* table;
  const float* scales;
  int64_t dim;
  const int32_t* slots;
  int32_t items;
  float threshold;
  float* scores;  // [items]
};

struct CodeLoops {
  void (*score[kBlockWidths])(const ScoreCodesArgs&);
  uint64_t (*score_one)(const ScoreCodesOneArgs&);
  int lanes[kBlockWidths];  // users that a call for a group takes, those of Loops
};

extern const CodeLoops kGenericCodeLoops;
#if defined(__x86_64__)
extern const CodeLoops kAvx2CodeLoops;
extern const CodeLoops kAvx512CodeLoops;
extern const CodeLoops kVnniCodeLoops;
#elif defined(__aarch64__)
extern const CodeLoops kDotCodeLoops;
#endif

}  // namespace lerg

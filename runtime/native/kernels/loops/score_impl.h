// The bodies of the scoring loops; bound by what loops_impl.h says.
#pragma once

#include "kernels/loops/loops_impl.h"

namespace lerg {
namespace {

inline bool any_greater(Vector a, Vector b) {
#if LERG_LANES == 16
  return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0;
#elif LERG_LANES == 8
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
#elif defined(__x86_64__)
  return _mm_movemask_ps(_mm_cmpgt_ps(a, b)) != 0;
#elif defined(__aarch64__)
  return vmaxvq_u32(vcgtq_f32(a, b)) != 0;
#else
  for (int lane = 0; lane < LERG_LANES; ++lane)
    if (a[lane] > b[lane]) return true;
  return false;
#endif
}

// A score is ((p0 + p1) + p2) + p3 with pq = ((s0 + s1) + s2) + s3, where s of q and c adds up, term by term, the
// dimensions 16 m + 4 q + c. Both loops below keep to that order, so that a user alone gets the scores of a batch to
// the last bit: it is one in which `score_one` can read rows as they lie.

// Items by users in registers: no packing of items, no horizontal sums.
template <int kItems, int kUsers>
void score(const ScoreArgs& args) {
  constexpr int kLanes = kUsers * LERG_LANES;
  struct Sums {
    Vector of[kItems][kUsers];

    void clear() {
      for (int j = 0; j < kItems; ++j)
        for (int u = 0; u < kUsers; ++u) of[j][u] = Vector{};
    }
    // Becomes `other` or, but for the first, adds it.
    void take(const Sums& other, bool first) {
      for (int j = 0; j < kItems; ++j)
        for (int u = 0; u < kUsers; ++u) of[j][u] = first ? other.of[j][u] : of[j][u] + other.of[j][u];
    }
  };
  Vector thresholds[kUsers];
  for (int u = 0; u < kUsers; ++u) thresholds[u] = load(args.thresholds + u * LERG_LANES);
  for (int32_t first = 0; first < args.items; first += kItems) {
    const float* rows[kItems];
    for (int j = 0; j < kItems; ++j) {  // past the end the last item is scored again
      const int32_t item = first + j < args.items ? first + j : args.items - 1;
      rows[j] = args.table + int64_t(args.slots[item]) * args.dim;
    }
    Sums totals, parts, sums;
    totals.clear();  // for the compiler's peace
    parts.clear();
    for (int q = 0; q < 4; ++q) {
      for (int c = 0; c < 4; ++c) {
        sums.clear();
        for (int64_t k = 4 * q + c; k < args.dim; k += 16) {
          Vector users[kUsers];
          for (int u = 0; u < kUsers; ++u) users[u] = load(args.users + k * args.stride + u * LERG_LANES);
          for (int j = 0; j < kItems; ++j) {
            const Vector value = broadcast(rows[j][k]);
            for (int u = 0; u < kUsers; ++u) sums.of[j][u] = fused(users[u], value, sums.of[j][u]);
          }
        }
        parts.take(sums, c == 0);
      }
      totals.take(parts, q == 0);
    }
    for (int j = 0; j < kItems && first + j < args.items; ++j) {
      bool hit = false;
      for (int u = 0; u < kUsers; ++u) {
        store(args.scores + int64_t(first + j) * kLanes + u * LERG_LANES, totals.of[j][u]);
        hit |= any_greater(totals.of[j][u], thresholds[u]);
      }
      args.hits[first + j] = hit;
    }
  }
}

// Stores the first `left` scores from `first` on; returns the bits, from `first` on, of those above the threshold.
inline uint64_t keep(Vector scores, Vector threshold, int32_t first, int32_t left, float* to) {
  if (left >= LERG_LANES) store(to + first, scores);
  else
    for (int32_t j = 0; j < left; ++j) to[first + j] = scores[j];
  if (!any_greater(scores, threshold)) return 0;
  uint64_t above = 0;
  for (int j = 0; j < LERG_LANES && j < left; ++j) above |= uint64_t{scores[j] > threshold[j]} << (first + j);
  return above;
}

// Within each four lanes: lane i of vector j and lane j of vector i change places.
inline void transpose_quads(Vector* quads) {
#if LERG_LANES == 16
  const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(quads[0], quads[1]));
  const __m512d b = _mm512_castps_pd(_mm512_unpacklo_ps(quads[2], quads[3]));
  const __m512d c = _mm512_castps_pd(_mm512_unpackhi_ps(quads[0], quads[1]));
  const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(quads[2], quads[3]));
  quads[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
  quads[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
  quads[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
  quads[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
#elif LERG_LANES == 8
  const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(quads[0], quads[1]));
  const __m256d b = _mm256_castps_pd(_mm256_unpacklo_ps(quads[2], quads[3]));
  const __m256d c = _mm256_castps_pd(_mm256_unpackhi_ps(quads[0], quads[1]));
  const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(quads[2], quads[3]));
  quads[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
  quads[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
  quads[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(c, d));
  quads[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(c, d));
#else
  const Vector a = __builtin_shufflevector(quads[0], quads[1], 0, 4, 1, 5);
  const Vector b = __builtin_shufflevector(quads[2], quads[3], 0, 4, 1, 5);
  const Vector c = __builtin_shufflevector(quads[0], quads[1], 2, 6, 3, 7);
  const Vector d = __builtin_shufflevector(quads[2], quads[3], 2, 6, 3, 7);
  quads[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  quads[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  quads[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  quads[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
#endif
}

// ((p0 + p1) + p2) + p3 of LERG_LANES rows, from the parts of four rows a vector.
inline Vector add_parts(const Vector* sums) {
#if LERG_LANES == 16
  const Vector a = _mm512_shuffle_f32x4(sums[0], sums[1], 0x44), b = _mm512_shuffle_f32x4(sums[0], sums[1], 0xee);
  const Vector c = _mm512_shuffle_f32x4(sums[2], sums[3], 0x44), d = _mm512_shuffle_f32x4(sums[2], sums[3], 0xee);
  const Vector first = _mm512_shuffle_f32x4(a, c, 0x88), second = _mm512_shuffle_f32x4(a, c, 0xdd);
  const Vector third = _mm512_shuffle_f32x4(b, d, 0x88), fourth = _mm512_shuffle_f32x4(b, d, 0xdd);
  return ((first + second) + third) + fourth;
#elif LERG_LANES == 8
  const Vector first = _mm256_permute2f128_ps(sums[0], sums[2], 0x20);
  const Vector second = _mm256_permute2f128_ps(sums[0], sums[2], 0x31);
  const Vector third = _mm256_permute2f128_ps(sums[1], sums[3], 0x20);
  const Vector fourth = _mm256_permute2f128_ps(sums[1], sums[3], 0x31);
  return ((first + second) + third) + fourth;
#else
  return ((sums[0] + sums[1]) + sums[2]) + sums[3];
#endif
}

// The slots of LERG_LANES items, the last one again past the end.
struct Slots {
  const int32_t* slots;
  int32_t count;
  int32_t repeated[LERG_LANES];

  Slots(const int32_t* all, int32_t first, int32_t items) : slots(all + first), count(items - first) {
    if (count >= LERG_LANES) {
      count = LERG_LANES;
      return;
    }
    for (int32_t j = 0; j < LERG_LANES; ++j) repeated[j] = slots[j < count ? j : count - 1];
    slots = repeated;
  }
};

// The first `count` lanes, zeros in the others; nothing that belongs to them is read.
inline Vector load_first(const float* from, int64_t count) {
  if (count >= LERG_LANES) return load(from);
#if LERG_LANES == 16
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>(count > 0 ? (1 << count) - 1 : 0), from);
#elif LERG_LANES == 8
  static const int32_t kLanes[2 * LERG_LANES] = {-1, -1, -1, -1, -1, -1, -1, -1};
  const int32_t* lanes = kLanes + LERG_LANES - (count > 0 ? count : 0);
  return _mm256_maskload_ps(from, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes)));
#else
  Vector values = Vector{};
  for (int j = 0; j < LERG_LANES; ++j)
    if (j < count) values[j] = from[j];
  return values;
#endif
}

// Four rows at a time, a lane for each remainder of the dimensions by sixteen. kDim is the table's width, or 0 for any.
template <int64_t kDim>
uint64_t score_rows(const ScoreOneArgs& args) {
  constexpr int kVectors = 16 / LERG_LANES;  // of sixteen dimensions
  // Of AVX2's processors some fetch one stream of rows from memory half as fast again as four. Elsewhere rows in turn
  // keep more sums under way, and of wide rows the processor is told which come next.
  constexpr bool kRowByRow = LERG_LANES == 8;
  constexpr bool kFetch = !kRowByRow && kDim >= 128;
  constexpr int32_t kAhead = 16;
  const int64_t dim = kDim != 0 ? kDim : args.dim, whole = dim / 16 * 16;
  uint64_t above = 0;
  const Vector threshold = broadcast(args.threshold);
  for (int32_t first = 0; first < args.items; first += LERG_LANES) {
    const Slots block(args.slots, first, args.items);
    const Slots next(args.slots, first + kAhead < args.items ? first + kAhead : first, args.items);
    Vector parts[4];  // kVectors for each four rows
    for (int four = 0; four < LERG_LANES / 4; ++four) {
      const float *rows[4], *ahead[4];
      for (int j = 0; j < 4; ++j) {
        rows[j] = args.table + block.slots[four * 4 + j] * dim;
        ahead[j] = kFetch ? args.table + next.slots[four * 4 + j] * dim : nullptr;
      }
      Vector sums[kVectors][4];
      for (int v = 0; v < kVectors; ++v)
        for (int j = 0; j < 4; ++j) sums[v][j] = Vector{};
      const auto add = [&](int j, int64_t k) {
        for (int v = 0; v < kVectors; ++v) {
          const int64_t at = k + v * LERG_LANES;
          sums[v][j] = fused(load(rows[j] + at), load(args.user + at), sums[v][j]);
        }
        if (kFetch) __builtin_prefetch(ahead[j] + k);
      };
      if (kRowByRow)
        for (int j = 0; j < 4; ++j)
          for (int64_t k = 0; k < whole; k += 16) add(j, k);
      else
        for (int64_t k = 0; k < whole; k += 16)
          for (int j = 0; j < 4; ++j) add(j, k);
      for (int v = 0; v < kVectors && whole < dim; ++v) {
        const int64_t at = whole + v * LERG_LANES;
        const Vector user = load(args.user + at);
        for (int j = 0; j < 4; ++j) sums[v][j] = fused(load_first(rows[j] + at, dim - at), user, sums[v][j]);
      }
      for (int v = 0; v < kVectors; ++v) {
        transpose_quads(sums[v]);
        parts[four * kVectors + v] = ((sums[v][0] + sums[v][1]) + sums[v][2]) + sums[v][3];
      }
    }
    above |= keep(add_parts(parts), threshold, first, block.count, args.scores);
  }
  return above;
}

[[maybe_unused]] uint64_t score_one(const ScoreOneArgs& args) {
  switch (args.dim) {
    case 64:
      return score_rows<64>(args);
    case 112:  // the default of an export
      return score_rows<112>(args);
    case 128:
      return score_rows<128>(args);
    default:
      return score_rows<0>(args);
  }
}

// Whether all of `count` values lie in [0, limit).
[[maybe_unused]] bool all_below(const int32_t* values, int64_t count, int32_t limit) {
  const uint32_t bound = static_cast<uint32_t>(limit);
  uint32_t largest = 0;  // a negative value is a large unsigned one
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t value = static_cast<uint32_t>(values[i]);
    largest = largest > value ? largest : value;
  }
  return count == 0 || largest < bound;
}

}  // namespace

// Items of a tile for two users at a time: sixteen lanes come with registers for twice as many.
#define LERG_PAIR_ITEMS (LERG_LANES == 16 ? 8 : 4)

#define LERG_LOOPS(name)                                                                              \
  {                                                                                                   \
    LERG_PROPAGATION_LOOPS, {score<8, 1>, score<LERG_PAIR_ITEMS, 2>}, score_one, all_below,           \
        {LERG_LANES, 2 * LERG_LANES}, name,                                                           \
  }

}  // namespace lerg

// The bodies of the scoring loops of int8 tables; bound by what loops_impl.h says.
// The including file defines LERG_DOT_BYTES where its instruction set multiplies and adds four bytes a lane at once.
#pragma once

#include "kernels/loops/code_loops.h"
#include "kernels/loops/score_impl.h"

namespace lerg {
namespace {

typedef int32_t Ints __attribute__((vector_size(LERG_LANES * 4), aligned(4), may_alias));
typedef int16_t Shorts __attribute__((vector_size(LERG_LANES * 4), aligned(2), may_alias));
typedef int8_t Bytes __attribute__((vector_size(LERG_LANES * 4), aligned(1), may_alias));
typedef int8_t HalfBytes __attribute__((vector_size(LERG_LANES * 2), aligned(1), may_alias));
typedef int32_t FourBytes __attribute__((aligned(1), may_alias));

// Within each four lanes: lane j is the sum of the four of vector j.
inline Ints add_quads(const Ints* four) {
  Vector turned[4];
  for (int j = 0; j < 4; ++j) turned[j] = (Vector)four[j];  // bits only
  transpose_quads(turned);
  return ((Ints)turned[0] + (Ints)turned[1]) + ((Ints)turned[2] + (Ints)turned[3]);
}

// Lane j of the result is the sum of lane j % 4 of all four lanes of vector j / 4.
inline Ints add_lanes(const Ints* quads) {
#if LERG_LANES == 16
  // By value: the array of such vectors is aligned for their elements alone.
  const __m512i of[] = {(__m512i)quads[0], (__m512i)quads[1], (__m512i)quads[2], (__m512i)quads[3]};
  const Ints a = (Ints)_mm512_shuffle_i32x4(of[0], of[1], 0x44) + (Ints)_mm512_shuffle_i32x4(of[0], of[1], 0xee);
  const Ints b = (Ints)_mm512_shuffle_i32x4(of[2], of[3], 0x44) + (Ints)_mm512_shuffle_i32x4(of[2], of[3], 0xee);
  return (Ints)_mm512_shuffle_i32x4((__m512i)a, (__m512i)b, 0x88) +
      (Ints)_mm512_shuffle_i32x4((__m512i)a, (__m512i)b, 0xdd);
#elif LERG_LANES == 8
  const __m256i a = (__m256i)quads[0], b = (__m256i)quads[1];
  return (Ints)_mm256_permute2x128_si256(a, b, 0x20) + (Ints)_mm256_permute2x128_si256(a, b, 0x31);
#else
  return quads[0];
#endif
}

#if defined(LERG_DOT_BYTES)

#if defined(__x86_64__)
// VNNI multiplies unsigned by signed bytes: items go in with 128 added, and 128 times the sum of the user's codes
// comes off at the end.
constexpr int32_t kOffset = 128;
inline Bytes offset(Bytes items) { return items ^ static_cast<int8_t>(-128); }
inline Ints dot_bytes(Bytes items, Bytes users, Ints sum) {
  return (Ints)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)items, (__m512i)users);
}
#else
constexpr int32_t kOffset = 0;
inline Bytes offset(Bytes items) { return items; }
inline Ints dot_bytes(Bytes items, Bytes users, Ints sum) { return vdotq_s32(sum, items, users); }
#endif

#else

constexpr int32_t kOffset = 0;

// sum + a * b over pairs of neighbours, an exact int32 for each.
inline Ints pair_products(Shorts a, Shorts b, Ints sum) {
#if LERG_LANES == 16
  return sum + (Ints)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif LERG_LANES == 8
  return sum + (Ints)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__x86_64__)
  return sum + (Ints)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  return sum + (Ints)vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
#else
  for (int lane = 0; lane < LERG_LANES; ++lane)
    sum[lane] += int32_t(a[2 * lane]) * b[2 * lane] + int32_t(a[2 * lane + 1]) * b[2 * lane + 1];
  return sum;
#endif
}

// The second and fourth, and the first and third byte of every lane.
inline Shorts odd_bytes(Bytes bytes) { return (Shorts)bytes >> 8; }
inline Shorts even_bytes(Bytes bytes) { return ((Shorts)bytes << 8) >> 8; }

inline Bytes offset(Bytes items) { return items; }
inline Ints dot_bytes(Bytes items, Bytes users, Ints sum) {
  sum = pair_products(even_bytes(items), even_bytes(users), sum);
  return pair_products(odd_bytes(items), odd_bytes(users), sum);
}

#endif

// Four bytes of every lane.
inline Bytes load_bytes(const int8_t* from) { return *reinterpret_cast<const Bytes*>(from); }

// The first `count` bytes, then zeros: a row's last ones must not be read past.
inline Bytes load_end(const int8_t* from, int64_t count) {
  Bytes bytes = Bytes{};
  for (int k = 0; k < LERG_LANES * 4; ++k)
    if (k < count) bytes[k] = from[k];
  return bytes;
}

inline int32_t four_bytes(const int8_t* row, int64_t k, int64_t dim) {
  if (k + 4 <= dim) return *reinterpret_cast<const FourBytes*>(row + k);
  uint32_t bytes = 0;
  for (int64_t i = k; i < dim; ++i) bytes |= uint32_t{static_cast<uint8_t>(row[i])} << 8 * (i - k);
  return static_cast<int32_t>(bytes);
}

inline Vector to_floats(Ints values) { return __builtin_convertvector(values, Vector); }

// Items by users in registers, four dimensions at a time.
template <int kItems, int kUsers>
void score_codes(const ScoreCodesArgs& args) {
  constexpr int kLanes = kUsers * LERG_LANES;
  Vector thresholds[kUsers], user_scales[kUsers];
  Ints extra[kUsers];  // what the offset adds to every sum of a user
  for (int u = 0; u < kUsers; ++u) {
    thresholds[u] = load(args.thresholds + u * LERG_LANES);
    user_scales[u] = load(args.user_scales + u * LERG_LANES);
    extra[u] = Ints{};
    const Bytes all = (Bytes)(Ints{} + kOffset);  // in the lowest byte: an unsigned 128
    for (int64_t k = 0; kOffset != 0 && k < args.dim; k += 4) {
      const Bytes users = load_bytes(args.users + (k / 4 * args.stride + u * LERG_LANES) * 4);
      for (int byte = 0; byte < 4; ++byte) extra[u] = dot_bytes((Bytes)((Ints)all << 8 * byte), users, extra[u]);
    }
  }
  for (int32_t first = 0; first < args.items; first += kItems) {
    const int8_t* rows[kItems];
    float scales[kItems];
    for (int j = 0; j < kItems; ++j) {  // past the end the last item is scored again
      const int32_t slot = args.slots[first + j < args.items ? first + j : args.items - 1];
      rows[j] = args.table + int64_t(slot) * args.dim;
      scales[j] = args.scales[slot];
    }
    Ints sums[kItems][kUsers];
    for (int j = 0; j < kItems; ++j)
      for (int u = 0; u < kUsers; ++u) sums[j][u] = Ints{} - extra[u];
    for (int64_t k = 0; k < args.dim; k += 4) {
      Bytes users[kUsers];
      for (int u = 0; u < kUsers; ++u)
        users[u] = load_bytes(args.users + (k / 4 * args.stride + u * LERG_LANES) * 4);
      for (int j = 0; j < kItems; ++j) {
        const Bytes items = offset((Bytes)(Ints{} + four_bytes(rows[j], k, args.dim)));
        for (int u = 0; u < kUsers; ++u) sums[j][u] = dot_bytes(items, users[u], sums[j][u]);
      }
    }
    for (int j = 0; j < kItems && first + j < args.items; ++j) {
      bool hit = false;
      for (int u = 0; u < kUsers; ++u) {
        const Vector scores = to_floats(sums[j][u]) * broadcast(scales[j]) * user_scales[u];
        store(args.scores + int64_t(first + j) * kLanes + u * LERG_LANES, scores);
        hit |= any_greater(scores, thresholds[u]);
      }
      args.hits[first + j] = hit;
    }
  }
}

// Four rows at a time, whole vectors of their bytes. kDim is the table's width, or 0 for any.
template <int64_t kDim>
uint64_t score_codes_rows(const ScoreCodesOneArgs& args) {
  constexpr int64_t kStep = LERG_LANES * 4;
  const int64_t dim = kDim != 0 ? kDim : args.dim, whole = dim / kStep * kStep;
  uint64_t above = 0;
  const Vector threshold = broadcast(args.threshold), user_scale = broadcast(args.user_scale);
  int32_t extra = 0;
  for (int64_t k = 0; kOffset != 0 && k < dim; ++k) extra += kOffset * args.user[k];
  // A row's last bytes come with those before them, which meet zeros: nothing past the row is read, nor byte by byte.
  const bool wide = dim >= kStep;
  const int64_t last = wide ? dim - kStep : 0;
  Bytes end = Bytes{};  // of the user
  for (int64_t k = whole; k < dim; ++k) end[k - last] = args.user[k];
  for (int32_t first = 0; first < args.items; first += LERG_LANES) {
    Slots block(args.slots, first, args.items);
    float scales[LERG_LANES];
    Ints quads[LERG_LANES / 4];
    for (int four = 0; four < LERG_LANES / 4; ++four) {
      const int8_t* rows[4];
      for (int j = 0; j < 4; ++j) {
        const int32_t slot = block.slots[four * 4 + j];
        rows[j] = args.table + slot * dim;
        scales[four * 4 + j] = args.scales[slot];
      }
      Ints sums[4];
      for (int j = 0; j < 4; ++j) sums[j] = Ints{};
      for (int64_t k = 0; k < whole; k += kStep) {
        const Bytes user = load_bytes(args.user + k);
        for (int j = 0; j < 4; ++j) sums[j] = dot_bytes(offset(load_bytes(rows[j] + k)), user, sums[j]);
      }
      if (whole < dim)
        for (int j = 0; j < 4; ++j)
          sums[j] = dot_bytes(offset(wide ? load_bytes(rows[j] + last) : load_end(rows[j], dim)), end, sums[j]);
      quads[four] = add_quads(sums);
    }
    const Vector scores = to_floats(add_lanes(quads) - extra) * load(scales) * user_scale;
    above |= keep(scores, threshold, first, block.count, args.scores);
  }
  return above;
}

uint64_t score_codes_one(const ScoreCodesOneArgs& args) {
  switch (args.dim) {
    case 64:
      return score_codes_rows<64>(args);
    case 112:  // the default of an export
      return score_codes_rows<112>(args);
    case 128:
      return score_codes_rows<128>(args);
    default:
      return score_codes_rows<0>(args);
  }
}

}  // namespace

#define LERG_CODE_LOOPS                                                                                          \
  {                                                                                                              \
    {score_codes<8, 1>, score_codes<LERG_PAIR_ITEMS, 2>}, score_codes_one, { LERG_LANES, 2 * LERG_LANES }        \
  }

}  // namespace lerg

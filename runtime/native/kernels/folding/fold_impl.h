// Folding: weighted sums of rows of the codebook's integers, and the adjoint; included by row_loops_impl.h.
#pragma once

namespace lerg {
namespace {

template <class Index, class Cell, int kVectors>
inline void fold_columns(const FoldArgs& args, int64_t first) {
  const Index* codes = static_cast<const Index*>(args.codes);
  const Cell* table = static_cast<const Cell*>(args.table) + first;
  Vector sums[kVectors];
  for (int k = 0; k < kVectors; ++k) sums[k] = Vector{};
  for (int32_t j = 0; j < args.entries; ++j) {
    const int64_t code = codes[j];
    const Cell* row = table + code * args.stride;
    const float weight = static_cast<float>(args.weights[j]);
    const Vector factor = broadcast(args.steps == nullptr ? weight : weight * args.steps[code]);
    for (int k = 0; k < kVectors; ++k) sums[k] = fused(widen(row + k * LERG_LANES), factor, sums[k]);
  }
  for (int k = 0; k < kVectors; ++k) store(args.out + first + k * LERG_LANES, sums[k] * args.factor);
}

template <class Index, class Cell>
void fold(const FoldArgs& args) {
  constexpr int kWide = 8;  // vectors of sums, which stay in registers
  constexpr int kStep = kWide * LERG_LANES < kFoldColumns ? kWide * LERG_LANES : kFoldColumns;
  int64_t first = 0;
  if (kWide * LERG_LANES > kFoldColumns)
    for (; first + kWide * LERG_LANES <= args.columns; first += kWide * LERG_LANES)
      fold_columns<Index, Cell, kWide>(args, first);
  for (; first < args.columns; first += kStep) fold_columns<Index, Cell, kStep / LERG_LANES>(args, first);
}

#ifdef LERG_VNNI
// 64 columns as four vectors of int32; vector t holds, in its quarter q, columns 16 q + 4 t to 16 q + 4 t + 3.
struct Sums {
  __m512i part[4];
};

// Adds four entries: their bytes of one column come together in one lane, whose four products are summed at once.
inline void add_four(Sums& sums, const uint8_t* const rows[4], int64_t column, __m512i weights) {
  const __m512i a = _mm512_loadu_si512(rows[0] + column), b = _mm512_loadu_si512(rows[1] + column);
  const __m512i c = _mm512_loadu_si512(rows[2] + column), d = _mm512_loadu_si512(rows[3] + column);
  const __m512i low_ab = _mm512_unpacklo_epi8(a, b), high_ab = _mm512_unpackhi_epi8(a, b);
  const __m512i low_cd = _mm512_unpacklo_epi8(c, d), high_cd = _mm512_unpackhi_epi8(c, d);
  sums.part[0] = _mm512_dpbusd_epi32(sums.part[0], _mm512_unpacklo_epi16(low_ab, low_cd), weights);
  sums.part[1] = _mm512_dpbusd_epi32(sums.part[1], _mm512_unpackhi_epi16(low_ab, low_cd), weights);
  sums.part[2] = _mm512_dpbusd_epi32(sums.part[2], _mm512_unpacklo_epi16(high_ab, high_cd), weights);
  sums.part[3] = _mm512_dpbusd_epi32(sums.part[3], _mm512_unpackhi_epi16(high_ab, high_cd), weights);
}

inline void write_sums(const Sums& sums, float factor, float* out) {
  // A transposition of four by four quarters puts the columns in order.
  const __m512i ab_low = _mm512_shuffle_i32x4(sums.part[0], sums.part[1], 0x44);
  const __m512i ab_high = _mm512_shuffle_i32x4(sums.part[0], sums.part[1], 0xee);
  const __m512i cd_low = _mm512_shuffle_i32x4(sums.part[2], sums.part[3], 0x44);
  const __m512i cd_high = _mm512_shuffle_i32x4(sums.part[2], sums.part[3], 0xee);
  const __m512i rows[4] = {
      _mm512_shuffle_i32x4(ab_low, cd_low, 0x88), _mm512_shuffle_i32x4(ab_low, cd_low, 0xdd),
      _mm512_shuffle_i32x4(ab_high, cd_high, 0x88), _mm512_shuffle_i32x4(ab_high, cd_high, 0xdd)};
  for (int q = 0; q < 4; ++q)
    _mm512_storeu_ps(out + 16 * q, _mm512_mul_ps(_mm512_cvtepi32_ps(rows[q]), _mm512_set1_ps(factor)));
}

// kBlocks blocks of 64 columns. The table's bytes are 128 too high; the sums start 128 times the weights too low.
template <class Index, int kBlocks>
inline void fold_bytes(const FoldArgs& args, int64_t first) {
  const Index* codes = static_cast<const Index*>(args.codes);
  const uint8_t* table = static_cast<const uint8_t*>(args.table) + first;
  int32_t total = 0;
  for (int32_t j = 0; j < args.entries; ++j) total += args.weights[j];
  Sums sums[kBlocks];
  for (int block = 0; block < kBlocks; ++block)
    for (int t = 0; t < 4; ++t) sums[block].part[t] = _mm512_set1_epi32(-128 * total);
  for (int32_t j = 0; j < args.entries; j += 4) {
    const uint8_t* rows[4];
    uint32_t packed = 0;  // a missing entry is the first one again, with weight 0
    for (int e = 0; e < 4; ++e) {
      const bool there = j + e < args.entries;
      rows[e] = table + int64_t(codes[there ? j + e : j]) * args.stride;
      if (there) packed |= uint32_t(uint8_t(args.weights[j + e])) << (8 * e);
    }
    const __m512i weights = _mm512_set1_epi32(static_cast<int32_t>(packed));
    for (int block = 0; block < kBlocks; ++block) add_four(sums[block], rows, 64 * block, weights);
  }
  for (int block = 0; block < kBlocks; ++block) write_sums(sums[block], args.factor, args.out + first + 64 * block);
}

template <class Index>
void fold_int8(const FoldArgs& args) {
  if (args.steps != nullptr) return fold<Index, int8_t>(args);
  int64_t first = 0;
  for (; first + 128 <= args.columns; first += 128) fold_bytes<Index, 2>(args, first);
  for (; first < args.columns; first += 64) fold_bytes<Index, 1>(args, first);
}
#elif LERG_LANES >= 8
// The entries of a row by the signs of their weights, those from zero on the left and the others on the right: the
// instruction that multiplies bytes takes one side without a sign and adds two products in 16 bits, which holds two of
// 127 * 128 but no more. Between the two lies at least one place with weight 0, so that no pair has both signs.
struct SignedEntries {
  static constexpr int32_t kMost = 252;
  int32_t count = 0;  // of places, a multiple of four
  int32_t above = 0;  // of entries from zero on
  int64_t offsets[kMost + 4];  // of the entries' rows in the table
  uint8_t magnitudes[kMost + 4];

  // The signs of pairs i and i + 1, 16 bits each.
  int32_t signs(int32_t i) const {
    const uint32_t low = 2 * i < above ? 0x0001u : 0xffffu, high = 2 * i + 2 < above ? 0x0001u : 0xffffu;
    return static_cast<int32_t>(low | high << 16);
  }
};

// False where a row does not fit: more entries than kMost, none, or a weight of -128.
template <class Index>
inline bool sort_by_sign(const FoldArgs& args, SignedEntries& entries) {
  const Index* codes = static_cast<const Index*>(args.codes);
  if (args.entries == 0 || args.entries > SignedEntries::kMost) return false;
  entries.count = (args.entries + 4) & ~3;
  int32_t left = 0, right = entries.count - 1;
  bool fits = true;
  for (int32_t j = 0; j < args.entries; ++j) {  // written on both sides and kept on one: signs are hard to predict
    const int32_t weight = args.weights[j];
    entries.offsets[left] = entries.offsets[right] = int64_t(codes[j]) * args.stride;
    entries.magnitudes[left] = entries.magnitudes[right] = static_cast<uint8_t>(weight < 0 ? -weight : weight);
    left += weight >= 0;
    right -= weight < 0;
    fits &= weight != -128;
  }
  entries.above = left;
  for (int32_t gap = 0; gap < entries.count - args.entries; ++gap) {
    entries.offsets[left + gap] = entries.offsets[0];
    entries.magnitudes[left + gap] = 0;
  }
  return fits;
}

// kBlocks blocks of 32 columns; vector t of a block holds, in its half h, columns 16 h + 4 t to 16 h + 4 t + 3.
template <int kBlocks>
inline void fold_signed(const SignedEntries& entries, const int8_t* table, float factor, float* out) {
  __m256i sums[kBlocks][4];
  for (int block = 0; block < kBlocks; ++block)
    for (int t = 0; t < 4; ++t) sums[block][t] = _mm256_setzero_si256();
  for (int32_t place = 0; place < entries.count; place += 4) {
    const int64_t* rows = entries.offsets + place;
    const __m256i weights = _mm256_set1_epi32(
        *reinterpret_cast<const int32_t __attribute__((aligned(1), may_alias))*>(entries.magnitudes + place));
    const __m256i signs = _mm256_set1_epi32(entries.signs(place / 2));
    for (int block = 0; block < kBlocks; ++block) {
      const auto bytes = [&](int entry) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table + rows[entry] + 32 * block));
      };
      const __m256i a = bytes(0), b = bytes(1), c = bytes(2), d = bytes(3);
      const __m256i low_ab = _mm256_unpacklo_epi8(a, b), high_ab = _mm256_unpackhi_epi8(a, b);
      const __m256i low_cd = _mm256_unpacklo_epi8(c, d), high_cd = _mm256_unpackhi_epi8(c, d);
      const auto add = [&](int t, __m256i columns) {
        const __m256i products = _mm256_madd_epi16(_mm256_maddubs_epi16(weights, columns), signs);
        sums[block][t] = _mm256_add_epi32(sums[block][t], products);
      };
      add(0, _mm256_unpacklo_epi16(low_ab, low_cd));
      add(1, _mm256_unpackhi_epi16(low_ab, low_cd));
      add(2, _mm256_unpacklo_epi16(high_ab, high_cd));
      add(3, _mm256_unpackhi_epi16(high_ab, high_cd));
    }
  }
  for (int block = 0; block < kBlocks; ++block) {
    const auto write = [&](int place, __m256i columns) {
      _mm256_storeu_ps(out + 32 * block + 8 * place,
                       _mm256_mul_ps(_mm256_cvtepi32_ps(columns), _mm256_set1_ps(factor)));
    };
    write(0, _mm256_permute2x128_si256(sums[block][0], sums[block][1], 0x20));
    write(1, _mm256_permute2x128_si256(sums[block][2], sums[block][3], 0x20));
    write(2, _mm256_permute2x128_si256(sums[block][0], sums[block][1], 0x31));
    write(3, _mm256_permute2x128_si256(sums[block][2], sums[block][3], 0x31));
  }
}

template <class Index>
void fold_int8(const FoldArgs& args) {
  SignedEntries entries;
  if (args.steps != nullptr || !sort_by_sign<Index>(args, entries)) return fold<Index, int8_t>(args);
  const int8_t* table = static_cast<const int8_t*>(args.table);
  for (int64_t first = 0; first < args.columns; first += kFoldColumns)
    fold_signed<kFoldColumns / 32>(entries, table + first, args.factor, args.out + first);
}
#else
template <class Index>
void fold_int8(const FoldArgs& args) {
  fold<Index, int8_t>(args);
}
#endif

// Everything is in locals: what is stored may alias the arguments, for all that the compiler knows.
template <class Index>
void unfold(const UnfoldArgs& args) {
  constexpr int kVectors = kUnfoldColumns / LERG_LANES;
  constexpr int64_t kAhead = 4;  // triples; their entries lie anywhere in tables that pass every cache
  struct Block {
    Vector part[kVectors];
  };
  const Index* codes = static_cast<const Index*>(args.codes);
  const int8_t* weights = args.weights;
  const int32_t* rows = args.rows;
  const float *factors = args.factors, *slopes = args.slopes, *values = args.values;
  float* target = args.target;
  const int64_t batch = args.batch, stride = args.stride;
  const int32_t per_row = args.per_row, columns = args.columns;
  const float decay = args.decay;
  const auto read = [&](int64_t i) {
    Block block;
    const float* from = values + i * stride;
    float padded[kUnfoldColumns] = {0};
    if (columns < kUnfoldColumns) {
      for (int32_t x = 0; x < columns; ++x) padded[x] = from[x];
      from = padded;
    }
    for (int k = 0; k < kVectors; ++k) block.part[k] = load(from + k * LERG_LANES);
    return block;
  };
  const auto add = [&](int64_t i, const Block& grad) {
    const int64_t first = int64_t(rows[i]) * per_row;
    for (int32_t j = 0; j < per_row; ++j) {
      float* place = target + int64_t(codes[first + j]) * kUnfoldColumns;
      const Vector weight = broadcast(static_cast<float>(weights[first + j]));
      for (int k = 0; k < kVectors; ++k)
        store(place + k * LERG_LANES, fused(grad.part[k], weight, load(place + k * LERG_LANES)));
    }
  };
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t places[3] = {b, batch + b, 2 * batch + b};
    for (int64_t place : places) {
      if (b + kAhead >= batch || rows[place + kAhead] < 0) continue;
      __builtin_prefetch(codes + int64_t(rows[place + kAhead]) * per_row);
      __builtin_prefetch(weights + int64_t(rows[place + kAhead]) * per_row);
    }
    const Block user = read(places[0]), positive = read(places[1]), negative = read(places[2]);
    const float slope = slopes[b];
    Block grad;
    if (rows[places[0]] >= 0) {
      for (int k = 0; k < kVectors; ++k)
        grad.part[k] = ((negative.part[k] - positive.part[k]) * slope + user.part[k] * decay) * factors[places[0]];
      add(places[0], grad);
    }
    if (rows[places[1]] >= 0) {
      for (int k = 0; k < kVectors; ++k)
        grad.part[k] = (positive.part[k] * decay - user.part[k] * slope) * factors[places[1]];
      add(places[1], grad);
    }
    if (rows[places[2]] >= 0) {
      for (int k = 0; k < kVectors; ++k)
        grad.part[k] = (negative.part[k] * decay + user.part[k] * slope) * factors[places[2]];
      add(places[2], grad);
    }
  }
}

}  // namespace
}  // namespace lerg

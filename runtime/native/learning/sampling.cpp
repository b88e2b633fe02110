#include "learning/sampling.h"

namespace lerg {
namespace {

// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the value at a position of the stream without what went before it.
uint64_t mixed(uint64_t position) {
  uint64_t z = (position + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Uniform in [0, range), exactly: Lemire's multiplication (arXiv 1805.10941) with its rejection of the uneven rest.
uint32_t bounded(uint64_t key, uint32_t range) {
  const uint32_t uneven = (0u - range) % range;
  for (uint64_t attempt = 0;; ++attempt) {
    const uint64_t product = (mixed(key + attempt) >> 32) * range;
    if (static_cast<uint32_t>(product) >= uneven) return static_cast<uint32_t>(product >> 32);
  }
}

// The r-th item (from 0) that is not among `row`, ascending and unique.
template <typename Index>
int32_t untouched(const Index* row, size_t length, uint32_t r) {
  size_t low = 0, high = length;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (static_cast<uint64_t>(row[middle]) - middle <= r) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return static_cast<int32_t>(r + low);
}

// In eight partial sums, so that it is vectors on every machine and the same sum on all of them.
template <typename Element>
float product(const float* a, const Element* b, size_t dim) {
  float sums[8] = {};
  size_t j = 0;
  for (; j + 8 <= dim; j += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += a[j + lane] * static_cast<float>(b[j + lane]);
  }
  for (size_t lane = 0; j < dim; ++j, ++lane) sums[lane] += a[j] * static_cast<float>(b[j]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

template <typename Pointer, typename Index>
SamplingError sample_negatives(const int32_t* users, size_t count, const TouchedItems<Pointer, Index>& touched,
                               int32_t item_count, uint64_t seed, int32_t* out) {
  for (size_t i = 0; i < count; ++i) {
    if (users[i] < 0 || static_cast<size_t>(users[i]) >= touched.user_count) return SamplingError::kUser;
    const Pointer begin = touched.indptr[users[i]], end = touched.indptr[users[i] + 1];
    if (begin < 0 || end < begin || static_cast<size_t>(end) > touched.index_count) return SamplingError::kRow;
    if (end - begin > static_cast<Pointer>(item_count)) return SamplingError::kRow;
    const auto length = static_cast<size_t>(end - begin);
    const uint32_t left = static_cast<uint32_t>(item_count) - static_cast<uint32_t>(length);
    // Keys of neighbouring draws must not meet, whatever the seed: mix before adding the attempt.
    out[i] = left == 0 ? -1 : untouched(touched.indices + begin, length, bounded(mixed(mixed(seed) ^ i), left));
  }
  return SamplingError::kNone;
}

#define LERG_SAMPLE(Pointer, Index)                                                                               \
  template SamplingError sample_negatives<Pointer, Index>(const int32_t*, size_t,                                 \
                                                          const TouchedItems<Pointer, Index>&, int32_t, uint64_t, \
                                                          int32_t*);
LERG_SAMPLE(int32_t, uint8_t)
LERG_SAMPLE(int32_t, uint16_t)
LERG_SAMPLE(int32_t, int32_t)
LERG_SAMPLE(int64_t, uint8_t)
LERG_SAMPLE(int64_t, uint16_t)
LERG_SAMPLE(int64_t, int32_t)
#undef LERG_SAMPLE

template <typename Element>
bool hardest_candidates(const Rows<float>& user_rows, const Rows<Element>& item_rows, const int32_t* users, const int32_t* candidates,
                        size_t count, size_t per_user, int32_t* out) {
  const size_t dim = user_rows.dim;
  for (size_t i = 0; i < count; ++i) {
    if (users[i] < 0 || static_cast<size_t>(users[i]) >= user_rows.count) return false;
    const float* user = user_rows.data + static_cast<size_t>(users[i]) * dim;
    float best = 0.0f;
    out[i] = 0;
    for (size_t k = 0; k < per_user; ++k) {
      const int32_t item = candidates[k * count + i];
      if (item < 0 || static_cast<size_t>(item) >= item_rows.count) return false;
      const float scale = item_rows.scales ? item_rows.scales[item] : 1.0f;
      const float score = scale * product(user, item_rows.data + static_cast<size_t>(item) * dim, dim);
      if (k == 0 || score > best) {
        best = score;
        out[i] = static_cast<int32_t>(k);
      }
    }
  }
  return true;
}

template bool hardest_candidates<float>(const Rows<float>&, const Rows<float>&, const int32_t*, const int32_t*, size_t,
                                        size_t, int32_t*);
template bool hardest_candidates<int8_t>(const Rows<float>&, const Rows<int8_t>&, const int32_t*, const int32_t*,
                                         size_t, size_t, int32_t*);

}  // namespace lerg

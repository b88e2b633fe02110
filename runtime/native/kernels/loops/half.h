// Rows of tables as float32 or as float16 (IEEE 754 binary16, rounded to nearest even); included by loops_impl.h.
#pragma once

namespace lerg {
namespace {

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<Vector*>(to) = value; }

#if LERG_LANES == 16
inline Vector load(const Half* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
inline void store(Half* to, Vector value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}
#elif LERG_LANES == 8
inline Vector load(const Half* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
inline void store(Half* to, Vector value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__aarch64__)
inline Vector load(const Half* from) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(from))));
}
inline void store(Half* to, Vector value) {
  vst1_u16(reinterpret_cast<uint16_t*>(to), vreinterpret_u16_f16(vcvt_f16_f32(value)));
}
#else
union Bits {
  uint32_t bits;
  float value;
};

// The exponent's bias differs by 112; the product puts it right for subnormals too.
inline float from_half(Half half) {
  const uint32_t magnitude = half.bits & 0x7fffu;
  Bits result{magnitude << 13};
  if (magnitude >= 0x7c00u) result.bits |= 0x7f800000u;  // infinity or not a number
  else result.value *= 0x1p112f;
  result.bits |= (half.bits & 0x8000u) << 16;
  return result.value;
}

inline Half to_half(float value) {
  Bits whole;
  whole.value = value;
  const uint32_t sign = whole.bits >> 16 & 0x8000u;
  Bits magnitude{whole.bits & 0x7fffffffu};
  uint32_t bits;
  if (magnitude.bits > 0x7f800000u) {
    bits = 0x7e00u;  // not a number
  } else if (magnitude.bits >= 143u << 23) {
    bits = 0x7c00u;  // 2^16 and up
  } else if (magnitude.bits < 113u << 23) {
    magnitude.value += 0.5f;  // subnormal: the sum's last bits are the result, rounded by the addition
    bits = magnitude.bits - 0x3f000000u;
  } else {
    bits = (magnitude.bits - (112u << 23) + 0xfffu + (magnitude.bits >> 13 & 1u)) >> 13;
  }
  return {static_cast<uint16_t>(bits | sign)};
}

inline Vector load(const Half* from) {
  Vector values;
  for (int lane = 0; lane < LERG_LANES; ++lane) values[lane] = from_half(from[lane]);
  return values;
}
inline void store(Half* to, Vector value) {
  for (int lane = 0; lane < LERG_LANES; ++lane) to[lane] = to_half(value[lane]);
}
#endif

}  // namespace
}  // namespace lerg

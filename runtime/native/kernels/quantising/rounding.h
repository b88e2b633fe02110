// Rounding that every instruction set takes whole vectors of.
#pragma once

namespace lerg {

// Rounds to the nearest integer, ties to even, for magnitudes below 2^22: adding 1.5 * 2^23 leaves no bits for
// a fraction. Unlike a call of rintf it vectorises on every instruction set.
inline float round_even(float value) {
  constexpr float kShift = 12582912.0f;
  return (value + kShift) - kShift;
}

}  // namespace lerg

#include "plan/integers.h"

#include <algorithm>
#include <array>

namespace lerg {
namespace {

int64_t floor_divided(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// Smallest and largest of what `combine` gives for the ends of both ranges; it is monotone in each.
template <class Combine>
std::optional<IntegerRange> over_ends(const IntegerRange& a, const IntegerRange& b, const Combine& combine) {
  std::array<int64_t, 4> ends;
  const bool good = combine(a.least, b.least, &ends[0]) && combine(a.least, b.most, &ends[1]) &&
      combine(a.most, b.least, &ends[2]) && combine(a.most, b.most, &ends[3]);
  if (!good) return std::nullopt;
  const auto [least, most] = std::minmax_element(ends.begin(), ends.end());
  return IntegerRange{*least, *most};
}

}  // namespace

std::optional<IntegerRange> PlanIntegers::range(int32_t value) const {
  const auto found = assigned_.find(value);
  if (found != assigned_.end()) return found->second;
  const int64_t integer = read_integer(buffer_, plan_.values[static_cast<size_t>(value)].table);
  return IntegerRange{integer, integer};
}

const char* PlanIntegers::assign(int32_t value, const IntegerRange& range) {
  auto& own = assigned_[value];
  if (own) return "is an integer that is written twice";
  own = range;
  return nullptr;
}

std::optional<IntegerRange> PlanIntegers::result(const std::string& name, const IntegerRange& a,
                                                 const IntegerRange& b) {
  if (name == "executorch_prim::add.Scalar") {
    return over_ends(a, b, [](int64_t x, int64_t y, int64_t* to) { return !__builtin_add_overflow(x, y, to); });
  }
  if (name == "executorch_prim::sub.Scalar") {
    return over_ends(a, b, [](int64_t x, int64_t y, int64_t* to) { return !__builtin_sub_overflow(x, y, to); });
  }
  if (name == "executorch_prim::mul.Scalar") {
    return over_ends(a, b, [](int64_t x, int64_t y, int64_t* to) { return !__builtin_mul_overflow(x, y, to); });
  }
  // A division, by what is known to be above 0.
  return over_ends(a, b, [](int64_t x, int64_t y, int64_t* to) {
    *to = floor_divided(x, y);
    return true;
  });
}

const char* sizes_fault(const std::vector<IntegerRange>& sizes) {
  int64_t product = 1;
  int open = 0;
  for (const IntegerRange& size : sizes) {
    if (size.least < -1) return "has a negative size";
    if (size.least == -1) ++open;
    if (size.least == -1 && size.most != -1) return "has a size that may be negative";
    if (__builtin_mul_overflow(product, std::max<int64_t>(1, size.most), &product)) return "has too large sizes";
  }
  return open > 1 ? "leaves more than one size open" : nullptr;
}

}  // namespace lerg

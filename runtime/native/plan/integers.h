// What the integers of a plan can be when it runs. Most are written in the plan; sizes that vary are worked out by
// instructions, and an integer that divides or becomes a size must be known to be in range before it does.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plan/reader.h"

namespace lerg {

struct IntegerRange {
  int64_t least, most;
};

class PlanIntegers {
 public:
  PlanIntegers(const Flatbuffer& buffer, const MethodPlan& plan) : buffer_(buffer), plan_(plan) {}

  // Says that some instruction writes this value.
  void declare(int32_t value) { assigned_[value] = std::nullopt; }
  // Nothing for a value that an instruction writes and has not written yet.
  std::optional<IntegerRange> range(int32_t value) const;
  // Null, or why the value cannot be written.
  const char* assign(int32_t value, const IntegerRange& range);

  // What the operator `name` gives for these; nothing where it may overflow.
  static std::optional<IntegerRange> result(const std::string& name, const IntegerRange& a, const IntegerRange& b);

 private:
  const Flatbuffer& buffer_;
  const MethodPlan& plan_;
  std::map<int32_t, std::optional<IntegerRange>> assigned_;
};

// Null, or why a list of these cannot be the sizes of a view: other than sizes and one -1, or a product that overflows.
const char* sizes_fault(const std::vector<IntegerRange>& sizes);

}  // namespace lerg

#include "kernels/quantising/adam.h"

#include "kernels/parallel.h"

namespace lerg {

void adam_update(const AdamArgs& args, size_t count) {
  constexpr int kAdamParts = 32;
  const auto all = static_cast<int64_t>(count);
  run_parts(kAdamParts, all, [&](int part) {
    const int64_t first = all * part / kAdamParts, last = all * (part + 1) / kAdamParts;
    AdamArgs own = args;
    own.parameter += first;
    own.gradient += first;
    own.first += first;
    own.second += first;
    own.count = last - first;
    row_loops().adam(own);
  });
}

}  // namespace lerg

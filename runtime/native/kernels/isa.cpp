#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace lerg {
namespace {

const Loops& choose() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const char* wanted = std::getenv("LERG_ISA");
  const bool below_avx512 = wanted && (!std::strcmp(wanted, "avx2") || !std::strcmp(wanted, "generic"));
  const bool below_avx2 = wanted && !std::strcmp(wanted, "generic");
  if (avx512 && !below_avx512) return kAvx512Loops;
  if (avx2 && !below_avx2) return kAvx2Loops;
#endif
  return kGenericLoops;
}

}  // namespace

const Loops& loops() {
  static const Loops& chosen = choose();
  return chosen;
}

const char* isa_name() { return loops().name; }

}  // namespace lerg

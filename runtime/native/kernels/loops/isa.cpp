#include "kernels/loops/isa.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace lerg {
namespace {

#if defined(__x86_64__)
// clang's __builtin_cpu_supports knows no f16c before version 15.
bool has_f16c() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

struct Choice {
  const Loops& loops;
  const CodeLoops& codes;
  const char* codes_name;
};

#if defined(__aarch64__)
constexpr const char* kBaseline = "neon";
#else
constexpr const char* kBaseline = "generic";
#endif

Choice choose() {
  const char* wanted = std::getenv("LERG_ISA");
  const auto asked = [&](const char* name) { return wanted != nullptr && std::strcmp(wanted, name) == 0; };
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  if (avx512 && !asked("avx2") && !asked("generic")) {
    if (vnni && !asked("avx512")) return {kAvx512Loops, kVnniCodeLoops, "vnni"};
    return {kAvx512Loops, kAvx512CodeLoops, "avx512"};
  }
  if (avx2 && !asked("generic")) return {kAvx2Loops, kAvx2CodeLoops, "avx2"};
#elif defined(__aarch64__) && defined(__linux__)
  constexpr unsigned long kDotProduct = 1UL << 20;  // HWCAP_ASIMDDP, which older headers lack
  if ((getauxval(AT_HWCAP) & kDotProduct) != 0 && !asked("neon")) return {kGenericLoops, kDotCodeLoops, "dotprod"};
#endif
  return {kGenericLoops, kGenericCodeLoops, kBaseline};
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

const Loops& loops() { return choice().loops; }

const CodeLoops& code_loops() { return choice().codes; }

const char* isa_name() { return loops().name; }

const char* code_loops_name() { return choice().codes_name; }

const char* half_name() {
#if defined(__x86_64__)
  return &loops() == &kGenericLoops ? "software" : "f16c";
#elif defined(__aarch64__)
  return "neon";
#else
  return "software";
#endif
}

}  // namespace lerg

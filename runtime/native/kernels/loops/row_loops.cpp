#include "kernels/loops/row_loops.h"

#include "kernels/loops/isa.h"

namespace lerg {
namespace {

const RowLoops& choose() {
#if defined(__x86_64__)
  if (&loops() == &kAvx512Loops) return __builtin_cpu_supports("avx512vnni") ? kVnniRowLoops : kAvx512RowLoops;
  if (&loops() == &kAvx2Loops) return kAvx2RowLoops;
#endif
  return kGenericRowLoops;
}

}  // namespace

const RowLoops& row_loops() {
  static const RowLoops& chosen = choose();
  return chosen;
}

const char* row_loops_name() {
#if defined(__x86_64__)
  if (&row_loops() == &kVnniRowLoops) return "vnni";
#endif
  return isa_name();
}

}  // namespace lerg

#include "kernels/loops/block_loops.h"

#include "kernels/loops/isa.h"

namespace lerg {
namespace {

const BlockLoops& choose() {
#if defined(__x86_64__)
  if (&loops() == &kAvx512Loops) return kAvx512BlockLoops;
  if (&loops() == &kAvx2Loops) return kAvx2BlockLoops;
#endif
  return kGenericBlockLoops;
}

}  // namespace

const BlockLoops& block_loops() {
  static const BlockLoops& chosen = choose();
  return chosen;
}

}  // namespace lerg

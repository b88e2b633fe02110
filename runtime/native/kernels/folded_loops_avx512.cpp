// AVX-512 F, BW, VL and DQ. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 16
#include "folded_loops_impl.h"

namespace lerg {

const FoldedLoops kAvx512FoldedLoops = LERG_FOLDED_LOOPS;

}  // namespace lerg
#endif

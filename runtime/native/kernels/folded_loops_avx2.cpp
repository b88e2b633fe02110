// AVX2 with FMA. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 8
#include "folded_loops_impl.h"

namespace lerg {

const FoldedLoops kAvx2FoldedLoops = LERG_FOLDED_LOOPS;

}  // namespace lerg
#endif

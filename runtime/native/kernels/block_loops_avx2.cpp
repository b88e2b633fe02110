// AVX2 with FMA and F16C. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 8
#include "block_loops_impl.h"

namespace lerg {

const BlockLoops kAvx2BlockLoops = LERG_BLOCK_LOOPS;

}  // namespace lerg
#endif

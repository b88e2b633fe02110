// AVX-512 F, BW, VL and DQ. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 16
#include "block_loops_impl.h"

namespace lerg {

const BlockLoops kAvx512BlockLoops = LERG_BLOCK_LOOPS;

}  // namespace lerg
#endif

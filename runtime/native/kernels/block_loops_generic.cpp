// The baseline of the architecture: SSE2 on x86-64, NEON on arm64.
#define LERG_LANES 4
#include "block_loops_impl.h"

namespace lerg {

const BlockLoops kGenericBlockLoops = LERG_BLOCK_LOOPS;

}  // namespace lerg

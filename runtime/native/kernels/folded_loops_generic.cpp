// The baseline of the architecture: SSE2 on x86-64, NEON on arm64.
#define LERG_LANES 4
#include "folded_loops_impl.h"

namespace lerg {

const FoldedLoops kGenericFoldedLoops = LERG_FOLDED_LOOPS;

}  // namespace lerg

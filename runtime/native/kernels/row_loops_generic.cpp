// The baseline of the architecture: SSE2 on x86-64, NEON on arm64.
#define LERG_LANES 4
#include "row_loops_impl.h"

namespace lerg {

const RowLoops kGenericRowLoops = LERG_ROW_LOOPS;

}  // namespace lerg

// AVX2 with FMA. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 8
#include "row_loops_impl.h"

namespace lerg {

const RowLoops kAvx2RowLoops = LERG_ROW_LOOPS;

}  // namespace lerg
#endif

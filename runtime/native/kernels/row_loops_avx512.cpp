// AVX-512 F, BW, VL and DQ. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 16
#include "row_loops_impl.h"

namespace lerg {

const RowLoops kAvx512RowLoops = LERG_ROW_LOOPS;

}  // namespace lerg
#endif

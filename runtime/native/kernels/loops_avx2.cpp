// AVX2 with FMA and F16C. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 8
#include "loops_impl.h"
#include "score_impl.h"
#include "code_loops_impl.h"

namespace lerg {

const Loops kAvx2Loops = {
    LERG_PROPAGATION_LOOPS,
    {score<8, 1>, score<4, 2>},
    score_one,
    all_below,
    {8, 16},
    "avx2",
};

const CodeLoops kAvx2CodeLoops = {{score_codes<8, 1>, score_codes<4, 2>}, score_codes_one, {8, 16}};

}  // namespace lerg
#endif

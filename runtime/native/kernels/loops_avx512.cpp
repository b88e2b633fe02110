// AVX-512 F, BW, VL and DQ. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 16
#include "loops_impl.h"
#include "score_impl.h"
#include "code_loops_impl.h"

namespace lerg {

const Loops kAvx512Loops = {
    LERG_PROPAGATION_LOOPS,
    {score<8, 1>, score<8, 2>},
    score_one,
    all_below,
    {16, 32},
    "avx512",
};

const CodeLoops kAvx512CodeLoops = {{score_codes<8, 1>, score_codes<8, 2>}, score_codes_one, {16, 32}};

}  // namespace lerg
#endif

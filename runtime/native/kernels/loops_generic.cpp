// The baseline of the architecture: SSE2 on x86-64, NEON on arm64.
#define LERG_LANES 4
#include "loops_impl.h"
#include "score_impl.h"
#include "code_loops_impl.h"

namespace lerg {

const Loops kGenericLoops = {
    LERG_PROPAGATION_LOOPS,
    {score<8, 1>, score<4, 2>},
    score_one,
    all_below,
    {4, 8},
#if defined(__aarch64__)
    "neon",
#else
    "generic",
#endif
};

const CodeLoops kGenericCodeLoops = {{score_codes<8, 1>, score_codes<4, 2>}, score_codes_one, {4, 8}};

}  // namespace lerg

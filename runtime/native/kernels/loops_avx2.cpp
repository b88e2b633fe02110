// AVX2 with FMA. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 8
#include "loops_impl.h"

namespace lerg {

const Loops kAvx2Loops = {
    LERG_EACH_TYPE(compose),
    LERG_EACH_TYPE(gather),
    LERG_EACH_TYPE(push),
    LERG_EACH_TYPE(scatter_codes),
    LERG_EACH_TYPE(collect),
    {score<8, 1>, score<4, 2>},
    dot,
    {8, 16},
    "avx2",
};

}  // namespace lerg
#endif

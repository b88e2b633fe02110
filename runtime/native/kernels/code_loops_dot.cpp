// Armv8.2 with the dot product of bytes. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__aarch64__)
#define LERG_LANES 4
#define LERG_DOT_BYTES
#include "loops_impl.h"
#include "score_impl.h"
#include "code_loops_impl.h"

namespace lerg {

const CodeLoops kDotCodeLoops = {{score_codes<8, 1>, score_codes<4, 2>}, score_codes_one, {4, 8}};

}  // namespace lerg
#endif

// AVX-512 with VNNI. The build gives this file its instruction set; see CMakeLists.txt.
#if defined(__x86_64__)
#define LERG_LANES 16
#define LERG_DOT_BYTES
#include "loops_impl.h"
#include "score_impl.h"
#include "code_loops_impl.h"

namespace lerg {

const CodeLoops kVnniCodeLoops = {{score_codes<8, 1>, score_codes<8, 2>}, score_codes_one, {16, 32}};

}  // namespace lerg
#endif

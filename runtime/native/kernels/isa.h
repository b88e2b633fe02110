// The instruction set of the kernels' inner loops, chosen when the library runs.
#pragma once

#include "loops.h"

namespace lerg {

// The loops in use: the widest set that the processor has. The environment variable LERG_ISA ("generic" or
// "avx2" on x86-64) asks for a narrower one; it is read once, and ignored where the processor lacks the set.
const Loops& loops();

// "avx512", "avx2", "generic" or "neon".
__attribute__((visibility("default"))) const char* isa_name();

}  // namespace lerg

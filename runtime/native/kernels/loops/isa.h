// The instruction set of the kernels' inner loops, chosen when the library runs.
#pragma once

#include "kernels/loops/code_loops.h"
#include "kernels/loops/loops.h"

namespace lerg {

// The loops in use: the widest set that the processor has. The environment variable LERG_ISA asks for a narrower one:
// "generic", "avx2" or "avx512" (without VNNI) on x86-64, "neon" (without the dot product) on arm64. It is read once,
// and ignored where the processor lacks the set.
const Loops& loops();
const CodeLoops& code_loops();

// "avx512", "avx2", "generic" or "neon".
__attribute__((visibility("default"))) const char* isa_name();

// What scores int8 tables: "vnni", "avx512", "avx2", "generic", on arm64 "dotprod" or "neon".
__attribute__((visibility("default"))) const char* code_loops_name();

// What converts rows of float16: "f16c", "neon" or "software".
__attribute__((visibility("default"))) const char* half_name();

}  // namespace lerg

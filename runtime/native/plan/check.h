// The check of a program's plans, made when it is opened and before ExecuTorch loads any of it.
//
// ExecuTorch verifies that a program's tables are whole. It does not compare what an instruction gives a kernel with
// what the kernel takes, and kernels trust their arguments' number and kinds, the types of what they write, and that
// what they checked stays as it was. So this does, for every method: each instruction calls an operator of the table in
// signatures.h with arguments of its kinds, types and ranks; what it writes is neither an input, a constant nor a
// parameter and overlaps nothing that it reads; every tensor is row-major, aligned and inside its memory, and is written
// before it is read; integers that become sizes are in range. docs/programs.md has the rules for readers of the format.
#pragma once

#include "plan/memory.h"

namespace lerg {

// Throws ProgramFault with a part of a sentence that names method, instruction and operator.
void check_program(const Flatbuffer& buffer, const ProgramExtent& extent);

}  // namespace lerg

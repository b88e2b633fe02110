// One step of Adam, shared out among the threads of ExecuTorch's pool.
#pragma once

#include <cstddef>

#include "kernels/loops/row_loops.h"

namespace lerg {

// args.count is ignored; the arrays have `count` elements.
__attribute__((visibility("default"))) void adam_update(const AdamArgs& args, size_t count);

}  // namespace lerg

// Kernels that stand before stock ones which trust what they are given too far. They check what only a run knows and
// hand the call on.
#pragma once

#include <executorch/runtime/kernel/operator_registry.h>

namespace lerg {

// For Program::load_method.
executorch::runtime::Span<const executorch::runtime::Kernel> kernel_guards();

}  // namespace lerg

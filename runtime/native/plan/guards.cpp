#include "plan/guards.h"

#include <executorch/runtime/kernel/kernel_includes.h>

namespace lerg {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::EValue;
using executorch::runtime::Kernel;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

void call_stock(const char* name, KernelRuntimeContext& context, Span<EValue*> arguments) {
  const auto kernel = executorch::runtime::get_op_function_from_registry(name);
  if (!kernel.ok()) {
    context.fail(kernel.error());
    return;
  }
  (*kernel)(context, arguments);
}

void refuse(KernelRuntimeContext& context, const char* reason) {
  ET_LOG(Error, "lerg: %s", reason);
  context.fail(executorch::runtime::Error::InvalidArgument);
}

// The stock kernel takes the shape of what it writes from one tensor, which may be an empty one of any width, and
// copies as much from all.
void guard_cat(KernelRuntimeContext& context, Span<EValue*> arguments) {
  const auto tensors = arguments[0]->toTensorList();
  const Tensor& out = arguments[2]->toTensor();
  const int64_t given = arguments[1]->toInt(), dim = given < 0 ? given + out.dim() : given;
  for (const Tensor& tensor : tensors) {
    bool alike = tensor.dim() == out.dim();
    for (ssize_t d = 0; alike && d < tensor.dim(); ++d) alike = d == dim || tensor.size(d) == tensors[0].size(d);
    if (!alike) return refuse(context, "tensors of several shapes cannot be joined");
  }
  call_stock("aten::cat.out", context, arguments);
}

template <typename T>
bool all_positive(const Tensor& tensor) {
  const T* values = tensor.const_data_ptr<T>();
  bool good = true;
  for (ssize_t i = 0; i < tensor.numel(); ++i) good &= values[i] > 0;
  return good;
}

// Of integers: the lowest by -1 is no integer, which ends the process.
void guard_div(KernelRuntimeContext& context, Span<EValue*> arguments) {
  const Tensor& by = arguments[1]->toTensor();
  const bool good = by.scalar_type() == ScalarType::Int ? all_positive<int32_t>(by) : all_positive<int64_t>(by);
  if (!good) return refuse(context, "a divisor is not above 0");
  call_stock("aten::div.out_mode", context, arguments);
}

const Kernel kGuards[] = {
    Kernel("aten::cat.out", guard_cat),
    Kernel("aten::div.out_mode", guard_div),
};

}  // namespace

Span<const Kernel> kernel_guards() { return {kGuards, sizeof(kGuards) / sizeof(kGuards[0])}; }

}  // namespace lerg

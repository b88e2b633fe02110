// Checks shared by the operators. Each failure names the operator's argument and the rule.
#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include "loops.h"

namespace lerg {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::KernelRuntimeContext;

// Fails the kernel with InvalidArgument and a sentence that starts with "lerg: ".
#define LERG_CHECK(context, condition, out, ...) \
  ET_KERNEL_CHECK_MSG(context, condition, InvalidArgument, out, "lerg: " __VA_ARGS__)

inline bool is_array(const Tensor& tensor, ScalarType type, int64_t rank) {
  return tensor.scalar_type() == type && tensor.dim() == rank &&
      executorch::runtime::tensor_is_default_dim_order(tensor);
}

inline bool is_floats(const Tensor& tensor, int64_t rank) { return is_array(tensor, ScalarType::Float, rank); }

// Gives `out`, a float or int64 tensor, its sizes; false when they pass its planned bounds.
inline bool resize(Tensor& out, std::initializer_list<int64_t> sizes) {
  executorch::aten::SizesType wanted[4];
  size_t rank = 0;
  for (int64_t size : sizes) wanted[rank++] = static_cast<executorch::aten::SizesType>(size);
  return executorch::runtime::resize_tensor(out, {wanted, rank}) == executorch::runtime::Error::Ok;
}

// The type of a tensor of small integers, or false when it is none of uint8, uint16 and int32.
inline bool index_type(const Tensor& tensor, IndexType* type) {
  switch (tensor.scalar_type()) {
    case ScalarType::Byte:
      *type = kUInt8;
      return true;
    case ScalarType::UInt16:
      *type = kUInt16;
      return true;
    case ScalarType::Int:
      *type = kInt32;
      return true;
    default:
      return false;
  }
}

}  // namespace lerg

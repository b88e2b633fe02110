// Checks shared by the operators. Each failure names the operator's argument and the rule.
#pragma once

#include <executorch/runtime/kernel/kernel_includes.h>

#include <functional>
#include <initializer_list>

#include "kernels/loops/loops.h"

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

// Whether two tensors have memory in common.
inline bool share_memory(const Tensor& one, const Tensor& other) {
  const auto *first = static_cast<const char*>(one.const_data_ptr()),
             *second = static_cast<const char*>(other.const_data_ptr());
  const std::less<const char*> before;  // of pointers into different arrays, too
  return one.nbytes() > 0 && other.nbytes() > 0 && before(first, second + other.nbytes()) &&
      before(second, first + one.nbytes());
}

// Whether `out` shares no memory with any of these.
inline bool apart(const Tensor& out, std::initializer_list<const Tensor*> read) {
  for (const Tensor* tensor : read)
    if (share_memory(out, *tensor)) return false;
  return true;
}

// Gives `out` its sizes, up to four; false when it is of another type, when they pass its planned bounds or when it
// shares memory with what the operator reads. Nothing else may change what a call has checked.
inline bool prepare_out(Tensor& out, ScalarType type, std::initializer_list<int64_t> sizes,
                        std::initializer_list<const Tensor*> read) {
  executorch::aten::SizesType wanted[4];
  size_t rank = 0;
  for (int64_t size : sizes) {
    if (size < 0 || size > INT32_MAX) return false;
    wanted[rank++] = static_cast<executorch::aten::SizesType>(size);
  }
  if (!is_array(out, type, static_cast<int64_t>(rank)) ||
      executorch::runtime::resize_tensor(out, {wanted, rank}) != executorch::runtime::Error::Ok)
    return false;
  return apart(out, read) && (out.numel() == 0 || out.const_data_ptr() != nullptr);
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

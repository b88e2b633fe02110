// A kernel's working memory: laid out first, then taken from the runtime in one piece.
#pragma once

#include <cstddef>
#include <cstdint>

#include <executorch/runtime/kernel/kernel_includes.h>

namespace lerg {

// Used twice with the same calls: without a base it adds up sizes, with one it hands out pointers.
class Scratch {
 public:
  static constexpr size_t kAlignment = 64;

  Scratch() = default;
  explicit Scratch(void* base) : base_(static_cast<uint8_t*>(base)) {}

  template <class T>
  T* take(int64_t count) {
    T* piece = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += (static_cast<size_t>(count) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return piece;
  }
  size_t bytes() const { return used_; }

 private:
  uint8_t* base_ = nullptr;
  size_t used_ = 0;
};

// Lays `layout(Scratch&)` out and runs it again on memory from the runtime, which frees it after the kernel.
// Returns false, with the context failed, when the runtime refuses the memory.
template <class Layout>
bool allocate_scratch(executorch::runtime::KernelRuntimeContext& context, const Layout& layout) {
  Scratch sizes;
  layout(sizes);
  if (sizes.bytes() == 0) return true;
  auto memory = context.allocate_temp(sizes.bytes(), Scratch::kAlignment);
  if (!memory.ok()) {
    ET_LOG(Error, "lerg: %zu bytes of scratch memory were refused", sizes.bytes());
    context.fail(memory.error());
    return false;
  }
  Scratch pieces(memory.get());
  layout(pieces);
  return true;
}

}  // namespace lerg

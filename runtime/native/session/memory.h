// The two allocators that ExecuTorch is given, both over a Budget. Neither throws: they are called from code that is
// built without exceptions, so they return null and remember why.
#pragma once

#include <executorch/runtime/core/memory_allocator.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "session/budget.h"

namespace lerg {

// What a method builds when it is loaded (values, argument lists): many small pieces that live as long as the method.
// ExecuTorch does not look at every piece before it writes to it. So what the budget refuses is served all the same,
// uncounted, and remembered: the caller asks after loading and gives the method up.
class StructureAllocator final : public executorch::runtime::MemoryAllocator {
 public:
  explicit StructureAllocator(std::shared_ptr<Budget> budget);

  void* allocate(size_t size, size_t alignment = kDefaultAlignment) override;
  uint32_t size() const override { return UINT32_MAX; }
  size_t used_size() const override { return used_; }
  size_t free_size() const override { return UINT32_MAX; }
  void reset() override {}  // what it holds is in use until the method is gone

  // Bytes that did not fit the budget, 0 while none has been refused.
  size_t refused() const { return refused_; }

 private:
  unsigned char* take_chunk(size_t bytes);

  std::shared_ptr<Budget> budget_;
  std::vector<Block> chunks_;
  std::vector<std::unique_ptr<unsigned char[]>> uncounted_;
  unsigned char* next_ = nullptr;
  size_t left_ = 0;
  size_t used_ = 0;
  size_t refused_ = 0;
};

// Scratch of one kernel at a time; ExecuTorch resets it after each. With a capacity it is one block, taken at
// construction (throws BudgetExceeded), and a kernel that wants more fails. With capacity 0 each request is a block of
// its own, which is how the capacity is found: peak() counts both cases alike.
class ScratchAllocator final : public executorch::runtime::MemoryAllocator {
 public:
  ScratchAllocator(std::shared_ptr<Budget> budget, size_t capacity);

  void* allocate(size_t size, size_t alignment = kDefaultAlignment) override;
  uint32_t size() const override;
  size_t used_size() const override { return used_; }
  size_t free_size() const override;
  void reset() override;

  size_t capacity() const { return block_.size(); }
  size_t peak() const { return peak_; }
  size_t refused() const { return refused_; }
  void clear_refused() { refused_ = 0; }

 private:
  void* refuse(size_t bytes);

  std::shared_ptr<Budget> budget_;
  const bool grows_;
  Block block_;
  std::vector<Block> pieces_;
  size_t used_ = 0;
  size_t peak_ = 0;
  size_t refused_ = 0;
};

}  // namespace lerg

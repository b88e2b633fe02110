#include "session/budget.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace lerg {
namespace {

// Blocks from this size on are mapped by themselves. malloc keeps what is freed in the middle of its heap, and resident
// memory that the budget no longer counts would be a lie. A sanitizer watches what malloc gives and no mapping.
#ifdef LERG_SANITIZE
constexpr size_t kMapFrom = SIZE_MAX;
#else
constexpr size_t kMapFrom = 256 * 1024;
#endif

// In blocks from this size on rows are read out of order, and pages of 4 KB are too many for a processor to keep in
// mind. Asking for large ones makes nothing resident outside of the block.
constexpr size_t kLargePagesFrom = 4 * 1024 * 1024;

void* allocate(size_t bytes) noexcept {
  if (bytes >= kMapFrom) {
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
    if (bytes >= kLargePagesFrom) madvise(memory, bytes, MADV_HUGEPAGE);  // where it is refused nothing is lost
#endif
    return memory;
  }
  void* memory = nullptr;
  return posix_memalign(&memory, Budget::kAlignment, bytes) == 0 ? memory : nullptr;
}

void release(void* memory, size_t bytes) noexcept {
  if (bytes >= kMapFrom) {
    munmap(memory, bytes);
  } else {
    std::free(memory);
  }
}

}  // namespace

size_t Budget::counted(size_t bytes) {
  if (bytes > SIZE_MAX - kAlignment) return SIZE_MAX;
  return bytes == 0 ? kAlignment : (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

bool Budget::reserve(size_t bytes) noexcept {
  size_t used = used_.load(std::memory_order_relaxed);
  do {
    if (bytes > SIZE_MAX - used) return false;
    if (limit_ != 0 && (used > limit_ || bytes > limit_ - used)) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  size_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < used + bytes && !peak_.compare_exchange_weak(peak, used + bytes, std::memory_order_relaxed)) {
  }
  return true;
}

void* Budget::try_take(size_t bytes) noexcept {
  const size_t size = counted(bytes);
  if (!reserve(size)) return nullptr;
  void* memory = allocate(size);
  if (memory == nullptr) used_.fetch_sub(size, std::memory_order_relaxed);
  return memory;
}

BudgetExceeded Budget::exceeded(const std::string& purpose, size_t bytes) const {
  const size_t size = counted(bytes), in_use = used();
  const size_t free = in_use < limit_ ? limit_ - in_use : 0;
  const std::string message = purpose + " needs " + std::to_string(size) + " bytes, but only " +
                              std::to_string(free) + " of the memory budget of " + std::to_string(limit_) +
                              " bytes are free; raise the budget";
  return BudgetExceeded(message, purpose, size, size > SIZE_MAX - in_use ? SIZE_MAX : in_use + size, limit_);
}

void* Budget::take(size_t bytes, const std::string& purpose) {
  void* memory = try_take(bytes);
  if (memory != nullptr) return memory;
  const size_t size = counted(bytes), in_use = used();
  if (limit_ != 0 && (in_use > limit_ || size > limit_ - in_use)) throw exceeded(purpose, bytes);
  throw OutOfMemory(purpose + " needs " + std::to_string(size) + " bytes, which the system does not have");
}

void Budget::give_back(void* memory, size_t bytes) noexcept {
  if (memory == nullptr) return;
  const size_t size = counted(bytes);
  release(memory, size);
  used_.fetch_sub(size, std::memory_order_relaxed);
}

Block::Block(std::shared_ptr<Budget> budget, size_t bytes, const std::string& purpose)
    : budget_(std::move(budget)), data_(static_cast<unsigned char*>(budget_->take(bytes, purpose))), size_(bytes) {}

Block::Block(Block&& other) noexcept
    : budget_(std::move(other.budget_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Block& Block::operator=(Block&& other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Block::~Block() {
  if (data_ != nullptr) budget_->give_back(data_, size_);
}

}  // namespace lerg

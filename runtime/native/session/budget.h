// Memory that is counted. Everything large that the runtime holds (arenas, tables, scratch, optimiser state) is taken
// from one Budget, so that a limit stated by the user is a limit on what is allocated and not an estimate.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace lerg {

// An allocation would pass a limit. Sizes are in bytes; needed is the smallest limit that would have let it pass.
class BudgetExceeded : public std::runtime_error {
 public:
  BudgetExceeded(const std::string& message, std::string purpose, size_t requested, size_t needed, size_t limit)
      : std::runtime_error(message), purpose(std::move(purpose)), requested(requested), needed(needed), limit(limit) {}

  const std::string purpose;
  const size_t requested;
  const size_t needed;
  const size_t limit;
};

// The system has no more, whatever the budget says; MemoryError in Python.
class OutOfMemory : public std::bad_alloc {
 public:
  explicit OutOfMemory(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

class Budget {
 public:
  // Every block starts on a cache line, which is also what the widest vector loads want.
  static constexpr size_t kAlignment = 64;

  // limit_bytes 0 counts without bounding.
  explicit Budget(size_t limit_bytes) : limit_(limit_bytes) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  size_t limit() const { return limit_; }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t peak() const { return peak_.load(std::memory_order_relaxed); }

  // What a request of `bytes` is counted as: rounded up to kAlignment, at least one unit.
  static size_t counted(size_t bytes);

  // Throws BudgetExceeded over the limit and OutOfMemory where the system has no more. The purpose is used in the
  // message. Memory is zeroed only by chance.
  void* take(size_t bytes, const std::string& purpose);

  // What take throws, for callers that found out through try_take.
  BudgetExceeded exceeded(const std::string& purpose, size_t bytes) const;

  // As take, but null on either failure: for callers that must not throw.
  void* try_take(size_t bytes) noexcept;

  // `bytes` is what take was asked for.
  void give_back(void* memory, size_t bytes) noexcept;

 private:
  bool reserve(size_t bytes) noexcept;

  const size_t limit_;
  std::atomic<size_t> used_{0};
  std::atomic<size_t> peak_{0};
};

// One block of a budget, given back when it goes out of scope.
class Block {
 public:
  Block() = default;
  Block(std::shared_ptr<Budget> budget, size_t bytes, const std::string& purpose);
  Block(Block&& other) noexcept;
  Block& operator=(Block&& other) noexcept;
  ~Block();

  unsigned char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::shared_ptr<Budget> budget_;
  unsigned char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lerg

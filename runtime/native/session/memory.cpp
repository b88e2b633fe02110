#include "session/memory.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <utility>

namespace lerg {
namespace {

// A method of a few dozen operators needs some tens of kilobytes; a small chunk keeps what is rounded up small.
constexpr size_t kChunk = 4096;

// Bytes that a request takes at most, its alignment included. SIZE_MAX says that it cannot be served.
size_t charge(size_t size, size_t alignment) {
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) return SIZE_MAX;
  const size_t counted = Budget::counted(size);
  if (alignment <= Budget::kAlignment) return counted;
  return counted > SIZE_MAX - alignment ? SIZE_MAX : counted + alignment;
}

void* aligned(unsigned char* start, size_t alignment) {
  const auto address = reinterpret_cast<uintptr_t>(start);
  return reinterpret_cast<void*>((address + alignment - 1) & ~static_cast<uintptr_t>(alignment - 1));
}

uint32_t clamped(size_t bytes) { return static_cast<uint32_t>(std::min<size_t>(bytes, UINT32_MAX)); }

}  // namespace

StructureAllocator::StructureAllocator(std::shared_ptr<Budget> budget)
    : MemoryAllocator(0, nullptr), budget_(std::move(budget)) {}

unsigned char* StructureAllocator::take_chunk(size_t bytes) {
  try {
    chunks_.emplace_back(budget_, bytes, "method structures");
    return chunks_.back().data();
  } catch (const std::exception&) {
    refused_ = std::max(refused_, bytes);
  }
  uncounted_.emplace_back(new (std::nothrow) unsigned char[bytes]);
  return uncounted_.back().get();
}

void* StructureAllocator::allocate(size_t size, size_t alignment) {
  if (charge(size, alignment) == SIZE_MAX) return nullptr;
  unsigned char* start = static_cast<unsigned char*>(aligned(next_, alignment));
  size_t wanted = size + static_cast<size_t>(start - next_);
  if (next_ == nullptr || wanted > left_) {
    const size_t chunk = std::max(charge(size, alignment), kChunk);
    next_ = take_chunk(chunk);
    if (next_ == nullptr) return nullptr;
    left_ = chunk;
    start = static_cast<unsigned char*>(aligned(next_, alignment));
    wanted = size + static_cast<size_t>(start - next_);
  }
  next_ += wanted;
  left_ -= wanted;
  used_ += wanted;
  return start;
}

ScratchAllocator::ScratchAllocator(std::shared_ptr<Budget> budget, size_t capacity)
    : MemoryAllocator(0, nullptr), budget_(std::move(budget)), grows_(capacity == 0) {
  if (!grows_) block_ = Block(budget_, Budget::counted(capacity), "scratch");
}

void* ScratchAllocator::refuse(size_t bytes) {
  refused_ = std::max(refused_, bytes);
  return nullptr;
}

void* ScratchAllocator::allocate(size_t size, size_t alignment) {
  const size_t bytes = charge(size, alignment);
  if (bytes == SIZE_MAX || bytes > SIZE_MAX - used_) return refuse(bytes);
  void* start = nullptr;
  if (grows_) {
    try {
      pieces_.emplace_back(budget_, bytes, "scratch");
    } catch (const std::exception&) {
      return refuse(used_ + bytes);
    }
    start = aligned(pieces_.back().data(), alignment);
  } else {
    if (bytes > block_.size() - used_) return refuse(used_ + bytes);
    start = aligned(block_.data() + used_, alignment);
  }
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return start;
}

uint32_t ScratchAllocator::size() const { return grows_ ? UINT32_MAX : clamped(block_.size()); }

size_t ScratchAllocator::free_size() const { return grows_ ? UINT32_MAX : block_.size() - used_; }

void ScratchAllocator::reset() {
  pieces_.clear();
  used_ = 0;
}

}  // namespace lerg

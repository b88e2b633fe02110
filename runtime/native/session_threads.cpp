#include "session_threads.h"

#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include <cstdint>

#include "session_engine.h"

// The SDK carries the pool's library but not its header. Only members that are not virtual are called, through a
// pointer that the library gives, so the class needs no layout here.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t num_threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace lerg {
namespace {

std::shared_mutex pool_mutex;

}  // namespace

// The first call makes the pool, which logs what it finds out about the processor.
size_t thread_count() {
  const EngineScope quiet;
  return static_cast<size_t>(executorch::extension::get_thread_count());
}

void set_thread_count(size_t count) {
  const std::unique_lock<std::shared_mutex> lock(pool_mutex);
  if (count == thread_count()) return;
  executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(static_cast<uint32_t>(count));
}

PoolInUse::PoolInUse() : lock_(pool_mutex) {}

}  // namespace lerg

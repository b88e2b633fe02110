#include "session/threads.h"

#include <executorch/extension/threadpool/threadpool_guard.h>
#include <executorch/runtime/kernel/thread_parallel_interface.h>
#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <new>

#include "session/engine.h"

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

using executorch::extension::threadpool::NoThreadPoolGuard;

// Readers pass the entrance before they share the pool, so that who waits to replace it does not wait for ever.
struct Locks {
  std::mutex entrance;
  std::shared_mutex pool;
  std::mutex turn;
};

Locks locks;
std::atomic<bool> pool_made{false};
std::atomic<bool> pool_lost{false};
std::atomic<bool> count_set{false};

// A fork waits until no kernel runs, so that the child finds the pool's own lock open. The child has none of the pool's
// threads and runs without them. A lock cannot be opened there, for it belongs to a thread of the parent: it is made
// anew.
void before_fork() {
  locks.entrance.lock();
  locks.pool.lock();
}

void after_fork_in_parent() {
  locks.pool.unlock();
  locks.entrance.unlock();
}

void after_fork_in_child() {
  new (&locks) Locks;
  if (pool_made) pool_lost = true;
}

void watch_forks() {
  static const int watched = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  static_cast<void>(watched);
}

// The first call makes the pool, which logs what it finds out about the processor.
size_t count_of_pool() {
  const EngineScope quiet;
  pool_made = true;
  return static_cast<size_t>(executorch::extension::get_thread_count());
}

}  // namespace

size_t thread_count() {
  const PoolInUse pool;
  return pool_lost ? 1 : count_of_pool();
}

void set_thread_count(size_t count) {
  watch_forks();
  const std::lock_guard<std::mutex> first(locks.entrance);
  const std::unique_lock<std::shared_mutex> alone(locks.pool);
  count_set = true;
  const EngineScope quiet;
  if (pool_lost || count == count_of_pool()) return;
  executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(static_cast<uint32_t>(count));
}

bool thread_count_was_set() { return count_set; }

PoolInUse::PoolInUse() {
  watch_forks();
  {
    const std::lock_guard<std::mutex> first(locks.entrance);
    stays_ = std::shared_lock<std::shared_mutex>(locks.pool);
  }
  if (!pool_lost) turn_ = std::unique_lock<std::mutex>(locks.turn, std::try_to_lock);
  if (turn_.owns_lock()) {
    pool_made = true;
  } else {
    alone_ = std::make_unique<NoThreadPoolGuard>();
  }
}

PoolInUse::~PoolInUse() = default;

}  // namespace lerg

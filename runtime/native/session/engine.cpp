#include "session/engine.h"

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

namespace lerg {
namespace {

using executorch::runtime::PalImpl;

thread_local EngineScope* open_scope = nullptr;

// Read on any thread, and written again where somebody registers a platform of theirs after us.
std::mutex install_mutex;
std::atomic<decltype(PalImpl::abort)> displaced_abort{nullptr};
std::atomic<decltype(PalImpl::emit_log_message)> displaced_emit{nullptr};

void emit(et_timestamp_t timestamp, et_pal_log_level_t level, const char* file, const char* function, size_t line,
          const char* message, size_t length) {
  if (open_scope == nullptr) {
    displaced_emit.load()(timestamp, level, file, function, line, message, length);
  } else if (level == kError || level == kFatal) {
    open_scope->record(message, length);
  }
}

void abort_or_throw() {
  if (open_scope != nullptr) throw EngineAborted();
  displaced_abort.load()();
  std::abort();
}

// Sets our two functions in the platform table. register_pal would do, but it prints an error where someone registered
// before us, and ExecuTorch's Python extension does so, before or after us, whichever is imported first.
void install() {
  const std::lock_guard<std::mutex> lock(install_mutex);
  PalImpl* platform = const_cast<PalImpl*>(executorch::runtime::get_pal_impl());
  if (platform->abort != abort_or_throw) {
    displaced_abort = platform->abort;
    platform->abort = abort_or_throw;
  }
  if (platform->emit_log_message != emit) {
    displaced_emit = platform->emit_log_message;
    platform->emit_log_message = emit;
  }
}

}  // namespace

EngineScope::EngineScope() : outer_(open_scope) {
  static const bool started = (executorch::runtime::runtime_init(), true);
  static_cast<void>(started);
  install();
  open_scope = this;
}

EngineScope::~EngineScope() { open_scope = outer_; }

void EngineScope::record(const char* message, size_t length) {
  constexpr int kMessages = 3;
  constexpr size_t kLength = 200;
  std::string text(message, length < kLength ? length : kLength);
  while (!text.empty() && (text.back() == ' ' || text.back() == ':' || text.back() == '.')) text.pop_back();
  // After the reason of a failed kernel come its arguments, one a line, as type numbers.
  if (recorded_ == kMessages || text.rfind("arg ", 0) == 0) return;
  if (recorded_ > 0) detail_ += "; ";
  detail_ += text;
  ++recorded_;
}

std::string EngineScope::describe(executorch::runtime::Error error) const {
  const std::string name = executorch::runtime::to_string(error);
  return detail_.empty() ? name : name + ": " + detail_;
}

}  // namespace lerg

// Times each instruction of a method. ExecuTorch names the event of a generated kernel after its operator, but not that
// of a custom one, so events are kept by instruction and named from the program's tables.
#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "plan/reader.h"

namespace lerg {

class InstructionTrace final : public executorch::runtime::EventTracer {
 public:
  explicit InstructionTrace(MethodPlan plan) : plan_(std::move(plan)) {}

  void clear() { events_.clear(); }
  std::vector<std::pair<std::string, double>> events() const;

  executorch::runtime::EventTracerEntry start_profiling(const char* name, executorch::runtime::ChainID chain,
                                                        executorch::runtime::DebugHandle handle) override;
  void end_profiling(executorch::runtime::EventTracerEntry entry) override;

  // The rest of the interface is for delegates, intermediate values and allocators, which are not traced.
  using Delegate = executorch::runtime::DelegateDebugIntId;
  void create_event_block(const char*) override {}
  executorch::runtime::EventTracerEntry start_profiling_delegate(const char*, Delegate) override { return {}; }
  void end_profiling_delegate(executorch::runtime::EventTracerEntry, const void*, size_t) override {}
  void log_profiling_delegate(const char*, Delegate, et_timestamp_t, et_timestamp_t, const void*, size_t) override {}
  void track_allocation(executorch::runtime::AllocatorID, size_t) override {}
  executorch::runtime::AllocatorID track_allocator(const char*) override { return 0; }
  executorch::runtime::Result<bool> log_evalue(const executorch::runtime::EValue&,
                                               executorch::runtime::LoggedEValueType) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*, Delegate,
                                                                     const executorch::aten::Tensor&) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(
      const char*, Delegate, const executorch::runtime::ArrayRef<executorch::aten::Tensor>) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*, Delegate, const int&) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*, Delegate, const bool&) override {
    return true;
  }
  executorch::runtime::Result<bool> log_intermediate_output_delegate(const char*, Delegate, const double&) override {
    return true;
  }
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase*) override {}

 private:
  struct Event {
    size_t instruction;
    std::chrono::steady_clock::time_point begin;
    std::chrono::steady_clock::time_point end;
  };

  const MethodPlan plan_;
  std::vector<Event> events_;
};

}  // namespace lerg

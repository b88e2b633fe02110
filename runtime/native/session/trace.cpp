#include "session/trace.h"

#include <cstring>

namespace lerg {

using executorch::runtime::EventTracerEntry;

// Inside an instruction further events open, named after the kernel. Only the instruction's own is kept; -1 marks the
// others.
EventTracerEntry InstructionTrace::start_profiling(const char* name, executorch::runtime::ChainID,
                                                   executorch::runtime::DebugHandle) {
  EventTracerEntry entry{};
  entry.event_id = -1;
  if (current_chain_id() < 0 || std::strcmp(name, "OPERATOR_CALL") != 0) return entry;
  entry.event_id = static_cast<int64_t>(events_.size());
  const auto now = std::chrono::steady_clock::now();
  events_.push_back({current_debug_handle(), now, now});
  return entry;
}

void InstructionTrace::end_profiling(EventTracerEntry entry) {
  if (entry.event_id >= 0) events_[static_cast<size_t>(entry.event_id)].end = std::chrono::steady_clock::now();
}

std::vector<std::pair<std::string, double>> InstructionTrace::events() const {
  std::vector<std::pair<std::string, double>> named;
  for (const Event& event : events_) {
    const auto index = static_cast<size_t>(plan_.calls.at(event.instruction));
    const std::chrono::duration<double, std::milli> elapsed = event.end - event.begin;
    named.emplace_back(plan_.operators[index], elapsed.count());
  }
  return named;
}

}  // namespace lerg

#include "plan/check.h"

#include <algorithm>
#include <limits>
#include <set>

#include "plan/call.h"
#include "session/types.h"

namespace lerg {
namespace {

constexpr const char* kMetadata = "__et_training_";  // of ExecuTorch's training protocol: methods that answer a constant

[[noreturn]] void refuse(const std::string& reason) { throw ProgramFault(reason); }

// Runs body(); what it throws goes on from `where`.
template <class Body>
void naming(const std::string& where, const Body& body) {
  try {
    body();
  } catch (const ProgramFault& fault) {
    refuse(where + fault.what());
  }
}

// Methods that are read and never run: numbers and texts of the plan.
void check_metadata(const Flatbuffer& buffer, const MethodPlan& plan) {
  if (!plan.calls.empty() || !plan.inputs.empty()) refuse("it is no constant answer");
  for (size_t i = 0; i < plan.values.size(); ++i) {
    const PlannedValue& value = plan.values[i];
    if (value.kind != ValueKind::kInt && value.kind != ValueKind::kString) refuse("it answers neither number nor text");
    if (value.kind == ValueKind::kString) read_string(buffer, value.table);
  }
}

// Lists are of values that the plan has, tensors of tensors that ExecuTorch has made before the list.
void check_list(const Flatbuffer& buffer, const MethodPlan& plan, size_t list) {
  const PlannedValue& value = plan.values[list];
  const bool tensors = value.kind == ValueKind::kTensorList;
  const size_t limit = tensors ? list : plan.values.size();
  for (const int64_t item : read_list(buffer, value)) {
    if (item < 0 || static_cast<uint64_t>(item) >= limit) refuse("lists a value that it cannot");
    const ValueKind kind = plan.values[static_cast<size_t>(item)].kind;
    if (kind != (tensors ? ValueKind::kTensor : ValueKind::kInt)) refuse("lists a value of another kind");
  }
}

void check_values(const Flatbuffer& buffer, const MethodPlan& plan, PlanMemory* memory) {
  size_t items = 0;
  for (size_t i = 0; i < plan.values.size(); ++i) {
    const PlannedValue& value = plan.values[i];
    naming("value " + std::to_string(i) + " ", [&] {
      switch (value.kind) {
        case ValueKind::kTensor:
          memory->place(i, read_sized_tensor(buffer, value.table));
          break;
        case ValueKind::kString:
          read_string(buffer, value.table);
          break;
        case ValueKind::kIntList:
        case ValueKind::kTensorList:
          check_list(buffer, plan, i);
          items += read_list(buffer, value).size();
          if (items > kMostListed) refuse("is one list too many");
          break;
        default:
          break;
      }
    });
  }
}

void check_inputs(const MethodPlan& plan) {
  std::set<int32_t> seen;
  for (const int32_t input : plan.inputs) {
    if (plan.values[static_cast<size_t>(input)].kind != ValueKind::kTensor) refuse("an input is not a tensor");
    if (!seen.insert(input).second) refuse("an input is given twice");
  }
}

void check_outputs(const MethodPlan& plan, const PlanMemory& memory) {
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    const int32_t output = plan.outputs[i];
    const std::string which = "output " + std::to_string(i) + " ";
    if (plan.values[static_cast<size_t>(output)].kind != ValueKind::kTensor) refuse(which + "is not a tensor");
    if (const char* problem = memory.read_fault(output)) refuse(which + problem);
  }
}

void check_plan(const Flatbuffer& buffer, const ProgramFrame& frame, const ProgramExtent& extent,
                const MethodPlan& plan) {
  if (plan.name.rfind(kMetadata, 0) == 0) {
    check_metadata(buffer, plan);
    return;
  }
  PlanMemory memory(frame, extent, plan);
  check_inputs(plan);
  check_values(buffer, plan, &memory);
  PlanIntegers integers(buffer, plan);
  CallCheck calls(buffer, plan, &memory, &integers);
  for (size_t call = 0; call < plan.calls.size(); ++call) {
    naming(plan.call_name(call) + ": ", [&] { calls.check(call); });
  }
  check_outputs(plan, memory);
}

}  // namespace

void check_program(const Flatbuffer& buffer, const ProgramExtent& extent) {
  const ProgramFrame frame = read_frame(buffer);
  if (const char* problem = PlanMemory::constants_fault(frame, extent)) refuse(problem);
  std::set<std::string> names;
  for (const size_t plan : frame.plans) {
    const std::string name = read_plan_name(buffer, plan);
    if (!names.insert(name).second) refuse("it has two methods " + name);
    naming("method " + name + ", ", [&] { check_plan(buffer, frame, extent, read_plan(buffer, plan)); });
  }
}

}  // namespace lerg

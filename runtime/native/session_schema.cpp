#include "session_schema.h"

#include "session_flatbuffer.h"

namespace lerg {
namespace {

// Field numbers of schema/program.fbs. A union takes two: its type, then its table.
constexpr int kProgramPlans = 1;
constexpr int kPlanName = 0, kPlanValues = 2, kPlanInputs = 3, kPlanOutputs = 4, kPlanChains = 5, kPlanOperators = 6;
constexpr int kChainInstructions = 2;
constexpr int kInstructionKind = 0, kInstructionTable = 1;
constexpr uint8_t kKindKernelCall = 1;
constexpr int kCallOperator = 0, kCallArguments = 1;
constexpr int kOperatorName = 0, kOperatorOverload = 1;
constexpr int kValueKind = 0, kValueTable = 1;
constexpr uint8_t kKindTensor = 5;
constexpr int kTensorConstant = 5, kTensorAllocation = 6, kTensorExtra = 9;
constexpr int kExtraLocation = 2;
constexpr int8_t kLocationExternal = 1;

// ExecuTorch puts "name.overload" into a buffer of 100 characters.
constexpr size_t kLongestName = 98;

// Takes a view of memory of another tensor's when it runs, and has none of its own before.
constexpr const char* kView = "executorch_prim::et_view";

std::string operator_name(const Flatbuffer& buffer, size_t entry) {
  const std::string name = buffer.text(entry, kOperatorName), overload = buffer.text(entry, kOperatorOverload);
  if (name.empty() || name.size() + overload.size() > kLongestName) {
    throw ProgramFault("the name of an operator is broken");
  }
  return overload.empty() ? name : name + "." + overload;
}

size_t checked_value(int32_t index, size_t count) {
  if (index < 0 || static_cast<size_t>(index) >= count) throw ProgramFault("it names a value that it lacks");
  return static_cast<size_t>(index);
}

bool has_memory(const Flatbuffer& buffer, size_t value) {
  if (buffer.scalar<uint8_t>(value, kValueKind) != kKindTensor) return true;
  const auto tensor = buffer.table(value, kValueTable);
  if (!tensor) return false;
  if (buffer.scalar<uint32_t>(*tensor, kTensorConstant) != 0 || buffer.field(*tensor, kTensorAllocation)) return true;
  const auto extra = buffer.table(*tensor, kTensorExtra);
  return extra && buffer.scalar<int8_t>(*extra, kExtraLocation) == kLocationExternal;
}

// By value: whether a kernel may be given it.
std::vector<bool> usable_values(const Flatbuffer& buffer, size_t plan) {
  std::vector<bool> usable;
  for (const size_t value : buffer.tables(plan, kPlanValues)) usable.push_back(has_memory(buffer, value));
  for (const int field : {kPlanInputs, kPlanOutputs}) {
    for (const int32_t index : buffer.scalars<int32_t>(plan, field)) {
      usable[checked_value(index, usable.size())] = true;
    }
  }
  return usable;
}

// Index of the operator that an instruction calls.
int32_t called_operator(const Flatbuffer& buffer, size_t instruction, const std::vector<std::string>& names,
                        std::vector<bool>& usable) {
  const auto call = buffer.table(instruction, kInstructionTable);
  if (!call || buffer.scalar<uint8_t>(instruction, kInstructionKind) != kKindKernelCall) {
    throw ProgramFault("it holds an instruction that is not a kernel call");
  }
  const int32_t index = buffer.scalar<int32_t>(*call, kCallOperator);
  if (index < 0 || static_cast<size_t>(index) >= names.size()) {
    throw ProgramFault("it calls an operator that it does not name");
  }
  const bool views = names[static_cast<size_t>(index)].rfind(kView, 0) == 0;
  for (const int32_t argument : buffer.scalars<int32_t>(*call, kCallArguments)) {
    const size_t value = checked_value(argument, usable.size());
    if (views) usable[value] = true;
    if (!usable[value]) throw ProgramFault("it computes with a tensor that has no memory");
  }
  return index;
}

}  // namespace

MethodOperators read_operators(const uint8_t* program, size_t size, const std::string& method) {
  const Flatbuffer buffer{program, size};
  for (const size_t plan : buffer.tables(buffer.follow(0), kProgramPlans)) {
    if (buffer.text(plan, kPlanName) != method) continue;
    MethodOperators found;
    for (const size_t entry : buffer.tables(plan, kPlanOperators)) {
      found.names.push_back(operator_name(buffer, entry));
    }
    std::vector<bool> usable = usable_values(buffer, plan);
    for (const size_t chain : buffer.tables(plan, kPlanChains)) {
      std::vector<int32_t> calls;
      for (const size_t instruction : buffer.tables(chain, kChainInstructions)) {
        calls.push_back(called_operator(buffer, instruction, found.names, usable));
      }
      found.calls.push_back(std::move(calls));
    }
    return found;
  }
  throw ProgramFault("it has no method " + method);
}

}  // namespace lerg

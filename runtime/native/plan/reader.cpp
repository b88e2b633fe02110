#include "plan/reader.h"

#include <algorithm>

namespace lerg {
namespace {

// Field numbers of schema/program.fbs. A union takes two: its type, then its table.
constexpr int kProgramPlans = 1, kProgramConstants = 2, kProgramDelegates = 3, kProgramSegments = 4;
constexpr int kProgramConstantSegment = 5, kProgramMutableSegments = 6, kProgramNamedData = 7;
constexpr int kSegmentOffset = 0, kSegmentSize = 1;
constexpr int kSubsegmentIndex = 0, kSubsegmentOffsets = 1;
constexpr int kPlanName = 0, kPlanValues = 2, kPlanInputs = 3, kPlanOutputs = 4, kPlanChains = 5, kPlanOperators = 6;
constexpr int kPlanDelegates = 7, kPlanArenas = 8, kPlanDevices = 9;
constexpr int kChainInstructions = 2;
constexpr int kInstructionKind = 0, kInstructionTable = 1;
constexpr uint8_t kKindKernelCall = 1;
constexpr int kCallOperator = 0, kCallArguments = 1;
constexpr int kOperatorName = 0, kOperatorOverload = 1;
constexpr int kValueKind = 0, kValueTable = 1;
constexpr int kOnlyField = 0;  // of the tables of numbers, texts and lists
constexpr int kTensorType = 0, kTensorOffset = 1, kTensorSizes = 2, kTensorOrder = 3, kTensorConstant = 5;
constexpr int kTensorAllocation = 6, kTensorDynamism = 8, kTensorExtra = 9;
constexpr int kAllocationArena = 0, kAllocationLow = 1, kAllocationHigh = 2;
constexpr int kExtraSegment = 0, kExtraName = 1, kExtraLocation = 2, kExtraDevice = 3;
constexpr int8_t kLocationExternal = 1, kDynamicBound = 1;

// ExecuTorch puts "name.overload" into a buffer of 100 characters.
constexpr size_t kLongestName = 98;
constexpr size_t kMostPlans = 64, kMostArenas = 16;
// Of instructions, of values, and of arguments and elements of lists: the largest program of ours has a tenth.
constexpr size_t kMostCalls = size_t{1} << 18, kMostValues = size_t{1} << 20, kMostArguments = size_t{1} << 22;
constexpr uint64_t kMostElements = uint64_t{1} << 40, kMostOfNothing = uint64_t{1} << 20;

[[noreturn]] void refuse(const std::string& reason) { throw ProgramFault(reason); }

bool allowed(uint8_t kind) {
  switch (static_cast<ValueKind>(kind)) {
    case ValueKind::kNull:
    case ValueKind::kInt:
    case ValueKind::kBool:
    case ValueKind::kDouble:
    case ValueKind::kTensor:
    case ValueKind::kString:
    case ValueKind::kIntList:
    case ValueKind::kTensorList:
      return true;
    default:
      return false;
  }
}

std::string operator_name(const Flatbuffer& buffer, size_t entry) {
  const std::string name = buffer.text(entry, kOperatorName), overload = buffer.text(entry, kOperatorOverload);
  if (name.empty() || name.size() + overload.size() > kLongestName || name.find('\0') != std::string::npos ||
      overload.find('\0') != std::string::npos) {
    refuse("the name of an operator is broken");
  }
  return overload.empty() ? name : name + "." + overload;
}

std::vector<int32_t> value_indices(const Flatbuffer& buffer, size_t plan, int field, size_t count) {
  if (!buffer.field(plan, field)) refuse("it does not say what its inputs and outputs are");
  std::vector<int32_t> indices = buffer.scalars<int32_t>(plan, field);
  for (const int32_t index : indices) {
    if (index < 0 || static_cast<size_t>(index) >= count) refuse("it names a value that it lacks");
  }
  return indices;
}

void read_calls(const Flatbuffer& buffer, size_t chain, MethodPlan* plan) {
  plan->starts.push_back(0);
  for (const size_t instruction : buffer.tables(chain, kChainInstructions, kMostCalls)) {
    const auto call = buffer.table(instruction, kInstructionTable);
    if (!call || buffer.scalar<uint8_t>(instruction, kInstructionKind) != kKindKernelCall) {
      refuse("it holds an instruction that is not a kernel call");
    }
    const int32_t index = buffer.scalar<int32_t>(*call, kCallOperator);
    if (index < 0 || static_cast<size_t>(index) >= plan->operators.size()) {
      refuse("it calls an operator that it does not name");
    }
    plan->calls.push_back(index);
    for (const int32_t argument : value_indices(buffer, *call, kCallArguments, plan->values.size())) {
      plan->arguments.push_back(argument);
    }
    if (plan->arguments.size() > kMostArguments) refuse("it has too many arguments");
    plan->starts.push_back(static_cast<uint32_t>(plan->arguments.size()));
  }
}

}  // namespace

std::string MethodPlan::call_name(size_t call) const {
  return "instruction " + std::to_string(call) + " (" + operators[static_cast<size_t>(calls[call])] + ")";
}

ProgramFrame read_frame(const Flatbuffer& buffer) {
  const size_t program = buffer.follow(0);
  ProgramFrame frame{buffer.tables(program, kProgramPlans, kMostPlans), 0, 0, {}};
  if (frame.plans.empty()) refuse("it has no method");
  if (buffer.count(program, kProgramDelegates) > 0) refuse("it holds data for a backend");
  if (buffer.count(program, kProgramMutableSegments) > 0) refuse("it holds values for memory that changes");
  if (buffer.count(program, kProgramNamedData) > 0) refuse("it holds data by name");
  if (buffer.count(program, kProgramConstants) > 0) refuse("it holds constants in its plan");
  const auto segments = buffer.tables(program, kProgramSegments, 2);
  const auto constants = buffer.table(program, kProgramConstantSegment);
  if (!constants) {
    if (!segments.empty()) refuse("it holds a segment that nothing uses");
    return frame;
  }
  frame.constants = buffer.scalars<uint64_t>(*constants, kSubsegmentOffsets);
  if (frame.constants.empty()) refuse("it keeps constants as ExecuTorch did before 0.7");
  if (frame.constants.size() == 1 && segments.empty()) return frame;
  if (segments.size() != 1 || buffer.scalar<uint32_t>(*constants, kSubsegmentIndex) != 0) {
    refuse("its constants are not in its one segment");
  }
  frame.segment_offset = buffer.scalar<uint64_t>(segments[0], kSegmentOffset);
  frame.segment_bytes = buffer.scalar<uint64_t>(segments[0], kSegmentSize);
  return frame;
}

std::string read_plan_name(const Flatbuffer& buffer, size_t plan) {
  const std::string name = buffer.text(plan, kPlanName);
  if (name.empty() || name.size() > kLongestName || name.find('\0') != std::string::npos) {
    refuse("the name of a method is broken");
  }
  return name;
}

MethodPlan read_plan(const Flatbuffer& buffer, size_t plan) {
  MethodPlan found;
  found.name = read_plan_name(buffer, plan);
  if (buffer.count(plan, kPlanDelegates) > 0) refuse("it is lowered to a backend, and this runtime has none");
  if (!buffer.field(plan, kPlanDelegates)) refuse("it does not say that it has no backend");
  if (buffer.count(plan, kPlanDevices) > 0) refuse("it asks for memory of another device");
  for (const size_t value : buffer.tables(plan, kPlanValues, kMostValues)) {
    const uint8_t kind = buffer.scalar<uint8_t>(value, kValueKind);
    const auto table = buffer.table(value, kValueTable);
    if (!allowed(kind) || (!table && static_cast<ValueKind>(kind) != ValueKind::kNull)) {
      refuse("value " + std::to_string(found.values.size()) + " is of a kind that no program of ours has");
    }
    found.values.push_back({static_cast<ValueKind>(kind), table.value_or(0)});
  }
  found.inputs = value_indices(buffer, plan, kPlanInputs, found.values.size());
  found.outputs = value_indices(buffer, plan, kPlanOutputs, found.values.size());
  for (const size_t entry : buffer.tables(plan, kPlanOperators, kMostCalls)) {
    found.operators.push_back(operator_name(buffer, entry));
  }
  found.arenas = buffer.scalars<int64_t>(plan, kPlanArenas);
  if (found.arenas.empty() || found.arenas.size() > kMostArenas || found.arenas[0] != 0) {
    refuse("its working memory is not described");
  }
  for (const int64_t bytes : found.arenas) {
    if (bytes < 0 || static_cast<uint64_t>(bytes) > kMostElements) refuse("it asks for more memory than there can be");
  }
  const auto chains = buffer.tables(plan, kPlanChains, kMostCalls);
  if (chains.size() != 1) refuse("it has " + std::to_string(chains.size()) + " chains of instructions and not one");
  if (!buffer.field(chains[0], kChainInstructions)) refuse("its instructions are absent");
  read_calls(buffer, chains[0], &found);
  return found;
}

PlannedTensor read_tensor(const Flatbuffer& buffer, size_t table) {
  PlannedTensor tensor{};
  tensor.type = static_cast<executorch::aten::ScalarType>(buffer.scalar<int8_t>(table, kTensorType));
  if (buffer.scalar<int32_t>(table, kTensorOffset) != 0) refuse("starts within its memory");
  if (!buffer.field(table, kTensorSizes) || !buffer.field(table, kTensorOrder)) refuse("has no shape");
  const size_t rank = buffer.count(table, kTensorSizes);
  if (rank > static_cast<size_t>(kMostRank)) refuse("has " + std::to_string(rank) + " dimensions");
  const auto sizes = buffer.scalars<int32_t>(table, kTensorSizes);
  const auto order = buffer.scalars<uint8_t>(table, kTensorOrder);
  if (order.size() != rank) refuse("is not row-major");
  tensor.rank = static_cast<int>(rank);
  // As large as if no size were 0: loops run over the others, whatever is in memory.
  uint64_t most = 1;
  tensor.elements = 1;
  for (size_t d = 0; d < rank; ++d) {
    if (order[d] != d) refuse("is not row-major");
    if (sizes[d] < 0) refuse("has a negative size");
    tensor.sizes[d] = sizes[d];
    tensor.elements *= static_cast<uint64_t>(sizes[d]);
    most *= std::max<uint64_t>(1, static_cast<uint64_t>(sizes[d]));
    if (most > kMostElements) refuse("has too many elements");
  }
  if (tensor.elements == 0 && most > kMostOfNothing) refuse("has no element and too large sizes");
  const auto dynamism = buffer.scalar<int8_t>(table, kTensorDynamism);
  if (dynamism != 0 && dynamism != kDynamicBound) refuse("has sizes without a bound");
  tensor.dynamic = dynamism == kDynamicBound;
  tensor.constant = buffer.scalar<uint32_t>(table, kTensorConstant);
  if (const auto allocation = buffer.table(table, kTensorAllocation)) {
    tensor.arena = buffer.scalar<uint32_t>(*allocation, kAllocationArena);
    tensor.offset = buffer.scalar<uint32_t>(*allocation, kAllocationLow) |
        uint64_t{buffer.scalar<uint32_t>(*allocation, kAllocationHigh)} << 32;
    if (tensor.arena == 0) refuse("is planned in no working memory");
  }
  if (const auto extra = buffer.table(table, kTensorExtra)) {
    tensor.external = buffer.scalar<int8_t>(*extra, kExtraLocation) == kLocationExternal;
    if (tensor.external) tensor.name = buffer.text(*extra, kExtraName);
    if (buffer.scalar<int8_t>(*extra, kExtraDevice) != 0) refuse("is of another device");
    if (buffer.scalar<uint64_t>(*extra, kExtraSegment) != 0) refuse("is of a segment that changes");
  }
  return tensor;
}

int64_t read_integer(const Flatbuffer& buffer, size_t table) { return buffer.scalar<int64_t>(table, kOnlyField); }

std::string read_string(const Flatbuffer& buffer, size_t table) {
  if (!buffer.field(table, kOnlyField)) refuse("has no text");
  return buffer.text(table, kOnlyField);
}

std::vector<int64_t> read_list(const Flatbuffer& buffer, const PlannedValue& value) {
  if (!buffer.field(value.table, kOnlyField)) refuse("has no list");
  if (buffer.count(value.table, kOnlyField) > kMostArguments) refuse("has too long a list");
  if (value.kind == ValueKind::kIntList) return buffer.scalars<int64_t>(value.table, kOnlyField);
  const auto items = buffer.scalars<int32_t>(value.table, kOnlyField);
  return {items.begin(), items.end()};
}

}  // namespace lerg

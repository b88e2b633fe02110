// A program's plans as its flatbuffer states them. The SDK carries no generated schema, so tables are read by field
// number (schema/program.fbs of ExecuTorch; numbers never change in a flatbuffer schema). Every offset is checked.
#pragma once

#include <executorch/runtime/core/exec_aten/exec_aten.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "session/flatbuffer.h"

namespace lerg {

// The numbers of the schema's union KernelTypes.
enum class ValueKind : uint8_t {
  kNull = 1,
  kInt = 2,
  kBool = 3,
  kDouble = 4,
  kTensor = 5,
  kString = 6,
  kIntList = 7,
  kTensorList = 10,
};

struct PlannedValue {
  ValueKind kind;
  size_t table;  // position of its table; unused for kNull
};

constexpr int kMostRank = 4;

struct PlannedTensor {
  executorch::aten::ScalarType type;
  int rank;
  std::array<int32_t, kMostRank> sizes;  // the largest, where it is dynamic
  bool dynamic;
  bool external;      // a parameter of the caller's
  uint32_t constant;  // entry of the constants, 0 for none
  uint32_t arena;     // 1 for the first, 0 for none
  uint64_t offset;    // in the arena
  uint64_t elements;  // no more than 2^40; where it is 0, the other sizes' product is no more than 2^20
  uint64_t bytes;
  std::string name;   // of a parameter
};

struct MethodPlan {
  std::string name;
  std::vector<PlannedValue> values;
  std::vector<int32_t> inputs, outputs;
  std::vector<std::string> operators;  // "namespace::name.overload"
  std::vector<int32_t> calls;          // by instruction: index into operators
  std::vector<int32_t> arguments;      // of all calls, one after the other
  std::vector<uint32_t> starts;        // by instruction and one more: where its arguments start
  std::vector<int64_t> arenas;

  size_t argument_count(size_t call) const { return starts[call + 1] - starts[call]; }
  // "instruction 3 (aten::add.out)"
  std::string call_name(size_t call) const;
};

// What a program holds beside its plans.
struct ProgramFrame {
  std::vector<size_t> plans;  // positions of their tables
  uint64_t segment_offset;    // of the constants, from the start of the segments; 0 where there are none
  uint64_t segment_bytes;
  std::vector<uint64_t> constants;  // offset of each in the segment; entry 0 means none
};

// Throw ProgramFault, whose text is a part of a sentence, for what is not as the schema says, for kinds of values and
// instructions that no program of this project's holds (delegates, jumps, moves), and for numbers beyond any use.
ProgramFrame read_frame(const Flatbuffer& buffer);
std::string read_plan_name(const Flatbuffer& buffer, size_t plan);
MethodPlan read_plan(const Flatbuffer& buffer, size_t plan);
PlannedTensor read_tensor(const Flatbuffer& buffer, size_t table);
int64_t read_integer(const Flatbuffer& buffer, size_t table);
std::string read_string(const Flatbuffer& buffer, size_t table);
std::vector<int64_t> read_list(const Flatbuffer& buffer, const PlannedValue& value);  // of value indices

}  // namespace lerg

// One instruction of a plan against the signature of the operator that it calls.
#pragma once

#include <string>
#include <vector>

#include "plan/integers.h"
#include "plan/memory.h"
#include "plan/signatures.h"

namespace lerg {

constexpr size_t kMostListed = size_t{1} << 20;  // elements of the lists of a plan

// read_tensor, of an element type that a program may have, with its bytes.
PlannedTensor read_sized_tensor(const Flatbuffer& buffer, size_t table);

class CallCheck {
 public:
  // Looks up what the plan calls. Throws ProgramFault for an operator that no program may call.
  CallCheck(const Flatbuffer& buffer, const MethodPlan& plan, PlanMemory* memory, PlanIntegers* integers);

  // Checks an instruction and notes what it writes; to be called in the order of the instructions. Throws ProgramFault
  // with the rule that is broken.
  void check(size_t call);

 private:
  const int32_t* arguments(size_t call) const { return plan_.arguments.data() + plan_.starts[call]; }
  const PlannedValue& value(int32_t index) const { return plan_.values[static_cast<size_t>(index)]; }
  PlannedTensor tensor(int32_t index) const { return read_sized_tensor(buffer_, value(index).table); }
  std::vector<int32_t> tensors_of(int32_t list) const;
  void visit(size_t count) const;

  void check_argument(const ArgumentRule& rule, int32_t index);
  void check_tensor(const ArgumentRule& rule, int32_t index);
  void check_number(const ArgumentRule& rule, int32_t index) const;
  void check_integers(const ArgumentRule& rule, int32_t index) const;
  void check_returned(int32_t index) const;
  void check_sizes(const ArgumentRule& rule, int32_t index) const;
  bool size_fits(const std::string& wanted, int32_t size) const;
  void take(const ArgumentRule& rule, int32_t index);
  void write();
  void assign();

  const Flatbuffer& buffer_;
  const MethodPlan& plan_;
  PlanMemory& memory_;
  PlanIntegers& integers_;
  std::vector<const Signature*> signatures_;  // by operator of the plan; null where nothing calls it
  mutable size_t visited_ = 0;

  // Of the instruction that is checked.
  const int32_t* given_ = nullptr;
  int operator_ = 0;
  size_t argument_ = 0;
  std::vector<int32_t> read_, written_;
  bool written_list_ = false;
  int32_t assigned_ = -1, viewed_ = -1;
};

}  // namespace lerg

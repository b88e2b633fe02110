// Where the tensors of a plan lie, and which of them hold what was written for them, instruction by instruction.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "plan/reader.h"

namespace lerg {

// Of a program's file: where its segments start, and its bytes, which is where constants are looked at.
struct ProgramExtent {
  const uint8_t* file;  // mapped whole
  uint64_t bytes;
  uint64_t segment_base;
};

class PlanMemory {
 public:
  // Where the constants of the program are in its file; nothing where they leave it or are not aligned.
  static const char* constants_fault(const ProgramFrame& frame, const ProgramExtent& extent);

  PlanMemory(const ProgramFrame& frame, const ProgramExtent& extent, const MethodPlan& plan);

  // Finds the place of a value. Throws ProgramFault, whose text goes on from "value 3", where it has none of its own
  // that is whole, aligned and inside.
  void place(size_t value, const PlannedTensor& tensor);

  bool has_memory(int32_t value) const { return at(value).home != Home::kNone; }
  // Null, or what is wrong with reading or writing it now.
  const char* read_fault(int32_t value) const;
  const char* write_fault(int32_t value) const;
  bool overlap(int32_t one, int32_t other) const;

  void write(int32_t value);
  // Gives `view` the memory of `base`. Null, or why it cannot be.
  const char* view(int32_t base, int32_t view);

 private:
  enum class Home : uint8_t { kNone, kInput, kOutput, kConstant, kParameter, kArena };

  struct Place {
    Home home = Home::kNone;
    bool written = false;
    uint32_t arena = 0;
    executorch::aten::ScalarType type{};
    int32_t root = -1;  // whose memory it is, for a view
    uint64_t begin = 0, end = 0;
  };
  // What was written last. Values of one type that start at one place are views of each other: where shapes do not
  // vary, no instruction says so.
  struct Owned {
    uint64_t end;
    executorch::aten::ScalarType type;
  };

  const Place& at(int32_t value) const { return places_[static_cast<size_t>(value)]; }
  Place& at(int32_t value) { return places_[static_cast<size_t>(value)]; }
  void place_constant(Place* place, const PlannedTensor& tensor) const;
  void place_in_arena(Place* place, const PlannedTensor& tensor) const;

  const ProgramFrame& frame_;
  const ProgramExtent& extent_;
  const MethodPlan& plan_;
  std::set<int32_t> inputs_, outputs_;
  std::vector<Place> places_;
  std::vector<std::map<uint64_t, Owned>> owned_;  // by arena: what was written where, by its start
};

}  // namespace lerg

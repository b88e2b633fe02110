#include "plan/memory.h"

#include <algorithm>

namespace lerg {
namespace {

constexpr uint64_t kAlignment = 16;  // what the exporter aligns constants and planned memory to

[[noreturn]] void refuse(const std::string& reason) { throw ProgramFault(reason); }

// Whether [offset, offset + bytes) lies in [0, limit).
bool inside(uint64_t offset, uint64_t bytes, uint64_t limit) { return offset <= limit && bytes <= limit - offset; }

}  // namespace

const char* PlanMemory::constants_fault(const ProgramFrame& frame, const ProgramExtent& extent) {
  if (frame.segment_bytes == 0) return nullptr;
  if (extent.segment_base == 0 || !inside(extent.segment_base, frame.segment_offset, extent.bytes) ||
      !inside(extent.segment_base + frame.segment_offset, frame.segment_bytes, extent.bytes)) {
    return "its constants leave the file";
  }
  if ((extent.segment_base + frame.segment_offset) % kAlignment != 0) return "its constants are not aligned";
  return nullptr;
}

PlanMemory::PlanMemory(const ProgramFrame& frame, const ProgramExtent& extent, const MethodPlan& plan)
    : frame_(frame),
      extent_(extent),
      plan_(plan),
      inputs_(plan.inputs.begin(), plan.inputs.end()),
      outputs_(plan.outputs.begin(), plan.outputs.end()),
      places_(plan.values.size()),
      owned_(plan.arenas.size()) {}

void PlanMemory::place(size_t value, const PlannedTensor& tensor) {
  const auto index = static_cast<int32_t>(value);
  Place& place = places_[value];
  place.root = index;
  place.type = tensor.type;
  const bool input = inputs_.count(index) != 0;
  if (input && (tensor.external || tensor.constant != 0 || tensor.arena != 0)) {
    refuse("is an input and has memory of its own");
  }
  if (tensor.external) {
    if (tensor.arena != 0 || tensor.name.empty()) refuse("is no parameter of the caller's");
    place.home = Home::kParameter;
  } else if (tensor.constant != 0) {
    if (tensor.arena != 0) refuse("is memory that starts with a value");
    place_constant(&place, tensor);
  } else if (tensor.arena != 0) {
    place_in_arena(&place, tensor);
  } else if (input) {
    place.home = Home::kInput;
  } else if (outputs_.count(index) != 0) {
    place.home = Home::kOutput;
  }
}

void PlanMemory::place_constant(Place* place, const PlannedTensor& tensor) const {
  if (tensor.constant >= frame_.constants.size()) refuse("is a constant that the program lacks");
  const uint64_t offset = frame_.constants[tensor.constant];
  if (!inside(offset, tensor.bytes, frame_.segment_bytes)) refuse("is a constant that leaves its segment");
  if (offset % kAlignment != 0) refuse("is a constant that is not aligned");
  if (tensor.type == executorch::aten::ScalarType::Bool) {
    const uint8_t* bytes = extent_.file + extent_.segment_base + frame_.segment_offset + offset;
    if (std::any_of(bytes, bytes + tensor.bytes, [](uint8_t byte) { return byte > 1; })) {
      refuse("is a constant of neither true nor false");
    }
  }
  place->home = Home::kConstant;
}

void PlanMemory::place_in_arena(Place* place, const PlannedTensor& tensor) const {
  if (tensor.arena >= plan_.arenas.size()) refuse("is planned in a working memory that there is not");
  if (tensor.offset % kAlignment != 0) refuse("is planned where it is not aligned");
  if (!inside(tensor.offset, tensor.bytes, static_cast<uint64_t>(plan_.arenas[tensor.arena]))) {
    refuse("is planned beyond its working memory");
  }
  place->home = Home::kArena;
  place->arena = tensor.arena;
  place->begin = tensor.offset;
  place->end = tensor.offset + tensor.bytes;
}

const char* PlanMemory::read_fault(int32_t value) const {
  const Place& place = at(value);
  switch (place.home) {
    case Home::kNone:
      return "is a tensor that has no memory";
    case Home::kOutput:
      return at(place.root).written ? nullptr : "is read before it is written";
    case Home::kArena: {
      if (place.begin == place.end) return place.written ? nullptr : "is read before it is written";
      const auto found = owned_[place.arena].find(place.begin);
      const bool own = found != owned_[place.arena].end() && found->second.type == place.type &&
          found->second.end >= place.end;
      return own ? nullptr : "is read before it is written, or after something else was written there";
    }
    default:
      return nullptr;
  }
}

const char* PlanMemory::write_fault(int32_t value) const {
  switch (at(value).home) {
    case Home::kNone:
      return "is a tensor that has no memory";
    case Home::kInput:
      return "is written and is an input";
    case Home::kConstant:
      return "is written and is a constant";
    case Home::kParameter:
      return "is written and is a parameter";
    default:
      return nullptr;
  }
}

bool PlanMemory::overlap(int32_t one, int32_t other) const {
  const Place &a = at(one), &b = at(other);
  if (a.home != b.home) return false;
  if (a.home != Home::kArena) return a.root == b.root;
  return a.arena == b.arena && a.begin < b.end && b.begin < a.end;
}

void PlanMemory::write(int32_t value) {
  Place& place = at(value);
  place.written = true;
  at(place.root).written = true;
  if (place.home != Home::kArena || place.begin == place.end) return;
  auto& owned = owned_[place.arena];
  auto first = owned.lower_bound(place.begin);
  if (first != owned.begin() && std::prev(first)->second.end > place.begin) --first;
  auto last = first;
  while (last != owned.end() && last->first < place.end) ++last;
  owned.erase(first, last);
  owned.emplace(place.begin, Owned{place.end, place.type});
}

const char* PlanMemory::view(int32_t base, int32_t view) {
  const Place& from = at(base);
  Place& to = at(view);
  if (base == view || to.written) return "becomes a view after it was written";
  if (to.home == Home::kArena) {
    if (from.home != Home::kArena || to.arena != from.arena || to.begin != from.begin) {
      return "is planned elsewhere than what it is a view of";
    }
  } else if (to.home != Home::kNone && to.home != Home::kOutput) {
    return "is a view that has memory of its own";
  }
  to = from;
  to.written = true;
  return nullptr;
}

}  // namespace lerg

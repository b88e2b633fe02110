#include "plan/call.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "session/types.h"

namespace lerg {
namespace {

// Of a list of tensors; and all in all, elements of lists that are looked at.
constexpr size_t kMostTensors = 4096, kMostVisited = size_t{1} << 24;

[[noreturn]] void refuse(const std::string& reason) { throw ProgramFault(reason); }

// As kinds are called in messages.
const char* kind_name(ArgumentKind kind) {
  switch (kind) {
    case ArgumentKind::kTensor:
    case ArgumentKind::kOut:
    case ArgumentKind::kView:
      return "a tensor";
    case ArgumentKind::kTensors:
    case ArgumentKind::kOuts:
      return "a list of tensors";
    case ArgumentKind::kNumber:
      return "a number";
    case ArgumentKind::kDouble:
      return "a double";
    case ArgumentKind::kBool:
      return "a truth value";
    case ArgumentKind::kRounding:
      return "floor or trunc";
    case ArgumentKind::kIntegers:
    case ArgumentKind::kSizes:
      return "a list of integers";
    default:
      return "an integer";
  }
}

bool kind_fits(ArgumentKind wanted, ValueKind given) {
  switch (wanted) {
    case ArgumentKind::kTensor:
    case ArgumentKind::kOut:
    case ArgumentKind::kView:
      return given == ValueKind::kTensor;
    case ArgumentKind::kTensors:
    case ArgumentKind::kOuts:
      return given == ValueKind::kTensorList;
    case ArgumentKind::kNumber:
      return given == ValueKind::kInt || given == ValueKind::kDouble;
    case ArgumentKind::kDouble:
      return given == ValueKind::kDouble;
    case ArgumentKind::kBool:
      return given == ValueKind::kBool;
    case ArgumentKind::kRounding:
      return given == ValueKind::kString;
    case ArgumentKind::kIntegers:
    case ArgumentKind::kSizes:
      return given == ValueKind::kIntList;
    default:
      return given == ValueKind::kInt;
  }
}

char letter_of(const PlannedTensor& tensor) { return element_letter(static_cast<int>(tensor.type)); }

}  // namespace

PlannedTensor read_sized_tensor(const Flatbuffer& buffer, size_t table) {
  PlannedTensor tensor = read_tensor(buffer, table);
  const ElementType* type = find_element_type(tensor.type);
  if (type == nullptr || letter_of(tensor) == 0) refuse("is of an element type that no program of ours has");
  tensor.bytes = tensor.elements * type->bytes;
  return tensor;
}

CallCheck::CallCheck(const Flatbuffer& buffer, const MethodPlan& plan, PlanMemory* memory, PlanIntegers* integers)
    : buffer_(buffer), plan_(plan), memory_(*memory), integers_(*integers), signatures_(plan.operators.size()) {
  for (size_t call = 0; call < plan.calls.size(); ++call) {
    const auto index = static_cast<size_t>(plan.calls[call]);
    const auto found = signatures().find(plan.operators[index]);
    if (found == signatures().end()) refuse(plan.call_name(call) + ": no program may call this operator");
    const Signature& signature = found->second;
    signatures_[index] = &signature;
    const size_t count = plan.argument_count(call);
    if (count != signature.arguments.size()) {
      refuse(plan.call_name(call) + ": it has " + std::to_string(count) + " arguments, and its kernel takes " +
             std::to_string(signature.arguments.size()));
    }
    if (signature.arguments.back().kind != ArgumentKind::kAssigned) continue;
    const int32_t assigned = arguments(call)[count - 1];
    if (value(assigned).kind == ValueKind::kInt) integers_.declare(assigned);
  }
}

void CallCheck::check(size_t call) {
  const Signature& signature = *signatures_[static_cast<size_t>(plan_.calls[call])];
  given_ = arguments(call);
  operator_ = plan_.calls[call];
  read_.clear();
  written_.clear();
  written_list_ = false;
  assigned_ = viewed_ = -1;
  for (argument_ = 0; argument_ < signature.arguments.size(); ++argument_) {
    try {
      check_argument(signature.arguments[argument_], given_[argument_]);
    } catch (const ProgramFault& fault) {
      refuse("argument " + std::to_string(argument_) + " " + fault.what());
    }
  }
  write();
  if (viewed_ >= 0) {
    if (const char* problem = memory_.view(given_[0], viewed_)) refuse(std::string("its result ") + problem);
  }
  if (assigned_ >= 0) assign();
}

void CallCheck::check_argument(const ArgumentRule& rule, int32_t index) {
  const ValueKind kind = value(index).kind;
  if (rule.kind == ArgumentKind::kReturned) return check_returned(index);
  if (rule.optional && kind == ValueKind::kNull) return;
  if (!kind_fits(rule.kind, kind)) refuse(std::string("is not ") + kind_name(rule.kind));
  switch (rule.kind) {
    case ArgumentKind::kTensor:
    case ArgumentKind::kOut:
    case ArgumentKind::kView:
      check_tensor(rule, index);
      take(rule, index);
      break;
    case ArgumentKind::kTensors:
    case ArgumentKind::kOuts: {
      const std::vector<int32_t> tensors = tensors_of(index);
      if (tensors.empty() || tensors.size() > kMostTensors) refuse("is not a list of 1 to 4096 tensors");
      for (const int32_t each : tensors) {
        check_tensor(rule, each);
        if (letter_of(tensor(each)) != letter_of(tensor(tensors[0]))) refuse("lists tensors of several types");
        take(rule, each);
      }
      written_list_ = rule.kind == ArgumentKind::kOuts;
      break;
    }
    case ArgumentKind::kRounding: {
      const std::string text = read_string(buffer_, value(index).table);
      if (text != "floor" && text != "trunc") refuse("is neither floor nor trunc");
      break;
    }
    case ArgumentKind::kIntegers:
    case ArgumentKind::kSizes:
      check_integers(rule, index);
      break;
    case ArgumentKind::kAssigned:
      assigned_ = index;
      break;
    default:
      check_number(rule, index);
  }
}

void CallCheck::visit(size_t count) const {
  visited_ += count;
  if (visited_ > kMostVisited) refuse("is one too many of too long lists");
}

std::vector<int32_t> CallCheck::tensors_of(int32_t list) const {
  const std::vector<int64_t> items = read_list(buffer_, value(list));
  visit(items.size());
  return {items.begin(), items.end()};
}

void CallCheck::check_tensor(const ArgumentRule& rule, int32_t index) {
  visit(1);
  const PlannedTensor own = tensor(index);
  if (!rule.types.empty() && rule.types.find(letter_of(own)) == std::string::npos) {
    refuse("is a tensor of " + type_name(own.type));
  }
  if (rule.same_as >= 0) {
    const int32_t other = given_[rule.same_as];
    const int32_t like = value(other).kind == ValueKind::kTensorList ? tensors_of(other)[0] : other;
    const PlannedTensor model = tensor(like);
    if (letter_of(own) != letter_of(model)) {
      refuse("is a tensor of " + type_name(own.type) + " and not of " + type_name(model.type));
    }
  }
  if (own.rank < rule.least_rank || own.rank > rule.most_rank) {
    refuse("is a tensor of " + std::to_string(own.rank) + " dimensions");
  }
  if (!rule.sizes.empty()) check_sizes(rule, index);
}

void CallCheck::check_sizes(const ArgumentRule& rule, int32_t index) const {
  const PlannedTensor own = tensor(index);
  for (size_t d = 0; d < rule.sizes.size(); ++d) {
    if (!size_fits(rule.sizes[d], own.sizes[d])) refuse("has a shape that its kernel does not give");
  }
}

// `wanted` as signatures.cpp writes it.
bool CallCheck::size_fits(const std::string& wanted, int32_t size) const {
  if (wanted == "*") return true;
  if (wanted[0] == '#') {
    const auto range = integers_.range(given_[std::atoi(wanted.c_str() + 1)]);
    return range && range->least == size && range->most == size;
  }
  const size_t times = wanted.find('*');
  const int64_t factor = times == std::string::npos ? 1 : std::atoi(wanted.c_str());
  const char* place = wanted.c_str() + (times == std::string::npos ? 0 : times + 1);
  const PlannedTensor from = tensor(given_[std::atoi(place)]);
  return factor * from.sizes[static_cast<size_t>(wanted.back() - '0')] == size;
}

void CallCheck::check_number(const ArgumentRule& rule, int32_t index) const {
  if (value(index).kind != ValueKind::kInt) return;
  const auto range = integers_.range(index);
  if (!range) refuse("is read before it is written");
  if (rule.kind == ArgumentKind::kPositive && range->least < 1) refuse("must be above 0");
}

void CallCheck::check_integers(const ArgumentRule& rule, int32_t index) const {
  std::vector<IntegerRange> ranges;
  const std::vector<int64_t> items = read_list(buffer_, value(index));
  visit(items.size());
  for (const int64_t item : items) {
    const auto range = integers_.range(static_cast<int32_t>(item));
    if (!range) refuse("lists an integer that is read before it is written");
    if (range->least < -kMostRank || range->most > std::numeric_limits<int32_t>::max()) {
      refuse("lists an integer that is no size or dimension");
    }
    ranges.push_back(*range);
  }
  if (rule.kind != ArgumentKind::kSizes) return;
  if (const char* problem = sizes_fault(ranges)) refuse(problem);
}

void CallCheck::check_returned(int32_t index) const {
  if (!written_list_ && written_.size() == 1 && index == written_[0]) return;
  const bool list = value(index).kind == ValueKind::kTensorList && tensors_of(index) == written_;
  if (!list) refuse("is not what the instruction writes");
}

void CallCheck::take(const ArgumentRule& rule, int32_t index) {
  if (rule.kind == ArgumentKind::kTensor || rule.kind == ArgumentKind::kTensors) {
    if (const char* problem = memory_.read_fault(index)) refuse(problem);
    read_.push_back(index);
  } else if (rule.kind == ArgumentKind::kView) {
    viewed_ = index;
  } else {
    if (const char* problem = memory_.write_fault(index)) refuse(problem);
    for (const int32_t other : read_) {
      if (memory_.overlap(index, other)) refuse("overlaps what the instruction reads");
    }
    for (const int32_t other : written_) {
      if (memory_.overlap(index, other)) refuse("overlaps what else the instruction writes");
    }
    written_.push_back(index);
  }
}

void CallCheck::write() {
  for (const int32_t index : written_) memory_.write(index);
}

void CallCheck::assign() {
  IntegerRange range{0, 0};
  if (value(given_[0]).kind == ValueKind::kTensor) {
    const PlannedTensor from = tensor(given_[0]);
    const auto dimension = integers_.range(given_[1]);
    if (!dimension || dimension->least < 0 || dimension->most >= from.rank || dimension->least != dimension->most) {
      refuse("argument 1 is no dimension of the tensor");
    }
    const int64_t size = from.sizes[static_cast<size_t>(dimension->least)];
    // Only the product of the sizes is bounded, but for an input, whose sizes are checked one by one.
    const bool input = std::find(plan_.inputs.begin(), plan_.inputs.end(), given_[0]) != plan_.inputs.end();
    const int64_t most = input ? size : std::numeric_limits<int32_t>::max();
    range = from.dynamic ? IntegerRange{input ? std::min<int64_t>(1, size) : 0, most} : IntegerRange{size, size};
  } else {
    const auto result = PlanIntegers::result(plan_.operators[static_cast<size_t>(operator_)],
                                             *integers_.range(given_[0]), *integers_.range(given_[1]));
    if (!result) refuse("it may overflow");
    range = *result;
  }
  if (const char* problem = integers_.assign(assigned_, range)) refuse(std::string("its result ") + problem);
}

}  // namespace lerg

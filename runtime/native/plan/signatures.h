// What each operator that a program may call takes and gives: the one table that the loader checks plans against and
// the exporter is asked by. An operator that is not here, or under another overload, is in no program of ours.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lerg {

enum class ArgumentKind {
  kTensor,
  kTensors,     // a list of tensors, all of one type
  kInteger,
  kNumber,      // an integer or a double
  kDouble,
  kBool,
  kRounding,    // the text "floor" or "trunc", of a division
  kIntegers,    // a list of integers
  kSizes,       // a list of integers that are sizes, at most one of them -1
  kPositive,    // an integer above 0
  kOut,         // the tensor that is written
  kOuts,        // a list of tensors that are written
  kView,        // a tensor that takes the memory of the first argument
  kAssigned,    // the integer that is written
  kReturned,    // what is written, once more: the one value of kOut or kOuts, or a list of several kOut
};

struct ArgumentRule {
  ArgumentKind kind;
  bool optional = false;      // may be null
  std::string types;          // letters, see element_letter; empty for any of them
  int same_as = -1;           // its type is that of this argument
  int least_rank = 0, most_rank = 4;
  std::vector<std::string> sizes;  // of an out, dimension by dimension; empty where the kernel alone knows
};

struct Signature {
  std::string text;
  std::vector<ArgumentRule> arguments;
};

// By name, "namespace::name.overload".
const std::map<std::string, Signature, std::less<>>& signatures();

// f float32, d float64, l int64, i int32, h int16, c int8, b uint8, u uint16, o bool; 0 for any other type.
char element_letter(int scalar_type);

}  // namespace lerg

// What is needed from a program's flatbuffer and not given by ExecuTorch's API: which operator each instruction calls.
// The SDK carries no generated schema, so tables are read by field number (schema/program.fbs of ExecuTorch; numbers
// never change in a flatbuffer schema).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lerg {

struct MethodOperators {
  std::vector<std::string> names;           // "namespace::name.overload", the method's operator table
  std::vector<std::vector<int32_t>> calls;  // by chain and instruction: index into names
};

// Reads the operators of a method from a program (the flatbuffer, from the file's first byte). Throws ProgramFault for
// tables that leave the buffer and for what ExecuTorch would take and not survive:
// - a call of an operator outside the operator table, whose error its loader forgets when a later call is sound;
// - a tensor that a kernel is given and that has no memory: not planned, no constant, no parameter, no input or output;
// and for what this project's programs never hold, instructions other than kernel calls.
MethodOperators read_operators(const uint8_t* program, size_t size, const std::string& method);

}  // namespace lerg

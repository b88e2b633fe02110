// Element types as numpy names them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "session/session.h"

namespace lerg {

struct ElementType {
  ScalarType type;
  const char* name;  // numpy's
  size_t bytes;
  uint8_t kind;      // DLPack type code
};

// Null where numpy has no such type (half-width and quantised types of ExecuTorch's).
const ElementType* find_element_type(ScalarType type);
const ElementType* find_element_type(const std::string& numpy_name);
const ElementType* find_element_type(uint8_t dlpack_kind, size_t bytes);

// "float32", or "type 9" for one that numpy does not have.
std::string type_name(ScalarType type);

// "[2, 64]"
std::string shape_text(const std::vector<int32_t>& sizes);

// Elements of a shape; its dimensions are not negative. Throws std::length_error where the count passes 2^62.
size_t element_count(const std::vector<int32_t>& sizes);

size_t array_bytes(const Array& array);

}  // namespace lerg

#include "session/types.h"

#include <array>
#include <stdexcept>

namespace lerg {
namespace {

constexpr uint8_t kInt = 0, kUnsigned = 1, kFloat = 2, kBool = 6;  // DLPack's

constexpr std::array<ElementType, 12> kTypes = {{
    {ScalarType::Float, "float32", 4, kFloat},
    {ScalarType::Double, "float64", 8, kFloat},
    {ScalarType::Half, "float16", 2, kFloat},
    {ScalarType::Char, "int8", 1, kInt},
    {ScalarType::Short, "int16", 2, kInt},
    {ScalarType::Int, "int32", 4, kInt},
    {ScalarType::Long, "int64", 8, kInt},
    {ScalarType::Byte, "uint8", 1, kUnsigned},
    {ScalarType::UInt16, "uint16", 2, kUnsigned},
    {ScalarType::UInt32, "uint32", 4, kUnsigned},
    {ScalarType::UInt64, "uint64", 8, kUnsigned},
    {ScalarType::Bool, "bool", 1, kBool},
}};

}  // namespace

const ElementType* find_element_type(ScalarType type) {
  for (const ElementType& entry : kTypes) {
    if (entry.type == type) return &entry;
  }
  return nullptr;
}

const ElementType* find_element_type(const std::string& numpy_name) {
  for (const ElementType& entry : kTypes) {
    if (numpy_name == entry.name) return &entry;
  }
  return nullptr;
}

const ElementType* find_element_type(uint8_t dlpack_kind, size_t bytes) {
  for (const ElementType& entry : kTypes) {
    if (entry.kind == dlpack_kind && entry.bytes == bytes) return &entry;
  }
  return nullptr;
}

std::string type_name(ScalarType type) {
  const ElementType* entry = find_element_type(type);
  return entry != nullptr ? entry->name : "type " + std::to_string(static_cast<int>(type));
}

std::string shape_text(const std::vector<int32_t>& sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(sizes[i]);
  return text + "]";
}

size_t element_count(const std::vector<int32_t>& sizes) {
  constexpr uint64_t kMost = uint64_t{1} << 62;
  constexpr size_t kWidest = 8;  // bytes of the widest element
  constexpr const char* kTooMany = "a shape of too many elements";
  uint64_t count = 1;
  for (const int32_t size : sizes) {
    if (size != 0 && count > kMost / static_cast<uint64_t>(size)) throw std::length_error(kTooMany);
    count *= static_cast<uint64_t>(size);
  }
  if (count > SIZE_MAX / kWidest) throw std::length_error(kTooMany);
  return static_cast<size_t>(count);
}

size_t array_bytes(const Array& array) {
  const ElementType* entry = find_element_type(array.type);
  return element_count(array.sizes) * (entry != nullptr ? entry->bytes : 0);
}

}  // namespace lerg

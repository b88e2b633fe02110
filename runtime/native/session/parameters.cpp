#include "session/parameters.h"

#include <cstring>

#include "session/types.h"

namespace lerg {

using executorch::runtime::Error;
using executorch::runtime::FreeableBuffer;
using executorch::runtime::Result;
using executorch::runtime::TensorLayout;

ParameterMap::ParameterMap(const std::map<std::string, Array>& parameters) {
  for (const auto& [name, array] : parameters) {
    Entry entry{name, array, {}};
    for (size_t i = 0; i < array.sizes.size(); ++i) entry.order.push_back(static_cast<uint8_t>(i));
    entries_.push_back(std::move(entry));
  }
}

const ParameterMap::Entry* ParameterMap::find(std::string_view key) const {
  asked_ = key;
  for (const Entry& entry : entries_) {
    if (entry.name == key) return &entry;
  }
  missed_ = true;
  return nullptr;
}

std::string ParameterMap::name_at(const void* data) const {
  for (const Entry& entry : entries_) {
    if (entry.array.data == data) return entry.name;
  }
  return {};
}

Result<const TensorLayout> ParameterMap::get_tensor_layout(std::string_view key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return Error::NotFound;
  return TensorLayout::create({entry->array.sizes.data(), entry->array.sizes.size()},
                              {entry->order.data(), entry->order.size()}, entry->array.type);
}

Result<FreeableBuffer> ParameterMap::get_data(std::string_view key) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return Error::NotFound;
  return FreeableBuffer(entry->array.data, array_bytes(entry->array), nullptr);
}

Error ParameterMap::load_data_into(std::string_view key, void* buffer, size_t size) const {
  const Entry* entry = find(key);
  if (entry == nullptr) return Error::NotFound;
  if (size != array_bytes(entry->array)) return Error::InvalidArgument;
  std::memcpy(buffer, entry->array.data, size);
  return Error::Ok;
}

Result<uint32_t> ParameterMap::get_num_keys() const { return static_cast<uint32_t>(entries_.size()); }

Result<const char*> ParameterMap::get_key(uint32_t index) const {
  if (index >= entries_.size()) return Error::InvalidArgument;
  return entries_[index].name.c_str();
}

}  // namespace lerg

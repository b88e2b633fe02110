// External parameters of a training method: ExecuTorch asks for them by name when the method is loaded and keeps the
// pointer, so the caller's array is the parameter, and writing to it is how an optimiser steps.
#pragma once

#include <executorch/runtime/core/named_data_map.h>

#include <map>
#include <string>
#include <vector>

#include "session/session.h"

namespace lerg {

class ParameterMap final : public executorch::runtime::NamedDataMap {
 public:
  explicit ParameterMap(const std::map<std::string, Array>& parameters);

  executorch::runtime::Result<const executorch::runtime::TensorLayout> get_tensor_layout(
      std::string_view key) const override;
  executorch::runtime::Result<executorch::runtime::FreeableBuffer> get_data(std::string_view key) const override;
  executorch::runtime::Error load_data_into(std::string_view key, void* buffer, size_t size) const override;
  executorch::runtime::Result<uint32_t> get_num_keys() const override;
  executorch::runtime::Result<const char*> get_key(uint32_t index) const override;

  // The name that was asked for last, and whether any was not here.
  const std::string& asked() const { return asked_; }
  bool missed() const { return missed_; }
  // Name of the parameter whose memory starts there, empty if none does.
  std::string name_at(const void* data) const;

 private:
  struct Entry {
    std::string name;
    Array array;
    std::vector<uint8_t> order;  // row-major: 0, 1, 2, ...
  };

  const Entry* find(std::string_view key) const;

  std::vector<Entry> entries_;
  mutable std::string asked_;
  mutable bool missed_ = false;
};

}  // namespace lerg

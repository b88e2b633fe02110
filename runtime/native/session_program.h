// The mapped file and ExecuTorch's view of it, shared by a Program and the methods loaded from it.
#pragma once

#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <executorch/runtime/executor/program.h>

#include <memory>
#include <optional>
#include <string>

#include "plan_check.h"

namespace lerg {

class ProgramImage {
 public:
  // Maps the file, checks its plans and verifies its tables. Throws ProgramFault.
  explicit ProgramImage(const std::string& path);

  const std::string& path() const { return path_; }
  const executorch::runtime::Program& program() const { return *program_; }
  bool has(const std::string& method) const;
  // Throws std::invalid_argument where there is no such method, ProgramFault where its description is broken.
  executorch::runtime::MethodMeta meta(const std::string& method) const;
  // Throws std::invalid_argument where there is no such method.
  MethodPlan plan(const std::string& method) const;
  Flatbuffer flatbuffer() const { return flatbuffer_; }

 private:
  const std::string path_;
  std::unique_ptr<executorch::extension::MmapDataLoader> loader_;
  std::optional<executorch::runtime::FreeableBuffer> file_;  // mapped
  Flatbuffer flatbuffer_{nullptr, 0};         // its first part
  std::optional<executorch::runtime::Program> program_;
};

}  // namespace lerg

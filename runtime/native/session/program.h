// The file, mapped or read, and ExecuTorch's view of it, shared by a Program and the methods loaded from it.
#pragma once

#include <executorch/runtime/core/data_loader.h>
#include <executorch/runtime/executor/program.h>

#include <memory>
#include <optional>
#include <string>

#include "plan/check.h"

namespace lerg {

// A program file in memory of the caller's, which outlives the program and its methods.
struct FileBytes {
  const void* data;
  size_t size;
};

class ProgramImage {
 public:
  // Maps the file, checks its plans and verifies its tables. Throws ProgramFault.
  explicit ProgramImage(const std::string& path);
  // Verifies what has been read from the file, which nobody else can change any more. Throws ProgramFault.
  ProgramImage(const std::string& path, FileBytes file);

  const std::string& path() const { return path_; }
  const executorch::runtime::Program& program() const { return *program_; }
  bool has(const std::string& method) const;
  // Throws std::invalid_argument where there is no such method, ProgramFault where its description is broken.
  executorch::runtime::MethodMeta meta(const std::string& method) const;
  // Throws std::invalid_argument where there is no such method.
  MethodPlan plan(const std::string& method) const;
  Flatbuffer flatbuffer() const { return flatbuffer_; }

 private:
  void verify();

  const std::string path_;
  FileBytes file_bytes_{};  // empty where the file is mapped
  std::unique_ptr<executorch::runtime::DataLoader> loader_;
  std::optional<executorch::runtime::FreeableBuffer> file_;  // all of it
  Flatbuffer flatbuffer_{nullptr, 0};         // its first part
  std::optional<executorch::runtime::Program> program_;
};

}  // namespace lerg

// What stands between this library and ExecuTorch's platform layer. ExecuTorch writes what went wrong to standard
// error and, where it finds an impossible state, aborts the process. A library that reads files from a network can do
// neither.
#pragma once

#include <executorch/runtime/core/error.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace lerg {

// A program file that cannot be read: missing, truncated, altered, or in need of what this build lacks.
class ProgramFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A method that failed while it ran.
class ExecutionFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Thrown in place of the abort of a failed ExecuTorch check, and only while an EngineScope is open on the thread.
class EngineAborted : public std::exception {
 public:
  const char* what() const noexcept override { return "an internal check of ExecuTorch failed"; }
};

// While one is open, what ExecuTorch logs on this thread is kept instead of printed, and a failed check throws
// EngineAborted. Outside, and on other threads, the platform's own behaviour holds: another user of ExecuTorch in the
// process (its Python extension) is not affected. ExecuTorch's frames clean nothing up when the exception passes them,
// so an object that it passed through must not be used again; memory is ours and is freed as usual.
class EngineScope {
 public:
  EngineScope();
  ~EngineScope();
  EngineScope(const EngineScope&) = delete;
  EngineScope& operator=(const EngineScope&) = delete;

  // The first errors that were logged, joined; empty if none was.
  const std::string& detail() const { return detail_; }

  // "Error::InvalidProgram: <detail>"
  std::string describe(executorch::runtime::Error error) const;

  void record(const char* message, size_t length);

 private:
  EngineScope* const outer_;
  std::string detail_;
  int recorded_ = 0;
};

}  // namespace lerg

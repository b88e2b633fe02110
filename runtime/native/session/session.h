// An ExecuTorch program as this project uses it: mapped from a file, all of its memory from a Budget, arrays of the
// caller's in and out. No Python types here; bindings_session.cpp adds them.
#pragma once

#include <executorch/runtime/core/exec_aten/exec_aten.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "session/budget.h"
#include "session/engine.h"

namespace lerg {

class ProgramImage;
struct FileBytes;
class MethodState;

using executorch::aten::ScalarType;

// Dense, row-major memory of the caller's. Sizes are elements.
struct Array {
  ScalarType type;
  std::vector<int32_t> sizes;
  void* data;
};

// An input or output as the program declares it. Sizes are the largest it can have; dynamic says that a call may have
// less in any dimension.
struct TensorSpec {
  ScalarType type;
  std::vector<int32_t> sizes;
  size_t bytes;
  bool dynamic;
};

// A parameter as a method asks for it.
struct ParameterSpec {
  std::string name;
  ScalarType type;
  std::vector<int32_t> sizes;
};

// How an output's memory comes about. ExecuTorch has one value table a method, and an output is an index into it:
// - direct: the value has no memory of its own, so it is pointed at the caller's array before each run;
// - parameter: the value *is* an external parameter (the training protocol returns those). Its memory is the array that
//   was given to Program::load. ExecuTorch would let set_output_data_ptr move it, and the method would then read its
//   parameters from the output's memory, so this is never done: the caller gets the parameter's array back;
// - copied: a constant, an input that is passed through, a planned tensor or the second mention of one value. What is
//   there after the run is copied into the caller's array.
struct OutputRoute {
  enum class Kind { kDirect, kParameter, kCopied };
  Kind kind;
  std::string parameter;  // its name, for kParameter
};

class Method {
 public:
  // Use Program::load. Throws ProgramFault, BudgetExceeded and, for the parameters, std::invalid_argument.
  Method(std::shared_ptr<const ProgramImage> program, std::string name, std::vector<size_t> arena_bytes,
         std::shared_ptr<Budget> budget, const std::map<std::string, Array>& parameters, size_t scratch_bytes,
         bool trace);
  ~Method();

  const std::string& name() const { return name_; }
  const std::vector<TensorSpec>& inputs() const { return inputs_; }
  const std::vector<TensorSpec>& outputs() const { return outputs_; }
  const std::vector<OutputRoute>& routes() const { return routes_; }
  const std::vector<size_t>& arena_bytes() const { return arena_bytes_; }
  const std::shared_ptr<Budget>& budget() const { return budget_; }
  size_t scratch_peak() const;
  size_t scratch_capacity() const;

  // Throws std::invalid_argument that names the method, the array and the broken rule.
  void check_inputs(const std::vector<Array>& inputs) const;

  // Runs once. Each output that is no parameter has room for its largest size; its sizes are set to what the run gave.
  // One run at a time: a second caller waits. Throws std::invalid_argument, ExecutionFault and BudgetExceeded.
  void execute(const std::vector<Array>& inputs, std::vector<Array>& outputs);

  // Operators of the last run in order, with milliseconds; empty unless loaded with trace.
  std::vector<std::pair<std::string, double>> events() const;

 private:
  void describe();
  void check_outputs(const std::vector<Array>& outputs) const;
  void run(const std::vector<Array>& inputs, std::vector<Array>& outputs, const EngineScope& scope);
  [[noreturn]] void fail_load(const std::string& reason) const;

  const std::string name_;
  const std::vector<size_t> arena_bytes_;
  const std::shared_ptr<Budget> budget_;
  const std::shared_ptr<const ProgramImage> program_;
  std::unique_ptr<MethodState> state_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<OutputRoute> routes_;
  bool broken_ = false;
  mutable std::mutex running_;
};

// A program file. Cheap: nothing but the file's mapping is held until a method is loaded.
class Program {
 public:
  // Throws ProgramFault.
  Program(const std::string& path, std::shared_ptr<Budget> budget);
  // The file has been read into memory; the path is for messages.
  Program(const std::string& path, std::shared_ptr<Budget> budget, FileBytes file);

  std::vector<std::string> methods() const;
  // Planned buffers of a method in bytes, before anything is allocated. Throws std::invalid_argument, ProgramFault.
  std::vector<size_t> arena_bytes(const std::string& method) const;
  // Names of the operators that a method calls, in order of first use.
  std::vector<std::string> operators(const std::string& method) const;

  // Its external parameters: every tensor that the caller's memory is asked for by name.
  std::vector<ParameterSpec> parameters(const std::string& method) const;

  // parameters: name -> float32 memory that outlives the method; it is read and written in place.
  // scratch_bytes: bound of one kernel's scratch; 0 takes it from the budget as it comes.
  std::unique_ptr<Method> load(const std::string& method, const std::map<std::string, Array>& parameters,
                               size_t scratch_bytes, bool trace) const;

 private:
  std::shared_ptr<const ProgramImage> image_;
  std::shared_ptr<Budget> budget_;
};

}  // namespace lerg

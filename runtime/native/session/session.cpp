#include "session/session.h"

#include <executorch/runtime/core/hierarchical_allocator.h>
#include <executorch/runtime/executor/memory_manager.h>
#include <executorch/runtime/executor/method.h>

#include <cstring>
#include <optional>
#include <stdexcept>

#include "plan/guards.h"
#include "session/memory.h"
#include "session/parameters.h"
#include "session/program.h"
#include "session/threads.h"
#include "session/trace.h"
#include "session/types.h"

namespace lerg {
namespace {

namespace et = executorch::runtime;
using et::Error;
using et::EValue;
using executorch::aten::Tensor;
using executorch::aten::TensorImpl;

std::vector<int32_t> sizes_of(const Tensor& tensor) {
  return std::vector<int32_t>(tensor.sizes().begin(), tensor.sizes().end());
}

// Row-major memory as ExecuTorch's tensor. Holds what the tensor points to.
class BorrowedTensor {
 public:
  explicit BorrowedTensor(const Array& array)
      : sizes_(array.sizes),
        order_(sizes_.size()),
        strides_(sizes_.size()),
        impl_(array.type, static_cast<ssize_t>(sizes_.size()), sizes_.data(), array.data, order_.data(),
              strides_.data()) {
    int32_t stride = 1;
    for (size_t i = sizes_.size(); i-- > 0; stride *= sizes_[i]) {
      order_[i] = static_cast<uint8_t>(i);
      strides_[i] = stride;
    }
  }

  EValue value() { return EValue(Tensor(&impl_)); }

 private:
  std::vector<int32_t> sizes_;
  std::vector<uint8_t> order_;
  std::vector<int32_t> strides_;
  TensorImpl impl_;
};

}  // namespace

// Everything that ExecuTorch's method points to, in the order in which it must be built and, reversed, be destroyed.
class MethodState {
 public:
  MethodState(const std::string& name, const std::vector<size_t>& arena_bytes, const std::shared_ptr<Budget>& budget,
              const std::map<std::string, Array>& given, size_t scratch_bytes)
      : parameters(given), structures(budget), scratch(budget, scratch_bytes) {
    for (const size_t bytes : arena_bytes) {
      arenas.emplace_back(budget, bytes, "the working memory of " + name);
      spans.emplace_back(arenas.back().data(), bytes);
    }
    planned.emplace(et::Span<et::Span<uint8_t>>(spans.data(), spans.size()));
    manager.emplace(&structures, &*planned, &scratch);
  }

  ParameterMap parameters;
  StructureAllocator structures;
  ScratchAllocator scratch;
  std::vector<Block> arenas;
  std::vector<et::Span<uint8_t>> spans;
  std::optional<et::HierarchicalAllocator> planned;
  std::optional<et::MemoryManager> manager;
  std::unique_ptr<InstructionTrace> trace;
  std::optional<et::Method> method;
};

Method::Method(std::shared_ptr<const ProgramImage> program, std::string name, std::vector<size_t> arena_bytes,
               std::shared_ptr<Budget> budget, const std::map<std::string, Array>& parameters, size_t scratch_bytes,
               bool trace)
    : name_(std::move(name)),
      arena_bytes_(std::move(arena_bytes)),
      budget_(std::move(budget)),
      program_(std::move(program)) {
  state_ = std::make_unique<MethodState>(name_, arena_bytes_, budget_, parameters, scratch_bytes);
  if (trace) state_->trace = std::make_unique<InstructionTrace>(program_->plan(name_));
  EngineScope scope;
  try {
    auto loaded = program_->program().load_method(name_.c_str(), &*state_->manager, state_->trace.get(),
                                                  &state_->parameters, nullptr, kernel_guards());
    if (state_->structures.refused() > 0) throw budget_->exceeded("loading " + name_, state_->structures.refused());
    if (!loaded.ok()) {
      const ParameterMap& asked = state_->parameters;
      if (asked.missed()) throw std::invalid_argument(name_ + " needs the parameter " + asked.asked());
      if (loaded.error() == Error::InvalidExternalData) {
        throw std::invalid_argument(name_ + ": the parameter " + asked.asked() + " does not fit: " + scope.detail());
      }
      fail_load(scope.describe(loaded.error()));
    }
    state_->method.emplace(std::move(loaded.get()));
    describe();
  } catch (const EngineAborted& aborted) {
    fail_load(std::string(aborted.what()) + ": " + scope.detail());
  }
}

Method::~Method() = default;

void Method::fail_load(const std::string& reason) const {
  throw ProgramFault("the method " + name_ + " of " + program_->path() + " cannot be loaded: " + reason);
}

size_t Method::scratch_peak() const { return state_->scratch.peak(); }

size_t Method::scratch_capacity() const { return state_->scratch.capacity(); }

std::vector<std::pair<std::string, double>> Method::events() const {
  const std::lock_guard<std::mutex> lock(running_);
  return state_->trace ? state_->trace->events() : std::vector<std::pair<std::string, double>>();
}

// Fills in the declared inputs and outputs, and how each output's memory comes about (see OutputRoute).
void Method::describe() {
  const et::Method& method = *state_->method;
  const et::MethodMeta meta = method.method_meta();
  const auto spec_of = [&](const et::Result<et::TensorInfo>& info, const EValue& value, const char* what, size_t i) {
    const std::string which = std::string(what) + " " + std::to_string(i);
    if (!info.ok() || !value.isTensor()) fail_load(which + " is not a tensor");
    const ElementType* type = find_element_type(info->scalar_type());
    if (type == nullptr) fail_load(which + " has an element type that numpy does not have");
    TensorSpec spec{info->scalar_type(), {info->sizes().begin(), info->sizes().end()}, 0, false};
    for (size_t d = 0; d < info->dim_order().size(); ++d) {
      if (info->dim_order()[d] != d) fail_load(which + " is not row-major");
    }
    spec.bytes = info->nbytes();
    spec.dynamic = value.toTensor().shape_dynamism() != et::TensorShapeDynamism::STATIC;
    return spec;
  };
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // get_input: the one way to see an input's value
  std::vector<const EValue*> taken;
  for (size_t i = 0; i < method.inputs_size(); ++i) {
    taken.push_back(&method.get_input(i));
    inputs_.push_back(spec_of(meta.input_tensor_meta(i), *taken.back(), "input", i));
  }
#pragma GCC diagnostic pop
  for (size_t i = 0; i < method.outputs_size(); ++i) {
    const EValue* value = &method.get_output(i);
    outputs_.push_back(spec_of(meta.output_tensor_meta(i), *value, "output", i));
    const void* memory = value->toTensor().const_data_ptr();
    const std::string parameter = memory == nullptr ? std::string() : state_->parameters.name_at(memory);
    bool seen = false;
    for (const EValue* other : taken) seen = seen || other == value;
    taken.push_back(value);
    if (!parameter.empty()) {
      routes_.push_back({OutputRoute::Kind::kParameter, parameter});
    } else if (memory != nullptr || seen) {
      routes_.push_back({OutputRoute::Kind::kCopied, {}});
    } else {
      routes_.push_back({OutputRoute::Kind::kDirect, {}});
    }
  }
}

void Method::check_inputs(const std::vector<Array>& inputs) const {
  const auto refuse = [&](size_t i, const std::string& rule) {
    throw std::invalid_argument(name_ + ": input " + std::to_string(i) + " " + rule);
  };
  if (inputs.size() != inputs_.size()) {
    throw std::invalid_argument(name_ + " takes " + std::to_string(inputs_.size()) + " inputs, but " +
                                std::to_string(inputs.size()) + " were given");
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorSpec& spec = inputs_[i];
    const Array& given = inputs[i];
    if (given.type != spec.type) refuse(i, "must be " + type_name(spec.type) + ", but is " + type_name(given.type));
    if (given.sizes.size() != spec.sizes.size()) {
      refuse(i, "must have " + std::to_string(spec.sizes.size()) + " dimensions, but has " +
                    std::to_string(given.sizes.size()));
    }
    for (size_t d = 0; d < spec.sizes.size(); ++d) {
      const bool fits = spec.dynamic ? given.sizes[d] <= spec.sizes[d] && (given.sizes[d] > 0 || spec.sizes[d] == 0)
                                     : given.sizes[d] == spec.sizes[d];
      if (fits) continue;
      const std::string rule = spec.dynamic ? "must be from 1 in each dimension up to " : "must have the shape ";
      refuse(i, rule + shape_text(spec.sizes) + ", but has " + shape_text(given.sizes));
    }
  }
}

void Method::check_outputs(const std::vector<Array>& outputs) const {
  if (outputs.size() != outputs_.size()) throw std::invalid_argument(name_ + ": one array for each output is needed");
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (routes_[i].kind == OutputRoute::Kind::kParameter) continue;
    if (outputs[i].type == outputs_[i].type && array_bytes(outputs[i]) >= outputs_[i].bytes) continue;
    throw std::invalid_argument(name_ + ": output " + std::to_string(i) + " must be " + type_name(outputs_[i].type) +
                                " with room for " + shape_text(outputs_[i].sizes) + ", but is " +
                                type_name(outputs[i].type) + " " + shape_text(outputs[i].sizes));
  }
}

void Method::execute(const std::vector<Array>& inputs, std::vector<Array>& outputs) {
  check_inputs(inputs);
  check_outputs(outputs);
  const std::lock_guard<std::mutex> lock(running_);
  if (broken_) throw ExecutionFault(name_ + " failed before and cannot be run again; load it anew");
  if (state_->trace) state_->trace->clear();
  state_->scratch.clear_refused();
  const PoolInUse pool;
  EngineScope scope;
  try {
    run(inputs, outputs, scope);
  } catch (const EngineAborted& aborted) {
    broken_ = true;
    throw ExecutionFault(name_ + " failed: " + aborted.what() + ": " + scope.detail());
  }
}

void Method::run(const std::vector<Array>& inputs, std::vector<Array>& outputs, const EngineScope& scope) {
  et::Method& method = *state_->method;
  const auto require = [&](Error error) {
    if (error == Error::Ok) return;
    const ScratchAllocator& scratch = state_->scratch;
    if (scratch.refused() > 0 && scratch.capacity() == 0) {
      throw budget_->exceeded("scratch memory of " + name_, scratch.refused());
    }
    if (scratch.refused() > 0) {
      const std::string message = name_ + " needs " + std::to_string(scratch.refused()) +
                                  " bytes of scratch memory, but was loaded with " +
                                  std::to_string(scratch.capacity()) + "; load it with more";
      throw BudgetExceeded(message, "scratch memory of " + name_, scratch.refused(), scratch.refused(),
                           scratch.capacity());
    }
    throw ExecutionFault(name_ + " failed with " + scope.describe(error));
  };
  for (size_t i = 0; i < inputs.size(); ++i) require(method.set_input(BorrowedTensor(inputs[i]).value(), i));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (routes_[i].kind != OutputRoute::Kind::kDirect) continue;
    require(method.set_output_data_ptr(outputs[i].data, array_bytes(outputs[i]), i));
  }
  require(method.execute());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (routes_[i].kind == OutputRoute::Kind::kParameter) continue;
    const Tensor& tensor = method.get_output(i).toTensor();
    if (tensor.nbytes() > outputs_[i].bytes) throw ExecutionFault(name_ + " gave an output larger than it declares");
    if (tensor.const_data_ptr() != outputs[i].data) {
      std::memcpy(outputs[i].data, tensor.const_data_ptr(), tensor.nbytes());
    }
    outputs[i].sizes = sizes_of(tensor);
  }
}

}  // namespace lerg

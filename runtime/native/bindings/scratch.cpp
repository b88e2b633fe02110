#include <nanobind/stl/string.h>

#include <stdexcept>

#include "bindings/bindings.h"
#include "kernels/scratch_sizes.h"

namespace lerg::python {
namespace {

// Every size by its name, as `scratch_bytes` takes it.
constexpr struct {
  const char* name;
  int64_t CallSizes::*size;
} kSizes[] = {
    {"users", &CallSizes::users},
    {"items", &CallSizes::items},
    {"codes_per_entity", &CallSizes::codes_per_entity},
    {"edges", &CallSizes::edges},
    {"blocks", &CallSizes::blocks},
    {"codebook_rows", &CallSizes::codebook_rows},
    {"dim", &CallSizes::dim},
    {"bits", &CallSizes::bits},
    {"layers", &CallSizes::layers},
    {"layer_bits", &CallSizes::layer_bits},
    {"side", &CallSizes::side},
    {"requests", &CallSizes::requests},
    {"wanted", &CallSizes::wanted},
};

void read_size(const std::string& name, int64_t value, CallSizes* sizes) {
  if (value < 0 || value > INT32_MAX) throw std::invalid_argument(name + " must be from 0 to 2147483647");
  for (const auto& known : kSizes)
    if (name == known.name) {
      sizes->*known.size = value;
      return;
    }
  throw std::invalid_argument("no call has a size named " + name);
}

int64_t bound_scratch_bytes(const std::string& name, const nb::dict& given) {
  CallSizes sizes;
  for (const auto& [key, value] : given) read_size(nb::cast<std::string>(key), nb::cast<int64_t>(value), &sizes);
  const int64_t bytes = scratch_bytes(name.c_str(), sizes);
  if (bytes < 0) throw std::invalid_argument("no operator named " + name + " takes working memory");
  return bytes;
}

}  // namespace

void bind_scratch(nb::module_& module) {
  module.def("scratch_bytes", &bound_scratch_bytes, nb::arg("operator"), nb::arg("sizes"));
}

}  // namespace lerg::python

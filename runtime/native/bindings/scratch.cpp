#include <nanobind/stl/string.h>

#include <stdexcept>

#include "bindings/bindings.h"
#include "kernels/scratch_sizes.h"

namespace lerg::python {
namespace {

// Every size by its name, as `scratch_bytes` takes it, with the most that it may be: no product of them passes 2^63.
constexpr struct {
  const char* name;
  int64_t CallSizes::*size;
  int64_t most;
} kSizes[] = {
    {"users", &CallSizes::users, INT32_MAX},
    {"items", &CallSizes::items, INT32_MAX},
    {"codes_per_entity", &CallSizes::codes_per_entity, 1 << 20},
    {"edges", &CallSizes::edges, INT32_MAX},
    {"blocks", &CallSizes::blocks, 1},
    {"codebook_rows", &CallSizes::codebook_rows, INT32_MAX / 2},
    {"dim", &CallSizes::dim, 1 << 16},
    {"bits", &CallSizes::bits, 32},
    {"layers", &CallSizes::layers, 254},
    {"layer_bits", &CallSizes::layer_bits, 32},
    {"side", &CallSizes::side, 1},
    {"requests", &CallSizes::requests, INT32_MAX},
    {"wanted", &CallSizes::wanted, 1 << 20},
};

void read_size(const std::string& name, nb::handle value, CallSizes* sizes) {
  for (const auto& known : kSizes)
    if (name == known.name) {
      int64_t size = -1;
      if (!nb::try_cast<int64_t>(value, size) || size < 0 || size > known.most)
        throw std::invalid_argument(name + " must be from 0 to " + std::to_string(known.most));
      sizes->*known.size = size;
      return;
    }
  throw std::invalid_argument("no call has a size named " + name);
}

int64_t bound_scratch_bytes(const std::string& name, const nb::dict& given) {
  CallSizes sizes;
  for (const auto& [key, value] : given) read_size(nb::cast<std::string>(key), value, &sizes);
  size_t bytes = 0;
  if (!scratch_bytes(name.c_str(), sizes, &bytes))
    throw std::invalid_argument("no operator named " + name + " takes working memory");
  return static_cast<int64_t>(bytes);
}

}  // namespace

void bind_scratch(nb::module_& module) {
  module.def("scratch_bytes", &bound_scratch_bytes, nb::arg("operator"), nb::arg("sizes"));
}

}  // namespace lerg::python

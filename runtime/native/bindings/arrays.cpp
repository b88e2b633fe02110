#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <stdexcept>

#include "bindings/bindings.h"
#include "session/types.h"

namespace lerg::python {
namespace {

nb::dlpack::dtype dlpack_type(ScalarType type) {
  const ElementType* entry = find_element_type(type);
  return {entry->kind, static_cast<uint8_t>(entry->bytes * 8), 1};
}

nb::object numpy_array(void* data, const std::vector<int32_t>& sizes, ScalarType type, nb::handle owner) {
  const std::vector<size_t> shape(sizes.begin(), sizes.end());
  return nb::cast(nb::ndarray<nb::numpy>(data, shape.size(), shape.data(), owner, nullptr, dlpack_type(type)));
}

// What a capsule owns: memory that goes back to its budget, which it keeps alive.
struct Taken {
  std::shared_ptr<Budget> budget;
  void* data;
  size_t bytes;
};

}  // namespace

Argument array_argument(nb::handle object, const std::string& what, bool writable) {
  Argument argument;
  nb::ndarray<> written;
  if (!nb::try_cast(object, argument.hold, false) || argument.hold.device_type() != nb::device::cpu::value) {
    throw std::invalid_argument(what + " must be a numpy array of numbers or booleans");
  }
  if (writable && !nb::try_cast(object, written, false)) throw std::invalid_argument(what + " must be writable");
  const auto& view = argument.hold;
  const ElementType* type = find_element_type(view.dtype().code, view.itemsize());
  if (type == nullptr || view.dtype().lanes != 1) {
    throw std::invalid_argument(what + " has a dtype that is not supported");
  }
  int64_t stride = 1;
  for (size_t i = view.ndim(); i-- > 0;) {
    if (view.shape(i) > INT32_MAX) throw std::invalid_argument(what + " has a dimension above 2147483647");
    if (view.shape(i) != 1 && view.stride(i) != stride && view.size() != 0) {
      throw std::invalid_argument(what + " must be contiguous in row-major order");
    }
    stride *= static_cast<int64_t>(view.shape(i));
  }
  argument.array.type = type->type;
  for (size_t i = 0; i < view.ndim(); ++i) argument.array.sizes.push_back(static_cast<int32_t>(view.shape(i)));
  // ExecuTorch's tensors have no constness; inputs are read only, which the kernels' schemas promise.
  argument.array.data = const_cast<void*>(static_cast<const void*>(view.data()));
  return argument;
}

Argument typed_argument(nb::handle object, const std::string& what, ScalarType type, bool writable) {
  Argument argument = array_argument(object, what, writable);
  if (argument.array.type != type) {
    throw std::invalid_argument(what + " must be " + type_name(type) + ", but is " + type_name(argument.array.type));
  }
  return argument;
}

nb::object budget_array(const std::shared_ptr<Budget>& budget, const std::vector<int32_t>& sizes, ScalarType type,
                        const std::string& purpose) {
  const size_t bytes = array_bytes({type, sizes, nullptr});
  auto taken = std::make_unique<Taken>(Taken{budget, budget->take(bytes, purpose), bytes});
  void* data = taken->data;
  const nb::capsule owner(taken.get(), [](void* pointer) noexcept {
    const std::unique_ptr<Taken> held(static_cast<Taken*>(pointer));
    held->budget->give_back(held->data, held->bytes);
  });
  static_cast<void>(taken.release());
  return numpy_array(data, sizes, type, owner);
}

nb::object leading_view(nb::handle owner, void* data, const std::vector<int32_t>& sizes, ScalarType type) {
  return numpy_array(data, sizes, type, owner);
}

nb::object text(const std::string& bytes) {
  return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
}

void bind_budget(nb::module_& module) {
  nb::class_<Budget>(module, "Budget", "Counts what is allocated and refuses to pass a limit.")
      .def(nb::new_([](int64_t limit_bytes) {
             if (limit_bytes < 0) throw std::invalid_argument("limit_bytes must not be negative");
             return std::make_shared<Budget>(static_cast<size_t>(limit_bytes));
           }),
           nb::arg("limit_bytes"), "limit_bytes: the most that may be held at one time; 0 only counts.")
      .def_prop_ro("limit", &Budget::limit, "Bytes, 0 for none.")
      .def_prop_ro("used", &Budget::used, "Bytes held now.")
      .def_prop_ro("peak", &Budget::peak, "Most bytes held at one time.")
      .def(
          "empty",
          [](const std::shared_ptr<Budget>& budget, const std::vector<int64_t>& shape, const std::string& dtype) {
            const ElementType* type = find_element_type(dtype);
            if (type == nullptr) throw std::invalid_argument("dtype must be one of numpy's, not " + dtype);
            std::vector<int32_t> sizes;
            for (const int64_t size : shape) {
              if (size < 0 || size > INT32_MAX) throw std::invalid_argument("shape must be from 0 to 2147483647");
              sizes.push_back(static_cast<int32_t>(size));
            }
            return budget_array(budget, sizes, type->type, "an array of " + dtype + " " + shape_text(sizes));
          },
          nb::arg("shape"), nb::arg("dtype"),
          "A writable array of unspecified content, counted until it and its views are gone.\n\n"
          "Raises lerg_runtime.errors.BudgetError over the limit.");
}

}  // namespace lerg::python

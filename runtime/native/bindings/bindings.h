// Shared by the binding files. Everything that knows of Python is in bindings*.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <memory>
#include <string>
#include <vector>

#include "session/budget.h"
#include "session/session.h"

namespace lerg::python {

namespace nb = nanobind;

// A numpy array and the hold on its memory.
struct Argument {
  nb::ndarray<nb::ro> hold;
  Array array;
};

// The memory of a dense, row-major array, without a copy. `what` begins the message of the ValueError that is raised
// for anything else; `writable` refuses an array that is read-only. A read-only array's memory is only read.
Argument array_argument(nb::handle object, const std::string& what, bool writable = false);

// As array_argument, of one element type.
Argument typed_argument(nb::handle object, const std::string& what, ScalarType type, bool writable = false);

// A new array of the budget's memory, given back with the array. Throws BudgetExceeded.
nb::object budget_array(const std::shared_ptr<Budget>& budget, const std::vector<int32_t>& sizes, ScalarType type,
                        const std::string& purpose);

// A view of an array's first elements in another shape; it keeps the array alive.
nb::object leading_view(nb::handle owner, void* data, const std::vector<int32_t>& sizes, ScalarType type);

// A str of what should be UTF-8 and, coming from a file, need not be.
nb::object text(const std::string& bytes);

void bind_budget(nb::module_& module);
void bind_session(nb::module_& module);
void bind_numeric(nb::module_& module);
void bind_coding(nb::module_& module);
void bind_scratch(nb::module_& module);

}  // namespace lerg::python

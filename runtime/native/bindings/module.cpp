// The Python module lerg_runtime._native. Signatures and documentation for readers: runtime/lerg_runtime/_native.pyi.
#include "bindings/bindings.h"

#include <nanobind/stl/string.h>

#include <new>
#include <stdexcept>

#include "kernels/loops/isa.h"
#include "kernels/loops/row_loops.h"
#include "session/engine.h"
#include "session/threads.h"

namespace lerg::python {
namespace {

// The classes live in Python, where they need no native module; they are looked up when one is raised.
nb::object error_class(const char* name) { return nb::module_::import_("lerg_runtime.errors").attr(name); }

// One line whatever it quotes: names in a program and paths can hold line feeds and what moves a terminal's cursor.
nb::object sentence(const char* what) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string line;
  for (; *what != 0; ++what) {
    const auto byte = static_cast<unsigned char>(*what);
    if (byte >= 0x20 && byte != 0x7f) line += *what;
    else line.append("\\x").append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15]);
  }
  return text(line);
}

void raise_as(const char* name, const std::exception& cause) {
  PyErr_SetObject(error_class(name).ptr(), sentence(cause.what()).ptr());
}

void raise_budget_error(const BudgetExceeded& exceeded) {
  const nb::object error = error_class("BudgetError")(
      sentence(exceeded.what()), nb::arg("items") = nb::make_tuple(nb::make_tuple(exceeded.purpose, exceeded.requested)),
      nb::arg("needed_bytes") = exceeded.needed, nb::arg("budget_bytes") = exceeded.limit);
  PyErr_SetObject(error.type().ptr(), error.ptr());
}

void translate(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const BudgetExceeded& exceeded) {
    raise_budget_error(exceeded);
  } catch (const ProgramFault& fault) {
    raise_as("BundleError", fault);
  } catch (const ExecutionFault& fault) {
    raise_as("LergRuntimeError", fault);
  } catch (const OutOfMemory& memory) {
    PyErr_SetObject(PyExc_MemoryError, sentence(memory.what()).ptr());
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::invalid_argument& rule) {
    PyErr_SetObject(PyExc_ValueError, sentence(rule.what()).ptr());
  }
}

nb::dict build_info() {
  size_t threads = 0;
  {
    const nb::gil_scoped_release unlocked;
    threads = thread_count();
  }
  nb::dict info;
  info["executorch"] = LERG_EXECUTORCH_VERSION;
  info["isa"] = isa_name();
  info["codes"] = code_loops_name();
  info["rows"] = row_loops_name();
  info["half"] = half_name();
  info["threads"] = threads;
  return info;
}

void set_threads(int64_t count) {
  if (count < 1 || count > 1024) throw std::invalid_argument("count must be from 1 to 1024");
  const nb::gil_scoped_release unlocked;
  set_thread_count(static_cast<size_t>(count));
}

}  // namespace
}  // namespace lerg::python

NB_MODULE(_native, module) {
  using namespace lerg::python;
  nb::register_exception_translator(translate);
  bind_budget(module);
  bind_session(module);
  bind_numeric(module);
  bind_coding(module);
  bind_scratch(module);
  module.def("build_info", &build_info);
  module.def("set_threads", &set_threads, nb::arg("count"));
  module.def("threads_were_set", &lerg::thread_count_was_set);
}

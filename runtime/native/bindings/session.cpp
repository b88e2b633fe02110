#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <stdexcept>
#include <utility>

#include "bindings/bindings.h"
#include "session/program.h"
#include "session/types.h"
#include "plan/signatures.h"

namespace lerg::python {
namespace {

// A loaded method, and the Python arrays that are its parameters.
class BoundMethod {
 public:
  BoundMethod(const Program& program, const std::string& name, const nb::dict& parameters, size_t scratch_bytes,
              bool trace) {
    std::map<std::string, Array> arrays;
    for (const auto& [key, value] : parameters) {
      const std::string parameter = nb::cast<std::string>(key);
      const std::string what = name + ": the parameter " + parameter;
      Argument argument = typed_argument(value, what, ScalarType::Float, /*writable=*/true);
      arrays.emplace(parameter, argument.array);
      holds_.push_back(std::move(argument.hold));
      objects_.emplace(parameter, nb::borrow(value));
    }
    method_ = program.load(name, arrays, scratch_bytes, trace);
  }

  const Method& method() const { return *method_; }

  nb::list execute(const nb::args& inputs, const nb::object& given) {
    std::vector<Argument> arguments;
    std::vector<Array> input_arrays;
    for (size_t i = 0; i < inputs.size(); ++i) {
      arguments.push_back(array_argument(inputs[i], method_->name() + ": input " + std::to_string(i)));
      input_arrays.push_back(arguments.back().array);
    }
    method_->check_inputs(input_arrays);  // before outputs are allocated
    std::vector<nb::object> objects = output_objects(given);
    std::vector<Array> outputs;
    for (size_t i = 0; i < objects.size(); ++i) {
      const std::string what = method_->name() + ": output " + std::to_string(i);
      arguments.push_back(array_argument(objects[i], what, /*writable=*/true));
      outputs.push_back(arguments.back().array);
    }
    const std::vector<Array> before = outputs;
    {
      const nb::gil_scoped_release unlocked;
      method_->execute(input_arrays, outputs);
    }
    nb::list results;
    for (size_t i = 0; i < objects.size(); ++i) {
      const bool whole = outputs[i].sizes == before[i].sizes;
      results.append(whole ? objects[i] : leading_view(objects[i], outputs[i].data, outputs[i].sizes, outputs[i].type));
    }
    return results;
  }

  nb::list specs(const std::vector<TensorSpec>& declared) const {
    nb::list list;
    for (const TensorSpec& spec : declared) {
      nb::list sizes;
      for (const int32_t size : spec.sizes) sizes.append(size);
      list.append(nb::make_tuple(type_name(spec.type), nb::tuple(sizes)));
    }
    return list;
  }

 private:
  // The array of each output: the parameter's own, the caller's, or a new one of the budget's.
  std::vector<nb::object> output_objects(const nb::object& given) const {
    const auto& routes = method_->routes();
    nb::list chosen;
    if (!given.is_none()) chosen = nb::list(given);
    if (!given.is_none() && chosen.size() != routes.size()) {
      throw std::invalid_argument(method_->name() + " has " + std::to_string(routes.size()) + " outputs, but " +
                                  std::to_string(chosen.size()) + " arrays were given for them; None leaves one open");
    }
    std::vector<nb::object> objects;
    for (size_t i = 0; i < routes.size(); ++i) {
      if (routes[i].kind == OutputRoute::Kind::kParameter) {
        objects.push_back(objects_.at(routes[i].parameter));
      } else if (!given.is_none() && !chosen[i].is_none()) {
        objects.push_back(nb::borrow(chosen[i]));
      } else {
        const TensorSpec& spec = method_->outputs()[i];
        objects.push_back(budget_array(method_->budget(), spec.sizes, spec.type, "an output of " + method_->name()));
      }
    }
    return objects;
  }

  std::vector<nb::ndarray<nb::ro>> holds_;
  std::map<std::string, nb::object> objects_;
  std::unique_ptr<Method> method_;  // last: it is gone before the memory that it points to
};

nb::list texts(const std::vector<std::string>& names) {
  nb::list list;
  for (const std::string& name : names) list.append(text(name));
  return list;
}

nb::list named_times(const std::vector<std::pair<std::string, double>>& events) {
  nb::list list;
  for (const auto& [name, milliseconds] : events) list.append(nb::make_tuple(text(name), milliseconds));
  return list;
}

}  // namespace

void bind_session(nb::module_& module) {
  nb::class_<BoundMethod>(module, "Method", "A loaded method of a program; made by Program.load.")
      .def("execute", &BoundMethod::execute, nb::arg("inputs"), nb::arg("outputs") = nb::none())
      .def_prop_ro("name", [](const BoundMethod& self) { return self.method().name(); })
      .def_prop_ro("input_specs", [](const BoundMethod& self) { return self.specs(self.method().inputs()); })
      .def_prop_ro("output_specs", [](const BoundMethod& self) { return self.specs(self.method().outputs()); })
      .def_prop_ro("arena_bytes", [](const BoundMethod& self) { return self.method().arena_bytes(); })
      .def_prop_ro("scratch_peak", [](const BoundMethod& self) { return self.method().scratch_peak(); })
      .def("events", [](const BoundMethod& self) { return named_times(self.method().events()); });

  nb::class_<Program>(module, "Program", "A program file, in memory.")
      .def(nb::new_([](const nb::object& given, const std::shared_ptr<Budget>& budget, const nb::object& data) {
             // As the system has it: a path need not be UTF-8.
             PyObject* encoded = nullptr;
             if (!PyUnicode_FSConverter(given.ptr(), &encoded)) throw nb::python_error();
             const nb::bytes bytes = nb::steal<nb::bytes>(encoded);
             const std::string path(bytes.c_str(), bytes.size());
             if (data.is_none()) return std::make_unique<Program>(path, budget);
             const Argument held = typed_argument(data, "data", ScalarType::Byte);
             return std::make_unique<Program>(path, budget, FileBytes{held.array.data, held.hold.size()});
           }),
           // Python holds the array for as long as the program, and the program for as long as its methods: a
           // reference from C++ could not be given back while the interpreter ends.
           nb::keep_alive<0, 4>(), nb::arg("path"), nb::arg("budget"), nb::arg("data") = nb::none())
      .def("methods", [](const Program& self) { return texts(self.methods()); })
      .def("arena_bytes", &Program::arena_bytes, nb::arg("method"))
      .def(
          "operators", [](const Program& self, const std::string& method) { return texts(self.operators(method)); },
          nb::arg("method"))
      .def(
          "parameters",
          [](const Program& self, const std::string& method) {
            nb::list list;
            for (const ParameterSpec& spec : self.parameters(method)) {
              nb::list sizes;
              for (const int32_t size : spec.sizes) sizes.append(size);
              list.append(nb::make_tuple(text(spec.name), type_name(spec.type), nb::tuple(sizes)));
            }
            return list;
          },
          nb::arg("method"))
      .def(
          "load",
          [](const Program& self, const std::string& method, const nb::dict& parameters, int64_t scratch_bytes,
             bool trace) {
            if (scratch_bytes < 0) throw std::invalid_argument("scratch_bytes must not be negative");
            return std::make_unique<BoundMethod>(self, method, parameters, static_cast<size_t>(scratch_bytes), trace);
          },
          nb::keep_alive<0, 1>(), nb::arg("method"), nb::arg("parameters") = nb::dict(),
          nb::arg("scratch_bytes") = 0, nb::arg("trace") = false);

  module.def("operator_signatures", [] {
    nb::dict table;
    for (const auto& [name, signature] : signatures()) table[text(name)] = text(signature.text);
    return table;
  });
}

}  // namespace lerg::python

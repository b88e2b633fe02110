#include "session/program.h"

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/data_loader/mmap_data_loader.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "session/session.h"

namespace lerg {
namespace {

using executorch::extension::BufferDataLoader;
using executorch::extension::MmapDataLoader;
using executorch::runtime::DataLoader;
using executorch::runtime::Error;
namespace et = executorch::runtime;

// Of the file's head: identifier at 4, then the extended header with the size of the flatbuffer.
constexpr size_t kHeadBytes = et::Program::kMinHeadBytes;
constexpr size_t kExtendedMagicAt = 8, kProgramSizeAt = 16, kSegmentBaseAt = 24;

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw ProgramFault(path + " is not a program that can be run: " + reason + "; copy the bundle again");
}

// The loader opens by name and takes the size from fstat: a folder, a pipe or a short file is turned away here.
void check_file(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) throw ProgramFault("cannot read " + path + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail(path, "it is not a regular file");
  if (static_cast<size_t>(status.st_size) < kHeadBytes) fail(path, "it ends within its header");
}

uint64_t field_of_head(const uint8_t* file, size_t offset) {
  uint64_t value;
  std::memcpy(&value, file + offset, sizeof(value));
  return value;
}

// Without the extended header the flatbuffer is the whole file and there are no segments.
bool is_extended(const uint8_t* file) { return std::memcmp(file + kExtendedMagicAt, "eh00", 4) == 0; }

ProgramExtent extent_of(const et::FreeableBuffer& file) {
  const auto* bytes = static_cast<const uint8_t*>(file.data());
  return {bytes, file.size(), is_extended(bytes) ? field_of_head(bytes, kSegmentBaseAt) : 0};
}

size_t flatbuffer_bytes(const ProgramExtent& extent) {
  if (!is_extended(extent.file)) return extent.bytes;
  return std::min(field_of_head(extent.file, kProgramSizeAt), extent.bytes);
}

void check_plans(const std::string& path, const Flatbuffer& buffer, const ProgramExtent& extent) {
  if (et::Program::check_header(extent.file, extent.bytes) != et::Program::HeaderStatus::CompatibleVersion) {
    fail(path, "it is not one of ExecuTorch 1");
  }
  try {
    check_program(buffer, extent);
  } catch (const ProgramFault& fault) {
    fail(path, fault.what());
  }
}

}  // namespace

ProgramImage::ProgramImage(const std::string& path) : path_(path) {
  check_file(path);
  {
    EngineScope scope;
    auto loader = MmapDataLoader::from(path.c_str(), MmapDataLoader::MlockConfig::NoMlock);
    if (!loader.ok()) throw ProgramFault("cannot read " + path + ": " + scope.describe(loader.error()));
    loader_ = std::make_unique<MmapDataLoader>(std::move(loader.get()));
  }
  verify();
}

ProgramImage::ProgramImage(const std::string& path, FileBytes file) : path_(path), file_bytes_(file) {
  if (file_bytes_.size < kHeadBytes) fail(path, "it ends within its header");
  loader_ = std::make_unique<BufferDataLoader>(file_bytes_.data, file_bytes_.size);
  verify();
}

void ProgramImage::verify() {
  const std::string& path = path_;
  EngineScope scope;
  try {
    auto file = loader_->load(0, loader_->size().get(), DataLoader::SegmentInfo(DataLoader::SegmentInfo::Type::Program));
    if (!file.ok()) throw ProgramFault("cannot read " + path + ": " + scope.describe(file.error()));
    file_.emplace(std::move(file.get()));
    const ProgramExtent extent = extent_of(*file_);
    flatbuffer_ = {extent.file, flatbuffer_bytes(extent)};
    check_plans(path, flatbuffer_, extent);
    auto program = et::Program::load(loader_.get(), et::Program::Verification::InternalConsistency);
    if (!program.ok()) fail(path, scope.describe(program.error()));
    program_.emplace(std::move(program.get()));
  } catch (const EngineAborted& aborted) {
    fail(path, std::string(aborted.what()) + ": " + scope.detail());
  }
}

bool ProgramImage::has(const std::string& method) const {
  EngineScope scope;
  for (size_t i = 0; i < program_->num_methods(); ++i) {
    const auto name = program_->get_method_name(i);
    if (name.ok() && method == name.get()) return true;
  }
  return false;
}

et::MethodMeta ProgramImage::meta(const std::string& method) const {
  if (!has(method)) throw std::invalid_argument(path_ + " has no method named " + method);
  EngineScope scope;
  auto meta = program_->method_meta(method.c_str());
  if (!meta.ok()) fail(path_, scope.describe(meta.error()));
  return meta.get();
}

MethodPlan ProgramImage::plan(const std::string& method) const {
  for (const size_t plan : read_frame(flatbuffer_).plans) {
    if (read_plan_name(flatbuffer_, plan) == method) return read_plan(flatbuffer_, plan);
  }
  throw std::invalid_argument(path_ + " has no method named " + method);
}

Program::Program(const std::string& path, std::shared_ptr<Budget> budget)
    : image_(std::make_shared<const ProgramImage>(path)), budget_(std::move(budget)) {}

Program::Program(const std::string& path, std::shared_ptr<Budget> budget, FileBytes file)
    : image_(std::make_shared<const ProgramImage>(path, file)), budget_(std::move(budget)) {}

std::vector<std::string> Program::methods() const {
  EngineScope scope;
  std::vector<std::string> names;
  for (size_t i = 0; i < image_->program().num_methods(); ++i) {
    const auto name = image_->program().get_method_name(i);
    if (!name.ok()) fail(image_->path(), scope.describe(name.error()));
    names.emplace_back(name.get());
  }
  return names;
}

std::vector<size_t> Program::arena_bytes(const std::string& method) const {
  const et::MethodMeta meta = image_->meta(method);
  EngineScope scope;
  std::vector<size_t> sizes;
  for (size_t i = 0; i < meta.num_memory_planned_buffers(); ++i) {
    const auto size = meta.memory_planned_buffer_size(i);
    if (!size.ok()) fail(image_->path(), scope.describe(size.error()));
    sizes.push_back(static_cast<size_t>(size.get()));
  }
  return sizes;
}

std::vector<std::string> Program::operators(const std::string& method) const {
  const MethodPlan plan = image_->plan(method);
  std::vector<std::string> names;
  for (const int32_t index : plan.calls) {
    const std::string& name = plan.operators[static_cast<size_t>(index)];
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::vector<ParameterSpec> Program::parameters(const std::string& method) const {
  const MethodPlan plan = image_->plan(method);
  std::vector<ParameterSpec> found;
  for (const PlannedValue& value : plan.values) {
    if (value.kind != ValueKind::kTensor) continue;
    const PlannedTensor tensor = read_tensor(image_->flatbuffer(), value.table);
    if (!tensor.external) continue;
    found.push_back({tensor.name, tensor.type, {tensor.sizes.begin(), tensor.sizes.begin() + tensor.rank}});
  }
  return found;
}

std::unique_ptr<Method> Program::load(const std::string& method, const std::map<std::string, Array>& parameters,
                                      size_t scratch_bytes, bool trace) const {
  return std::make_unique<Method>(image_, method, arena_bytes(method), budget_, parameters, scratch_bytes, trace);
}

}  // namespace lerg

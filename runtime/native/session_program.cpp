#include "session_program.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "session.h"

namespace lerg {
namespace {

using executorch::extension::MmapDataLoader;
using executorch::runtime::DataLoader;
using executorch::runtime::Error;
namespace et = executorch::runtime;

// Of the file's head: identifier at 4, then the extended header with the size of the flatbuffer.
constexpr size_t kHeadBytes = et::Program::kMinHeadBytes;
constexpr size_t kExtendedMagicAt = 8, kProgramSizeAt = 16;

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

}  // namespace

ProgramImage::ProgramImage(const std::string& path) : path_(path) {
  check_file(path);
  EngineScope scope;
  try {
    auto loader = MmapDataLoader::from(path.c_str(), MmapDataLoader::MlockConfig::NoMlock);
    if (!loader.ok()) throw ProgramFault("cannot read " + path + ": " + scope.describe(loader.error()));
    loader_ = std::make_unique<MmapDataLoader>(std::move(loader.get()));
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

MethodOperators ProgramImage::operators(const std::string& method) const {
  EngineScope scope;
  const DataLoader::SegmentInfo whole(DataLoader::SegmentInfo::Type::Program);
  auto head = loader_->load(0, kHeadBytes, whole);
  if (!head.ok()) fail(path_, scope.describe(head.error()));
  const auto* bytes = static_cast<const uint8_t*>(head->data());
  uint64_t size = loader_->size().get();
  if (std::memcmp(bytes + kExtendedMagicAt, "eh00", 4) == 0) std::memcpy(&size, bytes + kProgramSizeAt, sizeof(size));
  auto flatbuffer = loader_->load(0, size, whole);
  if (!flatbuffer.ok()) fail(path_, scope.describe(flatbuffer.error()));
  try {
    return read_operators(static_cast<const uint8_t*>(flatbuffer->data()), flatbuffer->size(), method);
  } catch (const ProgramFault& fault) {
    fail(path_, fault.what());
  }
}

Program::Program(const std::string& path, std::shared_ptr<Budget> budget)
    : image_(std::make_shared<const ProgramImage>(path)), budget_(std::move(budget)) {}

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
  const MethodOperators found = image_->operators(method);
  std::vector<std::string> names;
  for (const auto& calls : found.calls) {
    for (const int32_t index : calls) {
      const std::string& name = found.names[static_cast<size_t>(index)];
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

std::unique_ptr<Method> Program::load(const std::string& method, const std::map<std::string, Array>& parameters,
                                      size_t scratch_bytes, bool trace) const {
  return std::make_unique<Method>(image_, method, arena_bytes(method), budget_, parameters, scratch_bytes, trace);
}

}  // namespace lerg

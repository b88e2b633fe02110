// libFuzzer's target: a program file is loaded and every method of it run, as the runtime does.
//
// Anything but a result or one of the session's exceptions is a finding.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <random>

#include "program_fields.h"
#include "session/session.h"
#include "session/types.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

constexpr size_t kBudget = 8 << 20;
constexpr size_t kLargestArray = 1 << 20;
constexpr int kCodes = 6, kDim = 8;  // of the seeds

const std::string& file_path() {
  static const std::string path = "/dev/shm/lerg-fuzz-" + std::to_string(getpid()) + ".pte";
  return path;
}

void write_file(const uint8_t* data, size_t size) {
  static const bool removed_at_exit = std::atexit([] { unlink(file_path().c_str()); }) == 0;
  static_cast<void>(removed_at_exit);
  unlink(file_path().c_str());
  const int file = open(file_path().c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (file < 0 || write(file, data, size) != static_cast<ssize_t>(size) || close(file) != 0) {
    std::perror(file_path().c_str());
    std::exit(1);
  }
}

// Memory of an argument with values that are in range for ids, slots and codes alike.
std::vector<uint8_t> filled(const lerg::TensorSpec& spec) {
  std::vector<uint8_t> bytes(spec.bytes);
  const bool floats = spec.type == lerg::ScalarType::Float && spec.bytes % 4 == 0;
  for (size_t i = 0; floats && i < spec.bytes / 4; ++i) {
    const float value = 0.25f * static_cast<float>(i % 7);
    std::memcpy(bytes.data() + 4 * i, &value, 4);
  }
  return bytes;
}

void run(const lerg::Program& program, const std::string& name, int steps) {
  std::vector<float> codebook(kCodes * kDim, 0.5f), step(static_cast<size_t>(steps), 0.1f);
  const std::map<std::string, lerg::Array> parameters = {
      {"codebook", {lerg::ScalarType::Float, {kCodes, kDim}, codebook.data()}},
      {"step", {lerg::ScalarType::Float, {steps}, step.data()}},
  };
  const auto method = program.load(name, parameters, 0, /*trace=*/false);
  std::vector<std::vector<uint8_t>> memory;
  std::vector<lerg::Array> inputs, outputs;
  for (const auto* specs : {&method->inputs(), &method->outputs()}) {
    for (const lerg::TensorSpec& spec : *specs) {
      if (spec.bytes > kLargestArray) return;
      memory.push_back(filled(spec));
      (specs == &method->inputs() ? inputs : outputs).push_back({spec.type, spec.sizes, memory.back().data()});
    }
  }
  method->execute(inputs, outputs);
  for (size_t i = 0; i < inputs.size(); ++i) {  // and smaller, where the program allows it
    if (method->inputs()[i].dynamic && !inputs[i].sizes.empty() && inputs[i].sizes[0] > 2) inputs[i].sizes[0] = 2;
  }
  for (size_t i = 0; i < outputs.size(); ++i) outputs[i].sizes = method->outputs()[i].sizes;
  method->execute(inputs, outputs);
}

uint64_t number(std::mt19937& random, uint64_t near) {
  static constexpr uint64_t kEdges[] = {0,   1,   2,    3,     4,     6,          8,          16,         63,
                                        64,  127, 128,  255,   256,   4095,       65535,      65536,      1 << 20,
                                        ~0u, ~0ull, 1u << 31, (1u << 31) - 1, 1ull << 62, 1ull << 63};
  switch (random() % 4) {
    case 0: return near + random() % 9 - 4;
    case 1: return kEdges[random() % (sizeof(kEdges) / sizeof(*kEdges))];
    case 2: return random() % 32;
    default: return near ^ (1ull << random() % 16);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  write_file(data, size);
  try {
    const lerg::Program program(file_path(), std::make_shared<lerg::Budget>(kBudget));
    for (const std::string& name : program.methods()) {
      for (const int steps : {1, kCodes}) {
        try {
          run(program, name, steps);
        } catch (const lerg::ProgramFault&) {
        } catch (const lerg::ExecutionFault&) {
        } catch (const lerg::BudgetExceeded&) {
        } catch (const std::invalid_argument&) {
        } catch (const std::length_error&) {
        }
      }
    }
  } catch (const lerg::ProgramFault&) {
  } catch (const std::invalid_argument&) {
  }
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  static const fuzz::Schema schema(LERG_SCHEMA);
  std::mt19937 random(seed);
  if (random() % 16 == 0) return LLVMFuzzerMutate(data, size, max_size);
  const std::vector<fuzz::Place> places = schema.places(data, size);
  if (places.empty()) return LLVMFuzzerMutate(data, size, max_size);
  for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
    const fuzz::Place& place = places[random() % places.size()];
    // An offset leads where another one of the file leads: a value, a list or a table of elsewhere.
    if (place.kind == fuzz::Place::kOffset) {
      const fuzz::Place& other = places[random() % places.size()];
      uint32_t there;
      if (other.kind != fuzz::Place::kOffset) continue;
      std::memcpy(&there, data + other.at, 4);
      if (other.at + there <= place.at) continue;
      const uint32_t offset = static_cast<uint32_t>(other.at + there - place.at);
      std::memcpy(data + place.at, &offset, 4);
      continue;
    }
    uint64_t value = 0;
    std::memcpy(&value, data + place.at, static_cast<size_t>(place.width));
    value = number(random, value);
    std::memcpy(data + place.at, &value, static_cast<size_t>(place.width));
  }
  return size;
}

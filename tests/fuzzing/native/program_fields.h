// The scalars of a program's flatbuffer, found by its schema (tests/fuzzing/schema.txt), to be changed in place.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace fuzz {

// One number of the file. `offsets` are those of flatbuffers: to a table, a vector's elements' tables, a union's value.
struct Place {
  enum Kind { kScalar, kLength, kOffset } kind;
  size_t at;
  int width;
};

class Schema {
 public:
  explicit Schema(const char* path) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string what, name, entry;
      words >> what >> name;
      while (words >> entry) {
        if (what == "union") unions_[name].push_back(entry);
        if (what != "table") continue;
        const size_t colon = entry.find(':');
        tables_[name].push_back(entry.substr(colon + 1));
      }
    }
    if (tables_.count("Program") == 0) throw std::runtime_error(std::string("no schema in ") + path);
  }

  // Every place of the program that lies within the data; a broken table ends the search there.
  std::vector<Place> places(const uint8_t* data, size_t size) const {
    Walk walk{data, size, {}};
    table(walk, 0, "Program", 0);
    return std::move(walk.found);
  }

 private:
  struct Walk {
    const uint8_t* data;
    size_t size;
    std::vector<Place> found;

    bool holds(size_t at, size_t bytes) const { return at <= size && bytes <= size - at; }

    template <typename T>
    T at(size_t position) const {
      T value;
      std::memcpy(&value, data + position, sizeof(T));
      return value;
    }
  };

  static constexpr size_t kMost = 20000;
  static constexpr int kDeepest = 12;

  static int width_of(const std::string& kind) {
    static const std::map<std::string, int> widths = {{"u8", 1},  {"i8", 1},  {"i32", 4}, {"u32", 4},
                                                      {"i64", 8}, {"u64", 8}, {"f64", 8}};
    const auto found = widths.find(kind);
    return found == widths.end() ? 0 : found->second;
  }

  void table(Walk& walk, size_t hole, const std::string& kind, int depth) const {
    const auto fields = tables_.find(kind);
    if (fields == tables_.end() || depth > kDeepest || walk.found.size() > kMost || !walk.holds(hole, 4)) return;
    const size_t start = hole + walk.at<uint32_t>(hole);
    if (!walk.holds(start, 4)) return;
    const int64_t vtable = static_cast<int64_t>(start) - walk.at<int32_t>(start);
    if (vtable < 0 || !walk.holds(static_cast<size_t>(vtable), 4)) return;
    const size_t entries = walk.at<uint16_t>(static_cast<size_t>(vtable));
    size_t number = 0;
    const auto field_at = [&](size_t which) -> size_t {
      const size_t entry = static_cast<size_t>(vtable) + 4 + 2 * which;
      if (6 + 2 * which > entries || !walk.holds(entry, 2) || walk.at<uint16_t>(entry) == 0) return 0;
      return start + walk.at<uint16_t>(entry);
    };
    for (const std::string& of : fields->second) {
      const size_t at = field_at(number);
      if (const auto members = unions_.find(of); members != unions_.end()) {
        const size_t value = field_at(number + 1);
        number += 2;
        if (at == 0 || value == 0 || !walk.holds(at, 1) || !walk.holds(value, 4)) continue;
        walk.found.push_back({Place::kScalar, at, 1});
        walk.found.push_back({Place::kOffset, value, 4});
        const uint8_t member = walk.at<uint8_t>(at);
        if (member >= 1 && member <= members->second.size()) table(walk, value, members->second[member - 1], depth + 1);
        continue;
      }
      ++number;
      if (at != 0) field(walk, at, of, depth);
    }
  }

  void field(Walk& walk, size_t at, const std::string& kind, int depth) const {
    if (const int width = width_of(kind)) {
      if (walk.holds(at, static_cast<size_t>(width))) walk.found.push_back({Place::kScalar, at, width});
      return;
    }
    if (!walk.holds(at, 4)) return;
    walk.found.push_back({Place::kOffset, at, 4});
    if (kind[0] != '[' && kind != "str") return table(walk, at, kind, depth + 1);
    const size_t start = at + walk.at<uint32_t>(at);
    if (!walk.holds(start, 4)) return;
    walk.found.push_back({Place::kLength, start, 4});
    const size_t count = walk.at<uint32_t>(start);
    const std::string of = kind == "str" ? "u8" : kind.substr(1, kind.size() - 2);
    const int width = width_of(of) ? width_of(of) : 4;
    for (size_t i = 0; i < count && walk.found.size() < kMost; ++i) {
      const size_t element = start + 4 + i * static_cast<size_t>(width);
      if (!walk.holds(element, static_cast<size_t>(width))) return;
      walk.found.push_back({width_of(of) ? Place::kScalar : Place::kOffset, element, width});
      if (!width_of(of)) table(walk, element, of, depth + 1);
    }
  }

  std::map<std::string, std::vector<std::string>> tables_;
  std::map<std::string, std::vector<std::string>> unions_;
};

}  // namespace fuzz

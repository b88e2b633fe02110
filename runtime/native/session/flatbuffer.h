// Reading tables of a flatbuffer by field number, every offset checked: ProgramFault where one leaves the buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "session/engine.h"

namespace lerg {

struct Flatbuffer {
  const uint8_t* data;
  size_t size;

  template <typename T>
  T at(size_t offset) const {
    if (offset > size || size - offset < sizeof(T)) leave();
    T value;
    std::memcpy(&value, data + offset, sizeof(T));
    return value;
  }

  // Position of a table's field, to be read through at; nothing where the table does not have it.
  std::optional<size_t> field(size_t table, int number) const {
    const int64_t vtable = static_cast<int64_t>(table) - at<int32_t>(table);
    if (vtable < 0) leave();
    const size_t entry = 4 + 2 * static_cast<size_t>(number);
    if (entry + 2 > at<uint16_t>(static_cast<size_t>(vtable))) return std::nullopt;
    const uint16_t offset = at<uint16_t>(static_cast<size_t>(vtable) + entry);
    if (offset == 0) return std::nullopt;
    return table + offset;
  }

  // A scalar field, or the schema's default, which is not stored.
  template <typename T>
  T scalar(size_t table, int number, T otherwise = 0) const {
    const auto where = field(table, number);
    return where ? at<T>(*where) : otherwise;
  }

  size_t follow(size_t position) const { return position + at<uint32_t>(position); }

  std::optional<size_t> table(size_t parent, int number) const {
    const auto where = field(parent, number);
    if (!where) return std::nullopt;
    return follow(*where);
  }

  template <typename T>
  std::vector<T> scalars(size_t parent, int number) const {
    const auto [start, count] = vector(parent, number, sizeof(T));
    std::vector<T> values;
    values.reserve(count);
    for (size_t i = 0; i < count; ++i) values.push_back(at<T>(start + i * sizeof(T)));
    return values;
  }

  // Elements of a vector, 0 where the field is absent.
  size_t count(size_t parent, int number) const { return vector(parent, number, 1).second; }

  // Positions of the tables in a vector of tables.
  std::vector<size_t> tables(size_t parent, int number, size_t most) const {
    const auto [start, count] = vector(parent, number, sizeof(uint32_t));
    if (count > most) throw ProgramFault("it has more of something than any program");
    std::vector<size_t> positions;
    positions.reserve(count);
    for (size_t i = 0; i < count; ++i) positions.push_back(follow(start + i * sizeof(uint32_t)));
    return positions;
  }

  std::string text(size_t parent, int number) const {
    const auto [start, length] = vector(parent, number, 1);
    return std::string(reinterpret_cast<const char*>(data + start), length);
  }

 private:
  [[noreturn]] static void leave() { throw ProgramFault("its tables leave the file"); }

  // Start and length of a vector; empty where the field is absent.
  std::pair<size_t, size_t> vector(size_t parent, int number, size_t element) const {
    const auto start = table(parent, number);
    if (!start) return {0, 0};
    const size_t count = at<uint32_t>(*start);
    if (count > (size - *start) / element) leave();
    return {*start + sizeof(uint32_t), count};
  }
};

}  // namespace lerg

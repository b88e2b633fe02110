#include <stdexcept>

#include "bindings/bindings.h"
#include "kernels/coding/array_code.h"
#include "kernels/graph/adjacency.h"
#include "kernels/graph/pair_code.h"
#include "session/types.h"
#include "writing/array_writer.h"
#include "writing/pair_writer.h"

namespace lerg::python {
namespace {

void require(bool holds, const std::string& rule) {
  if (!holds) throw std::invalid_argument(rule);
}

nb::bytes as_bytes(const std::vector<uint8_t>& coded) { return nb::bytes(coded.data(), coded.size()); }

int width_of(const Argument& argument) { return static_cast<int>(find_element_type(argument.array.type)->bytes); }

int16_t* text_odds(const Argument& argument) {
  require(argument.hold.size() == static_cast<size_t>(kTextOdds),
          "odds must have " + std::to_string(kTextOdds) + " elements");
  return static_cast<int16_t*>(argument.array.data);
}

nb::bytes bound_encode_array(nb::handle array, int coding) {
  const Argument given = array_argument(array, "array");
  require(is_array_coding(coding, width_of(given)), "coding must be 1, 2 or, of single bytes, 3");
  std::vector<int16_t> odds(coding == kText ? kTextOdds : 0);
  std::vector<uint8_t> coded;
  {
    const nb::gil_scoped_release unlocked;
    coded = encode_array(static_cast<const uint8_t*>(given.array.data), given.hold.size(), width_of(given), coding,
                         odds.data());
  }
  return as_bytes(coded);
}

bool bound_decode_array(nb::handle coded, int coding, nb::handle out, nb::handle odds) {
  const Argument bytes = typed_argument(coded, "coded", ScalarType::Byte);
  const Argument result = array_argument(out, "out", true);
  require(is_array_coding(coding, width_of(result)), "coding must be 1, 2 or, of single bytes, 3");
  const bool text = coding == kText;
  const Argument work = text ? typed_argument(odds, "odds", ScalarType::Short, true) : Argument{};
  int16_t* odds_there = text ? text_odds(work) : nullptr;
  const nb::gil_scoped_release unlocked;
  return decode_array(static_cast<const uint8_t*>(bytes.array.data), bytes.hold.size(),
                      static_cast<uint8_t*>(result.array.data), result.hold.size(), width_of(result), coding,
                      odds_there);
}

nb::bytes bound_encode_pairs(nb::handle starts, nb::handle columns, int64_t column_count) {
  const Argument rows = typed_argument(starts, "starts", ScalarType::Int);
  const Argument pairs = typed_argument(columns, "columns", ScalarType::Int);
  const auto* start = static_cast<const int32_t*>(rows.array.data);
  const auto* column = static_cast<const int32_t*>(pairs.array.data);
  const int64_t row_count = static_cast<int64_t>(rows.hold.size()) - 1;
  require(row_count >= 0 && start[0] == 0 && start[row_count] == static_cast<int64_t>(pairs.hold.size()),
          "starts must begin with 0 and end with the number of columns");
  require(row_count < (int64_t(1) << 30), "starts must be of fewer than 2^30 rows");
  for (int64_t row = 0; row < row_count; ++row) {
    require(start[row] <= start[row + 1], "starts must not fall");
    for (int32_t e = start[row]; e < start[row + 1]; ++e)
      require(column[e] >= (e > start[row] ? column[e - 1] + 1 : 0) && column[e] < column_count,
              "columns must ascend in every row, from 0 to column_count exclusive");
  }
  std::vector<uint8_t> coded;
  {
    const nb::gil_scoped_release unlocked;
    coded = encode_pairs(start, row_count, column, column_count);
  }
  return as_bytes(coded);
}

PairCode checked_code(const Argument& bytes) {
  PairCode code;
  const char* problem = read_pair_code(static_cast<const uint8_t*>(bytes.array.data), bytes.hold.size(), &code);
  require(problem == nullptr, problem == nullptr ? "" : problem);
  return code;
}

nb::tuple bound_pair_sizes(nb::handle coded, int64_t bytes) {
  const Argument start = typed_argument(coded, "coded", ScalarType::Byte);
  PairCode code;
  const auto* data = static_cast<const uint8_t*>(start.array.data);
  const char* problem = read_pair_sizes(data, start.hold.size(), static_cast<size_t>(bytes), &code);
  require(problem == nullptr, problem == nullptr ? "" : problem);
  Scratch sizes;
  PairScratch().lay_out(code, sizes);
  return nb::make_tuple(code.rows, code.columns, code.pairs, sizes.bytes());
}

void bound_decode_pairs(nb::handle coded, nb::handle starts, nb::handle columns, nb::handle scratch) {
  const Argument bytes = typed_argument(coded, "coded", ScalarType::Byte);
  const Argument rows = typed_argument(starts, "starts", ScalarType::Int, true);
  const Argument pairs = array_argument(columns, "columns", true);
  const Argument work = typed_argument(scratch, "scratch", ScalarType::Byte, true);
  const PairCode code = checked_code(bytes);
  const ScalarType type = pairs.array.type;
  require(type == ScalarType::Byte || type == ScalarType::UInt16 || type == ScalarType::Int,
          "columns must be uint8, uint16 or int32");
  const int width = width_of(pairs);
  require(width == 4 || code.columns <= (int64_t(1) << (8 * width)), "columns are more than their type holds");
  require(static_cast<int64_t>(rows.hold.size()) == code.rows + 1 &&
              static_cast<int64_t>(pairs.hold.size()) == code.pairs,
          "starts and columns must be as large as the code says");
  Scratch sizes;
  PairScratch pieces;
  pieces.lay_out(code, sizes);
  require(work.hold.size() >= sizes.bytes() && reinterpret_cast<uintptr_t>(work.array.data) % Scratch::kAlignment == 0,
          "scratch must have as many bytes as pair_sizes says, from a multiple of 64 on");
  Scratch there(work.array.data);
  pieces.lay_out(code, there);
  const char* problem = nullptr;
  {
    const nb::gil_scoped_release unlocked;
    problem = decode_pairs(code, pieces, static_cast<int32_t*>(rows.array.data), pairs.array.data, width);
  }
  require(problem == nullptr, problem == nullptr ? "" : problem);
}

bool index_of(const Argument& argument, Integers* integers) {
  integers->data = argument.array.data;
  switch (argument.array.type) {
    case ScalarType::Byte: return integers->type = kUInt8, true;
    case ScalarType::UInt16: return integers->type = kUInt16, true;
    case ScalarType::Int: return integers->type = kInt32, true;
    default: return false;
  }
}

Rows rows_of(const Argument& starts, const Argument& columns) {
  Rows rows;
  rows.starts = static_cast<const int32_t*>(starts.array.data);
  rows.count = static_cast<int64_t>(starts.hold.size()) - 1;
  require(index_of(columns, &rows.columns), "columns must be uint8, uint16 or int32");
  require(rows.count >= 0 && rows.starts[0] == 0, "starts must begin with 0");
  for (int64_t row = 0; row < rows.count; ++row) require(rows.starts[row] <= rows.starts[row + 1], "starts must not fall");
  require(rows.starts[rows.count] == static_cast<int64_t>(columns.hold.size()), "starts must end with the columns");
  return rows;
}

bool bound_induce(nb::handle starts, nb::handle columns, nb::handle user_slots, nb::handle item_slots,
                  int64_t retained_items, nb::handle changed_starts, nb::handle changed_columns, nb::handle indptr,
                  nb::handle indices) {
  const Argument pair_starts = typed_argument(starts, "starts", ScalarType::Int), pairs = array_argument(columns, "columns");
  const Argument users = typed_argument(user_slots, "user_slots", ScalarType::Int);
  const Argument items = typed_argument(item_slots, "item_slots", ScalarType::Int);
  const Argument other_starts = typed_argument(changed_starts, "changed_starts", ScalarType::Int);
  const Argument others = array_argument(changed_columns, "changed_columns");
  const Argument rows = typed_argument(indptr, "indptr", ScalarType::Int, true);
  const Argument edges = array_argument(indices, "indices", true);
  const Rows touched = rows_of(pair_starts, pairs), changed = rows_of(other_starts, others);
  Integers written;
  require(index_of(edges, &written), "indices must be uint8, uint16 or int32");
  require(static_cast<int64_t>(users.hold.size()) == touched.count && rows.hold.size() == other_starts.hold.size(),
          "user_slots must have a slot for each row, and indptr as many elements as changed_starts");
  const nb::gil_scoped_release unlocked;
  return induce(touched, static_cast<const int32_t*>(users.array.data), static_cast<const int32_t*>(items.array.data),
                static_cast<int64_t>(items.hold.size()), changed.count, retained_items, changed,
                static_cast<int32_t*>(rows.array.data), written, static_cast<int64_t>(edges.hold.size()));
}

}  // namespace

void bind_coding(nb::module_& module) {
  module.attr("TEXT_ODDS") = kTextOdds;
  module.def("encode_array", &bound_encode_array, nb::arg("array"), nb::arg("coding"));
  module.def("decode_array", &bound_decode_array, nb::arg("coded"), nb::arg("coding"), nb::arg("out"),
             nb::arg("odds").none());
  module.def("encode_pairs", &bound_encode_pairs, nb::arg("starts"), nb::arg("columns"), nb::arg("column_count"));
  module.def("pair_sizes", &bound_pair_sizes, nb::arg("start"), nb::arg("bytes"));
  module.def("decode_pairs", &bound_decode_pairs, nb::arg("coded"), nb::arg("starts"), nb::arg("columns"),
             nb::arg("scratch"));
  module.def("induce", &bound_induce, nb::arg("starts"), nb::arg("columns"), nb::arg("user_slots"),
             nb::arg("item_slots"), nb::arg("retained_items"), nb::arg("changed_starts"), nb::arg("changed_columns"),
             nb::arg("indptr"), nb::arg("indices"));
}

}  // namespace lerg::python

#include "kernels/folding/folded.h"

#include <type_traits>

namespace lerg {

const void* Entries::codes_of(int64_t row, int32_t first) const {
  return with_type(codes, [&](const auto* all) -> const void* { return all + row * per_row + first; });
}

bool Entries::good_codes(int64_t row, int64_t count) const {
  return with_type(codes, [&](const auto* all) {
    using Code = std::remove_cv_t<std::remove_reference_t<decltype(*all)>>;
    const auto* own = all + row * per_row;
    Code falls = 0;  // as wide as the codes, so that the loop takes whole vectors of them
    for (int32_t j = 1; j < per_row; ++j) falls |= static_cast<Code>(own[j] < own[j - 1]);
    return per_row == 0 || (falls == 0 && int64_t(own[0]) >= 0 && int64_t(own[per_row - 1]) < count);
  });
}

const char* read_entries(const EntryTensors& tensors, Entries* entries) {
  if (tensors.codes.dim() != 2 || !executorch::runtime::tensor_is_default_dim_order(tensors.codes) ||
      !index_type(tensors.codes, &entries->codes.type))
    return "codes must be a matrix of uint8, uint16 or int32";
  const int64_t rows = tensors.codes.size(0), per_row = tensors.codes.size(1);
  if (!is_array(tensors.weights, ScalarType::Char, 2) || tensors.weights.size(0) != rows ||
      tensors.weights.size(1) != per_row)
    return "weights must be int8, one for each code";
  if (!is_array(tensors.scales, ScalarType::Byte, 1) || tensors.scales.size(0) != rows)
    return "scales must be uint8, one for each row";
  if (!is_floats(tensors.scale_table, 1) || tensors.scale_table.size(0) != 256)
    return "scale_table must be 256 float32";
  if (tensors.users < 0 || tensors.users > rows) return "users must lie in [0, rows]";
  entries->codes.data = tensors.codes.const_data_ptr();
  entries->weights = tensors.weights.const_data_ptr<int8_t>();
  entries->scales = tensors.scales.const_data_ptr<uint8_t>();
  entries->scale_table = tensors.scale_table.const_data_ptr<float>();
  entries->rows = rows;
  entries->users = tensors.users;
  entries->per_row = static_cast<int32_t>(per_row);
  return nullptr;
}

}  // namespace lerg

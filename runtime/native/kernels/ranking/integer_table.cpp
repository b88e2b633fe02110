#include "kernels/ranking/integer_table.h"

#include <atomic>
#include <cstring>
#include <limits>

#include "kernels/parallel.h"

namespace lerg {
namespace {

constexpr int kTableParts = 32;

int64_t padded(int64_t dim) { return (dim + kFoldColumns - 1) / kFoldColumns * kFoldColumns; }

}  // namespace

Steps::Steps(const Tensor& step)
    : each(step.size(0) > 1 ? step.const_data_ptr<float>() : nullptr),
      all(step.size(0) > 1 ? 1.0f : step.const_data_ptr<float>()[0]) {}

// Only rows of one step are summed as bytes, which some instruction sets take as unsigned.
IntegerTable::IntegerTable(int64_t rows, int64_t dim, int64_t bits, const Steps& steps)
    : type_(bits == 16 ? kInt16 : kInt8), rows_(rows), dim_(dim), stride_(padded(dim)), bits_(bits), steps_(steps),
      flip_(bits != 16 && steps.each == nullptr ? row_loops().flip : 0) {}

template <class Body>
void IntegerTable::fill(const Body& body) const {
  run_parts(kTableParts, rows_ * dim_, [&](int part) {
    for (int64_t row = rows_ * part / kTableParts; row < rows_ * (part + 1) / kTableParts; ++row) {
      uint8_t* own = cells_ + row * stride_ * cell_bytes();
      std::memset(own + dim_ * cell_bytes(), 0, (stride_ - dim_) * cell_bytes());
      body(row, own);
    }
  });
}

float IntegerTable::quantise(const float* weights) const {
  const float highest = static_cast<float>((int64_t(1) << (bits_ - 1)) - 1);
  std::atomic<bool> good{true};
  fill([&](int64_t row, uint8_t* own) {
    if (!row_loops().quantise[type_]({weights + row * dim_, dim_, steps_.of(row), -highest - 1.0f, highest, own, flip_}))
      good.store(false, std::memory_order_relaxed);
  });
  return good.load() ? 1.0f : std::numeric_limits<float>::quiet_NaN();
}

void IntegerTable::unpack(const Tensor& packed) const {
  const auto* bytes = static_cast<const uint8_t*>(packed.const_data_ptr());
  fill([&](int64_t row, uint8_t* own) {
    if (bits_ == 16) {
      std::memcpy(own, bytes + row * dim_ * 2, dim_ * 2);
    } else if (bits_ == 8) {
      for (int64_t j = 0; j < dim_; ++j) own[j] = bytes[row * dim_ + j] ^ flip_;
    } else {
      for (int64_t j = 0; j < dim_ / 2; ++j) {
        const uint8_t pair = bytes[row * (dim_ / 2) + j];
        own[2 * j] = static_cast<uint8_t>(((pair & 15) ^ 8) - 8) ^ flip_;
        own[2 * j + 1] = static_cast<uint8_t>(((pair >> 4) ^ 8) - 8) ^ flip_;
      }
    }
  });
}

}  // namespace lerg

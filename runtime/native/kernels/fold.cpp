// lerg::folded_rows, lerg::folded_rows_grad and lerg::folded_table: rows of the folded propagation matrix times the
// quantised codebook, and the adjoint.
//
// Forward, rows are shared out; backward, blocks of columns are, and each adds up its rows in order: neither result
// depends on the number of threads.
#include <executorch/extension/kernel_util/make_boxed_from_unboxed_functor.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "folded.h"
#include "parallel.h"
#include "scratch.h"

namespace lerg {
namespace {

constexpr int kFoldParts = 64;
constexpr int64_t kMostColumns = 4096;

int64_t padded(int64_t dim) { return (dim + kFoldColumns - 1) / kFoldColumns * kFoldColumns; }

// The codebook as integers, rows padded with zeros.
struct IntegerTable {
  CellType type;
  int64_t rows, dim, stride;
  uint8_t* cells = nullptr;

  IntegerTable(int64_t rows, int64_t dim, int64_t bits)
      : type(bits == 16 ? kInt16 : kInt8), rows(rows), dim(dim), stride(padded(dim)) {}

  int64_t cell_bytes() const { return type == kInt16 ? 2 : 1; }
  void lay_out(Scratch& scratch) { cells = scratch.take<uint8_t>(rows * stride * cell_bytes()); }
  uint8_t* row(int64_t index) const { return cells + index * stride * cell_bytes(); }

  template <class Body>
  void fill(const Body& body) const {
    run_parts(kFoldParts, rows * dim, [&](int part) {
      for (int64_t index = rows * part / kFoldParts; index < rows * (part + 1) / kFoldParts; ++index) {
        std::memset(row(index) + dim * cell_bytes(), 0, (stride - dim) * cell_bytes());
        body(index, row(index));
      }
    });
  }
};

// Steps of the table's rows: one for all goes into the factor of a result, others into the sum.
struct Steps {
  const float* each;
  float all;
  explicit Steps(const Tensor& step)
      : each(step.size(0) > 1 ? step.const_data_ptr<float>() : nullptr),
        all(step.size(0) > 1 ? 1.0f : step.const_data_ptr<float>()[0]) {}
  float of(int64_t row) const { return each == nullptr ? all : each[row]; }
};

// Quantises a latent codebook. Returns 1, or NaN when a weight is none: integers cannot say so.
float quantise_into(const IntegerTable& table, const float* weights, const Steps& steps, int64_t bits) {
  const float highest = static_cast<float>((int64_t(1) << (bits - 1)) - 1);
  std::atomic<bool> good{true};
  table.fill([&](int64_t row, uint8_t* cells) {
    if (!folded_loops().quantise[table.type](
            {weights + row * table.dim, table.dim, steps.of(row), -highest - 1.0f, highest, cells}))
      good.store(false, std::memory_order_relaxed);
  });
  return good.load() ? 1.0f : std::numeric_limits<float>::quiet_NaN();
}

void unpack_into(const IntegerTable& table, const Tensor& packed, int64_t bits) {
  const auto* bytes = static_cast<const uint8_t*>(packed.const_data_ptr());
  table.fill([&](int64_t row, uint8_t* cells) {
    if (bits != 4) {
      std::memcpy(cells, bytes + row * table.dim * table.cell_bytes(), table.dim * table.cell_bytes());
      return;
    }
    const uint8_t* own = bytes + row * (table.dim / 2);
    for (int64_t j = 0; j < table.dim / 2; ++j) {
      cells[2 * j] = static_cast<uint8_t>(((own[j] & 15) ^ 8) - 8);
      cells[2 * j + 1] = static_cast<uint8_t>(((own[j] >> 4) ^ 8) - 8);
    }
  });
}

// One row of entries times the table, `dim` floats to `out`.
void fold_row(const Entries& entries, int64_t row, const IntegerTable& table, const Steps& steps, float factor,
              float* out) {
  alignas(64) float wide[kMostColumns];
  const bool whole = table.stride == table.dim;
  folded_loops().fold[entries.codes.type][table.type]({entries.codes_of(row), entries.weights_of(row), entries.per_row,
                                                       table.cells, table.stride, table.stride, steps.each,
                                                       factor * steps.all * entries.scale_of(row),
                                                       whole ? out : wide});
  if (!whole) std::memcpy(out, wide, table.dim * sizeof(float));
}

// The slots of a batch of triples, one vector after the other.
struct Triples {
  const int64_t* slots[3];
  int64_t batch;

  int side(int64_t place) const { return place < batch ? 0 : 1; }
  int64_t slot(int64_t place) const { return slots[place / batch][place % batch]; }
  int64_t count() const { return 3 * batch; }
};

const char* read_triples(const Tensor& users, const Tensor& positives, const Tensor& negatives, Triples* triples) {
  const Tensor* all[3] = {&users, &positives, &negatives};
  for (int k = 0; k < 3; ++k) {
    if (!is_array(*all[k], ScalarType::Long, 1) || all[k]->size(0) != users.size(0))
      return "users, positives and negatives must be int64 vectors of one length";
    triples->slots[k] = all[k]->const_data_ptr<int64_t>();
  }
  triples->batch = users.size(0);
  return nullptr;
}

// Whether every slot is one, and every row that it leads to has its codes below `codes`.
bool good_slots(const Triples& triples, const Entries& entries, const int64_t (&limit)[2], int64_t codes) {
  std::atomic<bool> good{true};
  run_parts(kFoldParts, triples.count() * entries.per_row, [&](int part) {
    for (int64_t i = triples.count() * part / kFoldParts; i < triples.count() * (part + 1) / kFoldParts; ++i) {
      const int64_t slot = triples.slot(i);
      const bool inside = slot >= 0 && slot < limit[triples.side(i)];
      const int64_t row = inside ? row_of_slot(entries, triples.side(i), slot, 0) : -1;
      if (!inside || (row >= 0 && !entries.codes_below(row, codes))) good.store(false, std::memory_order_relaxed);
    }
  });
  return good.load();
}

bool good_bits(int64_t bits) { return bits == 4 || bits == 8 || bits == 16; }

const char* check_placeholders(const Tensor& placeholders, int64_t dim, int64_t user_placeholders) {
  if (!is_floats(placeholders, 2) || placeholders.size(1) != dim)
    return "placeholders must be a float32 matrix as wide as the codebook";
  if (user_placeholders < 0 || user_placeholders > placeholders.size(0))
    return "user_placeholders must lie in [0, placeholders]";
  return dim > kMostColumns ? "a row may have 4096 columns" : nullptr;
}

}  // namespace

Tensor& folded_rows_out(KernelRuntimeContext& context, const Tensor& codebook, const Tensor& step, const Tensor& codes,
                        const Tensor& weights, const Tensor& scales, const Tensor& scale_table,
                        const Tensor& placeholders, const Tensor& users, const Tensor& positives,
                        const Tensor& negatives, int64_t retained_users, int64_t user_placeholders, int64_t bits,
                        Tensor& out) {
  LERG_CHECK(context, is_floats(codebook, 2), out, "codebook must be a float32 matrix");
  LERG_CHECK(context, good_bits(bits), out, "bits must be 4, 8 or 16");
  LERG_CHECK(context, is_floats(step, 1) && (step.size(0) == 1 || step.size(0) == codebook.size(0)), out,
             "step must be float32, one or one a codebook row");
  Entries entries;
  Triples triples;
  const char* problem = read_entries({codes, weights, scales, scale_table, retained_users}, &entries);
  if (problem == nullptr) problem = check_placeholders(placeholders, codebook.size(1), user_placeholders);
  if (problem == nullptr) problem = read_triples(users, positives, negatives, &triples);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  const int64_t limit[2] = {entries.users + user_placeholders,
                            entries.rows - entries.users + placeholders.size(0) - user_placeholders};
  LERG_CHECK(context, good_slots(triples, entries, limit, codebook.size(0)), out,
             "a slot lies outside [0, retained + placeholders), or a code outside [0, codes)");
  const int64_t dim = codebook.size(1);
  LERG_CHECK(context, resize(out, {triples.count(), dim}), out, "out cannot hold the rows");
  IntegerTable table(codebook.size(0), dim, bits);
  if (!allocate_scratch(context, [&](Scratch& scratch) { table.lay_out(scratch); })) return out;
  const Steps steps(step);
  const float factor = quantise_into(table, codebook.const_data_ptr<float>(), steps, bits);
  const float* rest = placeholders.const_data_ptr<float>();
  float* rows = out.mutable_data_ptr<float>();
  const int64_t count = triples.count();
  run_parts(kFoldParts, count * entries.per_row * dim, [&](int part) {
    for (int64_t i = count * part / kFoldParts; i < count * (part + 1) / kFoldParts; ++i) {
      const int64_t row = row_of_slot(entries, triples.side(i), triples.slot(i), user_placeholders);
      if (row >= 0) fold_row(entries, row, table, steps, factor, rows + i * dim);
      else std::memcpy(rows + i * dim, rest + (-1 - row) * dim, dim * sizeof(float));
    }
  });
  return out;
}

Tensor& folded_rows_grad_out(KernelRuntimeContext& context, const Tensor& grad, const Tensor& codes,
                             const Tensor& weights, const Tensor& scales, const Tensor& scale_table,
                             const Tensor& users, const Tensor& positives, const Tensor& negatives,
                             int64_t retained_users, int64_t code_count, Tensor& out) {
  Entries entries;
  Triples triples;
  const char* problem = read_entries({codes, weights, scales, scale_table, retained_users}, &entries);
  if (problem == nullptr) problem = read_triples(users, positives, negatives, &triples);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  LERG_CHECK(context, is_floats(grad, 2) && grad.size(0) == triples.count(), out,
             "grad must be a float32 matrix with a row for each slot");
  LERG_CHECK(context, code_count >= 0 && code_count <= INT32_MAX / 2, out, "code_count must not be negative");
  const int64_t limit[2] = {INT64_MAX, INT64_MAX};
  LERG_CHECK(context, good_slots(triples, entries, limit, code_count), out,
             "a slot is negative, or a code lies outside [0, code_count)");
  const int64_t dim = grad.size(1);
  LERG_CHECK(context, resize(out, {code_count, dim}), out, "out cannot hold the codebook's gradient");
  const int blocks = static_cast<int>(padded(dim) / kFoldColumns);
  float* targets = nullptr;
  if (!allocate_scratch(context, [&](Scratch& scratch) {
        targets = scratch.take<float>(code_count * blocks * kFoldColumns);
      }))
    return out;
  const float* incoming = grad.const_data_ptr<float>();
  float* result = out.mutable_data_ptr<float>();
  const auto unfold = folded_loops().unfold[entries.codes.type];
  run_parts(blocks, triples.count() * entries.per_row * dim, [&](int block) {
    const int64_t first = int64_t(block) * kFoldColumns;
    const int64_t width = std::min<int64_t>(kFoldColumns, dim - first);
    float* target = targets + code_count * first;
    std::fill(target, target + code_count * kFoldColumns, 0.0f);
    alignas(64) float part[kFoldColumns] = {};
    for (int64_t i = 0; i < triples.count(); ++i) {
      const int64_t row = row_of_slot(entries, triples.side(i), triples.slot(i), 0);
      if (row < 0) continue;
      const float* own = incoming + i * dim + first;
      if (width < kFoldColumns) {
        std::copy(own, own + width, part);
        own = part;
      }
      unfold({entries.codes_of(row), entries.weights_of(row), entries.per_row, entries.scale_of(row), own, target});
    }
    for (int64_t code = 0; code < code_count; ++code)
      std::memcpy(result + code * dim + first, target + code * kFoldColumns, width * sizeof(float));
  });
  return out;
}

Tensor& folded_table_out(KernelRuntimeContext& context, const Tensor& packed, const Tensor& step, const Tensor& codes,
                         const Tensor& weights, const Tensor& scales, const Tensor& scale_table,
                         const Tensor& placeholders, int64_t retained_users, int64_t user_placeholders, int64_t side,
                         int64_t bits, Tensor& out) {
  const ScalarType stored = bits == 4 ? ScalarType::Byte : bits == 8 ? ScalarType::Char : ScalarType::Short;
  LERG_CHECK(context, good_bits(bits), out, "bits must be 4, 8 or 16");
  LERG_CHECK(context, is_array(packed, stored, 2), out, "packed must be uint8 (4 bits), int8 (8) or int16 (16)");
  LERG_CHECK(context, is_floats(step, 1) && (step.size(0) == 1 || step.size(0) == packed.size(0)), out,
             "step must be float32, one or one a codebook row");
  LERG_CHECK(context, side == 0 || side == 1, out, "side must be 0 (users) or 1 (items)");
  const int64_t dim = packed.size(1) * (bits == 4 ? 2 : 1);
  Entries entries;
  const char* problem = read_entries({codes, weights, scales, scale_table, retained_users}, &entries);
  if (problem == nullptr) problem = check_placeholders(placeholders, dim, user_placeholders);
  LERG_CHECK(context, problem == nullptr, out, "%s", problem);
  const int64_t first = side == 0 ? 0 : entries.users;
  const int64_t retained = side == 0 ? entries.users : entries.rows - entries.users;
  const int64_t first_rest = side == 0 ? 0 : user_placeholders;
  const int64_t rest = side == 0 ? user_placeholders : placeholders.size(0) - user_placeholders;
  LERG_CHECK(context, resize(out, {retained + rest, dim}), out, "out cannot hold the table");
  IntegerTable table(packed.size(0), dim, bits);
  if (!allocate_scratch(context, [&](Scratch& scratch) { table.lay_out(scratch); })) return out;
  unpack_into(table, packed, bits);
  const Steps steps(step);
  float* rows = out.mutable_data_ptr<float>();
  std::atomic<bool> good{true};
  run_parts(kFoldParts, retained * entries.per_row * dim, [&](int part) {
    for (int64_t i = retained * part / kFoldParts; i < retained * (part + 1) / kFoldParts; ++i) {
      if (entries.codes_below(first + i, table.rows)) fold_row(entries, first + i, table, steps, 1.0f, rows + i * dim);
      else good.store(false, std::memory_order_relaxed);
    }
  });
  LERG_CHECK(context, good.load(), out, "a code lies outside [0, codes)");
  if (rest > 0)
    std::memcpy(rows + retained * dim, placeholders.const_data_ptr<float>() + first_rest * dim,
                rest * dim * sizeof(float));
  return out;
}

}  // namespace lerg

EXECUTORCH_LIBRARY(lerg, "folded_rows.out", lerg::folded_rows_out);
EXECUTORCH_LIBRARY(lerg, "folded_rows_grad.out", lerg::folded_rows_grad_out);
EXECUTORCH_LIBRARY(lerg, "folded_table.out", lerg::folded_table_out);
